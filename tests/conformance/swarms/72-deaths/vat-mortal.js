import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    const { name } = vatParameters; const watchers = []; const ps = [];
    return Far('mortal ' + name, {
      object: () => Far('ob', { hi: () => 'hi from ' + name }), promise: () => { const p = new Promise(() => {}); ps.push(p); return p; }, watchMe: w => { watchers.push(w); },
      exit(how, v) { for (const w of watchers) E(w).see(how); if (how === 'happy') vatPowers.exitVat(v); else vatPowers.exitVatWithFailure(how === 'error' ? Error(v) : v); for (const w of watchers) E(w).see('still ' + how); return 'returned ' + how; },
      exitFar(w) { E(w).last('far'); vatPowers.exitVat(harden({ w, own: Far('own', {}) })); },
    });
};
