import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    return Far('b', { async bootstrap({ shop }) {
      const o = await E(shop).fetch('one'); const k = await E(shop).fetch('kit'); const h = await E(shop).fetch('heap');
      for (const [m, ...args] of [['str', 's'], ['str', 5], ['str'], ['str', 's', 't'], ['opt'], ['opt', 'x'], ['opt', 5], ['rest', 1, 'a', 'b'], ['rest', 1, 2], ['rest'], ['rec', harden({ a: 1n })], ['rec', harden({ a: 1 })], ['rec', harden({ a: 1n, b: 2 })], ['awaits', Promise.resolve('x')], ['awaits', Promise.resolve(5)], ['awaits', Promise.reject(Error('no'))], ['badReturn'], ['remote', o], ['remote', 5], ['any', Promise.resolve()], ['arr', harden(['a'])], ['arr', harden(['a', 5])], ['unguarded'], ['hidden'], ['async', 3], ['or', 5], ['or', true], ['eq', 'exact'], ['eq', 'inexact'], ['each', harden([1, 2])]]) await tell('one.' + m + ' ' + args.length, E(o)[m](...args));
      await tell('kit.inc', E(k.up).inc(2n)); await tell('kit.dec', E(k.down).dec(1n)); await tell('kit.dec too far', E(k.down).dec(5n)); await tell('kit bad', E(k.up).inc(-1n)); await tell('other', E(k.up).dec(1n)); await tell('state', E(k.down).odd());
      await tell('heap', E(h).greet('x')); await tell('heap bad', E(h).greet(1)); await tell('names', E(o).__getMethodNames__()); await tell('guard', E(o).__getInterfaceGuard__().then(x => passStyleOf(x)));
    } });
};
