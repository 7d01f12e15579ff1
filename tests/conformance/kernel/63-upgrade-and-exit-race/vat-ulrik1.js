
import { Far, E } from '@endo/far';
import { makePromiseKit } from '@endo/promise-kit';
export const buildRootObject = (vatPowers, params, baggage) => {
  const { defineDurableKind, makeKindHandle, defineKind, watchPromise, makeScalarBigMapStore } = VatData;
  const V = 1;
  if (params && params.explode) throw Error('explode');
  const get = (k, mk) => { if (!baggage.has(k)) baggage.init(k, mk()); return baggage.get(k); };
  const kh = get('kh', () => makeKindHandle('dur'));
  const wh = get('wh', () => makeKindHandle('watcher'));
  const log = get('log', () => makeScalarBigMapStore('log', { durable: true }));
  const note = s => log.init(`${log.getSize()}`.padStart(3, '0'), s);
  if (params && params.lose) { return Far('u', {}); }
  const makeDur = defineDurableKind(kh, x => ({ x }), { hi: ({ state }) => `dur ${state.x} v${V}`, set({ state }, y) { state.x = y; }, get: ({ state }) => state.x });
  const makeW = defineDurableKind(wh, tag => ({ tag }), { onFulfilled({ state }, v) { note(`${state.tag} ok ${v}`); }, onRejected({ state }, e) { note(`${state.tag} err ${e instanceof Error ? e.message : JSON.stringify(e)}`); } });
  const makeVirt = defineKind('virt', x => ({ x }), { hi: ({ state }) => `virt ${state.x}` });
  if (params && params.p) { if (!baggage.has('p')) baggage.init('p', params.boot ? 'had' : 'x'); }
  let pk; let held;
  return Far('u', {
    version: () => V, params: () => params,
    eph: () => Far('eph', { hi: () => `eph v${V}` }), virt: () => makeVirt(1), dur: () => get('d', () => makeDur(7)), newDur: () => makeDur(8),
    never: () => new Promise(() => {}), pend() { pk = makePromiseKit(); return pk.promise; }, settle(v) { pk.resolve(v); }, pendIn() { const k = makePromiseKit(); return harden([k.promise]); },
    hold(o) { held = o; return 'held'; }, unhold() { held = undefined; return 'free'; }, keepDur(o) { baggage.has('kept') ? baggage.set('kept', o) : baggage.init('kept', o); return 'kept'; }, unkeep() { baggage.delete('kept'); return 'unkept'; }, callKept: () => E(baggage.get('kept')).hi(),
    watch(tag) { const { promise } = makePromiseKit(); watchPromise(promise, makeW(tag)); return 'watching'; }, watchArg(tag, p) { watchPromise(p, makeW(tag)); return 'watching'; }, watchSettled(tag) { watchPromise(Promise.resolve(5), makeW(tag)); return 'watching'; },
    log: () => harden([...log.values()]),
    exit(v) { vatPowers.exitVat(harden({ v })); return 'gone'; }, fail(v) { vatPowers.exitVatWithFailure(harden({ v, held })); return 'gone'; }, 
    throwObj(o) { throw harden({ o }); }, callBack: o => E(o).hi(),
    loop(n) { if (n > 0) E(held).loop(n - 1); },
  });
};
