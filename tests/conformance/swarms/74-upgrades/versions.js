import { Far, E } from '@endo/far';
import { defineDurableKind, defineDurableKindMulti, provideDurableMapStore, provideKindHandle, watchPromise, defineKind } from '@agoric/vat-data';
// One vat's versions: what its durable data is made with, and how a version fails to start.
export const makeVersion = V => (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const again = baggage.has('store');
  testLog(V, again ? ' again' : ' first', ' parameters ', JSON.stringify(Object.keys(vatParameters || {})), String(vatParameters?.version));
  const store = provideDurableMapStore(baggage, 'store');
  if (V === 'noKinds') return Far('root', { version: () => V });
  const handle = provideKindHandle(baggage, 'thing');
  const makeThing = defineDurableKind(handle, n => ({ n, friend: undefined }), { get: ({ state }) => V + ':' + state.n, inc: ({ state }) => (state.n += 1), befriend: ({ state }, f) => { state.friend = f; }, friend: ({ state }) => state.friend });
  const facets = provideKindHandle(baggage, 'multi');
  const f = { read: { get: ({ state }) => V + '/' + state.v }, write: { set: ({ state }, v) => { state.v = v; }, read: ({ facets: fs }) => fs.read } };
  if (V === 'moreFacets') f.extra = { more: () => 'more' };
  if (V === 'lessFacets') delete f.write;
  const makeMulti = defineDurableKindMulti(facets, v => ({ v }), f);
  const wh = provideKindHandle(baggage, 'watcher');
  const makeWatcher = defineDurableKind(wh, tag => ({ tag }), { onFulfilled: ({ state }, v, ...a) => testLog(V, ' watcher ', state.tag, ' fulfilled ', String(v), JSON.stringify(a)), onRejected: ({ state }, e, ...a) => testLog(V, ' watcher ', state.tag, ' rejected ', e instanceof Error ? e.message : JSON.stringify(e), JSON.stringify(a)) });
  if (V === 'throws') throw Error('cannot be built');
  if (V === 'asyncThrows') return Promise.reject(Error('later'));
  const makeMerelyVirtual = defineKind('virtual', n => ({ n }), { get: ({ state }) => state.n });
  let heap = 0; const resolvers = [];
  return Far('root ' + V, {
    version: () => V, count: () => (heap += 1),
    thing: n => { const t = makeThing(n); store.has('thing') ? store.set('thing', t) : store.init('thing', t); return t; }, loneThing: n => makeThing(n), stored: () => store.get('thing'), keys: () => [...store.keys()],
    multi: v => makeMulti(v), keepMulti: v => { const m = makeMulti(v); store.init('multi', m.write); return m.read; }, storedMulti: () => store.get('multi'),
    virtual: n => makeMerelyVirtual(n), ephemeral: () => Far('ephemeral', { x: () => 'x of ' + V }),
    importDurable: x => { store.has('import') ? store.set('import', x) : store.init('import', x); return E(x).ping(); }, pingImport: () => E(store.get('import')).ping(), importHeap: x => { resolvers.push(x); return E(x).ping(); },
    dropImport: () => store.delete('import'),
    promise: () => new Promise((a, b) => resolvers.push(a)),
    watchOwn: tag => { const p = new Promise(() => {}); watchPromise(p, makeWatcher(tag), tag, 1); }, watchDone: tag => { watchPromise(Promise.resolve('d'), makeWatcher(tag)); watchPromise(Promise.reject(Error('r')), makeWatcher(tag + 'r'), 'arg'); },
    watchResult: async (x, tag) => { watchPromise(E(x).ping(), makeWatcher(tag), 'result'); },
    notDurable: () => { try { store.init('bad', Far('x', {})); } catch (e) { return e.message; } try { baggage.init('p', Promise.resolve()); } catch (e) { return e.message; } return 'stored'; },
    virtualInStore: () => { try { store.init('v', makeMerelyVirtual(1)); return 'stored'; } catch (e) { return e.message; } },
  });
};