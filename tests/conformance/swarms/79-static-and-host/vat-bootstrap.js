import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    let svc; let other; return Far('b', { async bootstrap({ vatAdmin, desk }, devices) { other = desk; svc = await E(vatAdmin).createVatAdminService(devices.vatAdmin); const key = await E(vatAdmin).getCriticalVatKey(); await tell('critical key', passStyleOf(key)); }, call: (m, ...args) => tell('desk ' + m, E(other)[m](...args)), wrong: () => { throw Error('wrong'); }, late: () => E(other).never(), far: () => Far('given', { m: () => 'm' }), bad: () => tell('bad name', E(svc).getNamedBundleCap('absent')), idOf: n => E(svc).getBundleIDByName(n), byName: n => E(svc).createVatByName(n).then(k => E(k.root).count()) });
};
