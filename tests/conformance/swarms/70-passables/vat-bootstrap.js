import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    return Far('b', {
      async bootstrap({ echo }) {
        const same = (tag, v) => tell(tag, E(echo).echo(v));
        await same('undefined', undefined); await same('null', null); await same('bool', true);
        await same('-0', -0); await same('nan', NaN); await same('inf', -Infinity); await same('num', 0.1 + 0.2); await same('big', -(2n ** 80n));
        await same('str', 'é\u0000\ud83d\ude00"\\'); await same('hashes', '#x!y$z%w&v@u+t-s'); 
        await same('arr', harden([1, [2, []], {}])); await same('rec', harden({ b: 1, a: { z: undefined, '#tag': 'no' }}));
        await same('sym', Symbol.asyncIterator); await same('sym2', Symbol.for('reg'));
        await same('unique', Symbol('u'));
        await same('err', harden(TypeError('oops'))); await same('aggregate', harden(AggregateError([Error('x'), RangeError('y')], 'several')));
        await same('cause', harden(Error('outer', { cause: Error('inner') })));
        await same('fn', () => 1); await same('far fn', Far('ff', x => x)); await same('date', new Date(0)); await same('map', new Map());
        await same('unhardened', { x: 1 }); await same('unhardened arr', [1]);
        await same('promise', Promise.resolve(7)); await same('rejected', Promise.reject(Error('rej')));
        await same('getter', harden({ get x() { return 1; } })); await same('proto', harden(Object.create({ y: 1 })));
        await same('sparse', harden([, 1])); await same('args extra', harden(Object.assign([1], { foo: 2 })));
        await tell('string bad', E(echo).echo('a\ud800b').then(x => x.length)); await tell('key bad', E(echo).echo(harden({ 'a\ud800b': 1 })).then(x => Object.keys(x)[0].length));
        await same('regexp', /x/); await same('buffer', harden(new Uint8Array(2))); await same('nonfar', harden({ m() {} }));
        await same('far', Far('obj', { m() { return 3; } }));
        await tell('missing', E(echo).nothing(1)); await tell('call it', E(echo)(1, 2)); await tell('get', E.get(echo).x);
        await tell('symbol method', E(echo)[Symbol.asyncIterator]('s')); await tell('registered', E(echo)[Symbol.for('reg')]('s'));
        await tell('sendOnly', E.sendOnly(echo).echo('so')); await tell('not fn', E(echo).data());
        await tell('to data', E(E(echo).echo(harden({ a: 1 }))).foo()); await tell('to number', E(E(echo).echo(5)).toFixed(2)); await tell('to undefined', E(E(echo).echo(undefined)).x());
        await tell('get of', E.get(E(echo).echo(harden({ a: 1 }))).a); await tell('to str', E(E(echo).echo('abc')).slice(1));
        await tell('apply', E(E(echo).fun())(4, 5)); await tell('apply none', E(E(echo).fun()).nope(4));
        await tell('throws', E(echo).throws(harden({ code: 1 }))); await tell('throws str', E(echo).throws('s')); await tell('throws undef', E(echo).throws()); await tell('throws fn', E(echo).throwsBad());
        await tell('returns bad', E(echo).returnsBad()); await tell('returns promise to bad', E(echo).returnsPromiseToBad());
        await tell('proto method', E(echo).toString()); await tell('__proto__', E(echo).__proto__()); await tell('constructor', E(echo).constructor()); await tell('then', E(echo).then2());
        return 'done';
      },
    });
};
