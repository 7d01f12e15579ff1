import { Far, E } from '@endo/far';
import { M } from '@endo/patterns';
import { makeExo } from '@endo/exo';
import { defineKind, defineKindMulti, makeScalarBigMapStore, makeScalarBigSetStore, makeScalarBigWeakMapStore, makeScalarBigWeakSetStore, prepareExo, prepareExoClass, prepareExoClassKit, provideDurableMapStore, defineVirtualExoClass, defineVirtualExoClassKit, makeKindHandle, defineDurableKind, watchPromise, provide, provideDurableSetStore } from '@agoric/vat-data';
const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
export const buildRootObject = (vatPowers, vatParameters, baggage) => { const { testLog } = vatPowers; const attempt = (tag, f) => { try { testLog(tag + ' ok ' + show(f())); } catch (e) { testLog(tag + ' err ' + show(e)); } }; const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });

    const held = {}; const weak = makeScalarBigWeakMapStore('weak'); const wm = new WeakMap(); const ws = new WeakSet();
    const makeBox = defineKind('box', x => ({ x }), { get: ({ state }) => state.x, set: ({ state }, y) => { state.x = y; } }); const dm = provideDurableMapStore(baggage, 'dm');
    return Far('keep', { hold: (n, x) => { held[n] = x; }, drop: n => { delete held[n]; }, weakly: (n, x) => { weak.init(x, n); wm.set(x, n); ws.add(x); }, knows: x => harden([weak.has(x), wm.get(x), ws.has(x)]), virtually: (n, x) => { held[n] = makeBox(x); }, unbox: n => { held[n].set(undefined); }, durably: n => { dm.init(n, held[n]); delete held[n]; }, undurably: n => dm.delete(n), fetch: n => held[n], boxed: n => held[n].get() });
};
