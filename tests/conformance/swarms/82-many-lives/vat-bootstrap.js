import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    let svc; let kit; const kept = {};
    return Far('b', { async bootstrap({ vatAdmin, still }, devices) { svc = await E(vatAdmin).createVatAdminService(devices.vatAdmin); kit = await E(svc).createVat(await E(svc).getNamedBundleCap('life'), { vatParameters: { life: 0 } }); kept.still = still; },
      next: async (life, how) => { const u = E(kit.adminNode).upgrade(await E(svc).getNamedBundleCap('life'), harden({ vatParameters: { life }, ...(how ? { upgradeMessage: how } : {}) })); return tell('upgrade ' + life, u); },
      call: (m, ...args) => tell(m, E(kit.root)[m](...args)), still: (m, ...args) => tell('still ' + m, E(kept.still)[m](...args)), own: () => { const p = new Promise(() => {}); tell('watch mine', E(kit.root).watch(p, 'mine')); }, watchStill: () => tell('watch still', E(kit.root).watch(E(kept.still).never(), 'still')), settled: () => tell('settled', E(kit.root).watch(E(kept.still).now(), 'now')), grab: async n => { kept[n] = await E(kit.root).make(n); }, use: n => tell('use ' + n, E(kept[n]).up()), pipe: () => tell('pipe', E(E(kit.root).slowMake('x')).up()), drop: n => { delete kept[n]; } });
};
