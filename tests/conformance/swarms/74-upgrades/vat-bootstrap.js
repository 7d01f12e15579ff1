import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    let svc; let kit; const held = {};
    return Far('b', {
      async bootstrap({ vatAdmin }, devices) { svc = await E(vatAdmin).createVatAdminService(devices.vatAdmin); kit = await E(svc).createVat(await E(svc).getNamedBundleCap('one'), { name: 'upgraded', vatParameters: { version: 'v1', friend: Far('friend', { hi: () => 'hi' }) } });
        E(kit.adminNode).done().then(v => testLog('done ' + show(v)), e => testLog('failed ' + show(e))); },
      async hold(n, m, ...args) { held[n] = await E(kit.root)[m](...args); testLog('held ' + n + ' ' + show(held[n])); },
      give: (m) => tell('give ' + m, E(kit.root)[m](Far('given ' + m, { ping: () => 'pong' }))),
      call: (n, m, ...args) => tell(n + '.' + m, E(held[n])[m](...args)), facet: (n, f, m, ...args) => tell(n + '.' + f + '.' + m, E(held[n][f])[m](...args)),
      root: (m, ...args) => tell('root.' + m, E(kit.root)[m](...args)),
      pending: (m, ...args) => { tell('pending ' + m, E(kit.root)[m](...args)); },
      async upgrade(bundle, options) { return tell('upgrade ' + bundle, E(kit.adminNode).upgrade(await E(svc).getNamedBundleCap(bundle), options)); },
      upgradeBad: () => tell('upgrade to what is no cap', E(kit.adminNode).upgrade(Far('no cap', {}))),
      upgradeInFlight: async b => { const cap = await E(svc).getNamedBundleCap(b); tell('before', E(kit.root).promise()); const u = E(kit.adminNode).upgrade(cap); tell('between', E(kit.root).version()); tell('u', u); tell('after', E(kit.root).version()); },
      drop: n => { delete held[n]; },
      options: o => tell('changeOptions', E(kit.adminNode).changeOptions(o)),
    });
};
