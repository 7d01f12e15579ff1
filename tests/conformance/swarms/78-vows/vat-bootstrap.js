import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    let svc; const kits = {};
    return Far('b', { async bootstrap({ vatAdmin }, devices) { svc = await E(vatAdmin).createVatAdminService(devices.vatAdmin); for (const n of ['maker', 'watcher']) kits[n] = await E(svc).createVat(await E(svc).getNamedBundleCap('vower'), harden({ name: n, vatParameters: { n } })); },
      call: (n, m, ...args) => tell(n + '.' + m, E(kits[n].root)[m](...args)),
      watch: (k, x) => tell('watch ' + x, E(kits[k].root).watch(x, kits[k === 'maker' ? 'watcher' : 'maker'].root)),
      upgrade: async n => tell('upgrade ' + n, E(kits[n].adminNode).upgrade(await E(svc).getNamedBundleCap('vower'), harden({ vatParameters: { n: n + '2' } }))),
    });
};
