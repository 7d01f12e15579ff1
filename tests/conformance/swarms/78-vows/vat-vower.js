import { prepareVowTools } from '@agoric/vow/vat.js';
import { makeDurableZone } from '@agoric/zone/durable.js';
import { Far, E } from '@endo/far';
import { M } from '@endo/patterns';
import { makeExo } from '@endo/exo';
import { defineKind, defineKindMulti, makeScalarBigMapStore, makeScalarBigSetStore, makeScalarBigWeakMapStore, makeScalarBigWeakSetStore, prepareExo, prepareExoClass, prepareExoClassKit, provideDurableMapStore, defineVirtualExoClass, defineVirtualExoClassKit, makeKindHandle, defineDurableKind, watchPromise, provide, provideDurableSetStore } from '@agoric/vat-data';
const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
export const buildRootObject = (vatPowers, vatParameters, baggage) => { const { testLog } = vatPowers; const attempt = (tag, f) => { try { testLog(tag + ' ok ' + show(f())); } catch (e) { testLog(tag + ' err ' + show(e)); } }; const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });

    const { n } = vatParameters; const zone = makeDurableZone(baggage); const tools = prepareVowTools(zone.subZone('vow')); const { when, watch, makeVowKit, all, allSettled, allVows, asVow, asPromise } = tools;
    const watcher = zone.exo('watcher', undefined, { onFulfilled(v, ...args) { testLog(n + ' watched ' + show(v) + ' ' + show(args)); return 'seen ' + show(v); }, onRejected(e, ...args) { testLog(n + ' watched rejection ' + show(e) + ' ' + show(args)); throw e; } });
    const kits = zone.mapStore('kits'); const results = zone.mapStore('results');
    return Far('vower ' + n, {
      make(k) { const kit = makeVowKit(); kits.init(k, kit); return kit.vow; }, get: k => kits.get(k).vow, settle: (k, v) => { kits.get(k).resolver.resolve(v); }, reject: (k, v) => { kits.get(k).resolver.reject(Error(v)); },
      watch(k, other) { const v = watch(E(other).get(k), watcher, 'extra', k); results.init(k, v); when(v).then(x => testLog(n + ' when ' + show(x)), e => testLog(n + ' when rejected ' + show(e))); return typeof v; },
      whenOf: (k, other) => when(E(other).get(k)), result: k => when(results.get(k)), forward(k, other) { const kit = makeVowKit(); kits.init(k, kit); kit.resolver.resolve(E(other).get(k)); },
      all: ks => when(all(ks.map(k => kits.get(k).vow))), settled: ks => when(allSettled(ks.map(k => kits.get(k).vow))), asV: () => when(asVow(() => 'as vow')), asVE: () => when(asVow(() => { throw TypeError('thrown in asVow'); })), asP: k => asPromise(kits.get(k).vow), plain: () => when('plain'), ofPromise: () => when(Promise.resolve('p')), vowOfVow: k => { const kit = makeVowKit(); kit.resolver.resolve(kits.get(k).vow); return when(kit.vow); }, watchPlain: () => when(watch('x')), twice: k => { kits.get(k).resolver.resolve('second'); },
    });
};
