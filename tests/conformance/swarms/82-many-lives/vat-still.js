import { Far, E } from '@endo/far';
import { M } from '@endo/patterns';
import { makeExo } from '@endo/exo';
import { defineKind, defineKindMulti, makeScalarBigMapStore, makeScalarBigSetStore, makeScalarBigWeakMapStore, makeScalarBigWeakSetStore, prepareExo, prepareExoClass, prepareExoClassKit, provideDurableMapStore, defineVirtualExoClass, defineVirtualExoClassKit, makeKindHandle, defineDurableKind, watchPromise, provide, provideDurableSetStore } from '@agoric/vat-data';
const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
export const buildRootObject = (vatPowers, vatParameters, baggage) => { const { testLog } = vatPowers; const attempt = (tag, f) => { try { testLog(tag + ' ok ' + show(f())); } catch (e) { testLog(tag + ' err ' + show(e)); } }; const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
let n = 0; return Far('still', { never: () => new Promise(() => {}), now: () => 'now', count: () => (n += 1) });
};
