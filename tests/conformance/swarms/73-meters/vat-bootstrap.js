import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    let svc; const meters = {}; const kits = {};
    return Far('b', {
      async bootstrap({ vatAdmin }, devices) { svc = await E(vatAdmin).createVatAdminService(devices.vatAdmin); },
      async meter(n, remaining, threshold) { meters[n] = await tell('meter ' + n, E(svc).createMeter(remaining, threshold)); },
      async unlimited(n) { meters[n] = await E(svc).createUnlimitedMeter(); const m = await E(meters[n]).get(); return typeof m.remaining === 'bigint' ? 'limited' : show(m); },
      op: (n, op, ...args) => tell(n + ' ' + op, E(meters[n])[op](...args)),
      async make(name, meter, options = {}) { const cap = await E(svc).getNamedBundleCap('spender'); try { kits[name] = await E(svc).createVat(cap, harden({ ...(meter ? { meter: meters[meter] } : {}), ...options })); E(kits[name].adminNode).done().then(v => testLog(name + ' done ' + show(v)), e => testLog(name + ' failed ' + show(e))); return 'made'; } catch (e) { return show(e); } },
      call: (name, m, ...args) => tell(name + ' ' + m, E(kits[name].root)[m](...args)),
      fake: async () => { const cap = await E(svc).getNamedBundleCap('spender'); await tell('fake meter', E(svc).createVat(cap, { meter: Far('not a meter', {}) })); await tell('number meter', E(svc).createVat(cap, { meter: 5 })); },
    });
};
