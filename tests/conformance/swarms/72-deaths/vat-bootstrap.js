import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    let svc; const kits = {}; let w;
    return Far('b', {
      async bootstrap({ vatAdmin, witness }, devices) { svc = await E(vatAdmin).createVatAdminService(devices.vatAdmin); w = witness; },
      async make(name, options = {}) { const cap = await E(svc).getNamedBundleCap('mortal'); kits[name] = await E(svc).createVat(cap, harden({ name, vatParameters: { name }, ...options })); tell('done ' + name, E(kits[name].adminNode).done()); const ob = await E(kits[name].root).object(); await E(w).keep(name, kits[name].root, ob); return 'made ' + name; },
      promise: name => tell('promise of ' + name, E(kits[name].root).promise()),
      exit: (name, how, v) => tell('exit ' + name, E(kits[name].root).exit(how, v)),
      exitFar: name => tell('exit ' + name, E(kits[name].root).exitFar(w)),
      terminate: (name, reason) => tell('terminate ' + name, E(kits[name].adminNode).terminateWithFailure(reason)),
      terminateFar: name => tell('terminate ' + name, E(kits[name].adminNode).terminateWithFailure(harden([w, Far('mine', {})]))),
      after: name => { tell('after ' + name, E(kits[name].root).object()); tell('data ' + name, E(kits[name].adminNode).adminData?.()); },
      badReason: name => { tell('bad reason ' + name, E(kits[name].adminNode).terminateWithFailure(Promise.resolve())); },
      drop: name => { delete kits[name]; },
    });
};
