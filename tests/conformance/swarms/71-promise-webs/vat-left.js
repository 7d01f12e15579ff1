import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    const held = {}; const res = {};
    return Far('left', {
      hold: (n, p) => { held[n] = p; }, wait: n => held[n], make: n => { const p = new Promise((a, b) => { res[n] = a; }); return p; },
      settle: (n, v) => { res[n](v); return n + ' settled'; }, settleFar: n => { res[n](Far('far ' + n, { hello: x => 'hello ' + x + ' of ' + n })); return 'f'; }, rejectIt: n => res[n](Promise.reject(Error('rejected ' + n))),
      look: x => tell('look', x).then(y => passStyleOf(y)), returnArg: x => x, callHeld: (n, m, ...a) => E(held[n])[m](...a), chain: p => E(p).then2(),
    });
};
