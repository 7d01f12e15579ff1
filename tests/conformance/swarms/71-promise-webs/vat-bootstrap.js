import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    const kits = {}; const kit = n => (kits[n] ||= (() => { let r = {}; r.p = new Promise((a, b) => { r.res = a; r.rej = b; }); return r; })());
    return Far('b', {
      async bootstrap({ left, right }) {
        const { p, res } = kit('one');
        await E(left).hold('p', p); await E(right).hold('p', p);
        tell('left p', E(left).wait('p')); tell('right p', E(right).wait('p'));
        const q = E(left).make('q'); tell('q', q); E(right).hold('q', q);
        res(E(right).make('r'));
        tell('pipelined on q', E(q).hello('x')); tell('pipelined on held q', E(right).callHeld('q', 'hello', 'y'));
        const cyc = kit('cyc'); cyc.res(harden({ self: cyc.p, other: q }));
        tell('cycle', E(left).look(cyc.p));
        const a = kit('a'); const b = kit('b'); a.res(harden([b.p])); b.res(harden([a.p]));
        tell('mutual', E(right).look(harden([a.p, b.p])));
        tell('result is argument', E(left).returnArg(E(right).make('s'))); tell('own promise back', E(left).returnArg(p));
        const never = E(left).make('never'); tell('never', E(right).chain(never));
        return 'booted';
      },
      async settle({}, x) { return x; },
      go: (l, r) => { },
    });
};
