import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    const held = {};
    return Far('b', { bootstrap({ keep, make }) { held.keep = keep; held.make = make; },
      async fetch(n) { held[n] = await E(held.make).create(n); return n; }, pass: n => E(held.keep).hold(n, held[n]), weak: n => E(held.keep).weakly(n, held[n]), virt: n => E(held.keep).virtually(n, held[n]), drop: n => { delete held[n]; }, known: n => tell('known ' + n, E(held.keep).knows(held[n])), back: n => tell('back ' + n, E(held.make).mine(held[n])), ask: (n) => tell('ask ' + n, E(held.keep).fetch(n).then(x => E(x).named())),
      promise: n => { held['p' + n] = E(held.make).later(n); E(held.keep).hold('p' + n, held['p' + n]); held['p' + n].then(v => testLog('later ' + n + ' ' + typeof v)); }, rejectedWith: n => { E(held.make).rejectWith(n).catch(e => { held.r = e; }); },
    });
};
