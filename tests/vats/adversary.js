// A vat that does whatever its messages tell it: `run(...steps)`. The adversary of tests/src/adversary writes the steps, each
// an array of a name, numbers and objects.
import { makeScalarBigMapStore, makeScalarBigSetStore, prepareExoClass } from '@agoric/vat-data';
import { E, Far } from '@endo/far';
import { makePromiseKit } from '@endo/promise-kit';

const nest = (depth, inner, wrap) => {
  let value = inner;
  for (let i = 0; i < depth; i += 1) {
    value = wrap(value);
  }
  return value;
};

const LONE = '\ud800';

// What is sent, stored, thrown and answered, by the number of its kind.
const KINDS = [
  () => [],
  size => 'x'.repeat(size),
  size => nest(size, [], value => [value]),
  size => Array.from({ length: size }, () => []),
  size => LONE.repeat(size),
  size => `${LONE}\udc00`.repeat(size) + '\udfff',
  size => 10n ** BigInt(size),
  size => nest(size, 0, value => ({ a: value })),
  size => Object.fromEntries(Array.from({ length: size }, (_, i) => [`${LONE}${i}`, i])),
  size => '\u0000\u2028"\\'.repeat(size),
  size => Error('e'.repeat(size)),
  size => Error(LONE.repeat(size)),
  size => Array.from({ length: size }, (_, i) => Far(`o${i}`, {})),
  size => Array.from({ length: size }, () => Promise.resolve(1)),
  size => Array.from({ length: size }, () => makePromiseKit().promise),
  size => [-0, NaN, Infinity, 2 ** -1074, 1e21, -(2 ** 63), size, Symbol.asyncIterator, undefined, null],
  size => new Array(size).fill('#'),
  size => Object.fromEntries([['__proto__', size]].concat(Array.from({ length: size % 1000 }, (_, i) => [`$${i}`, '&0']))),
  size => Promise.reject(Error('r'.repeat(size))),
  size => nest(size % 50, [], value => Promise.resolve([value])),
];

export const buildRootObject = ({ exitVat, exitVatWithFailure }, parameters = {}, baggage) => {
  const kept = [];
  let count = 0;
  const makeThing = prepareExoClass(baggage, 'thing', undefined, value => ({ value }), {
    get() {
      return this.state.value;
    },
  });
  const data = (kind, size) => harden(KINDS[kind % KINDS.length](size));
  const store = name => {
    if (!baggage.has(name)) {
      baggage.init(name, makeScalarBigMapStore(name, { durable: true }));
    }
    return baggage.get(name);
  };

  const steps = {
    send: (target, times, method, kind, size) => {
      for (let i = 0; i < times; i += 1) {
        E(target)[method](data(kind, size)).catch(() => {});
      }
    },
    // A method whose name is no well-formed text.
    knock: (target, size) => E(target)[LONE.repeat(size + 1)](),
    spread: (target, method, kind, size) => E(target)[method](...data(kind, size)),
    pipeline: (target, depth) => {
      let promise = target;
      for (let i = 0; i < depth; i += 1) {
        promise = E(promise).run(['answer', 0, i]);
        promise.catch(() => {});
      }
    },
    // A promise that the target gets before it is resolved.
    promise: (target, kind, size) => {
      const { promise, resolve } = makePromiseKit();
      E(target).run(['keep', promise]).catch(() => {});
      resolve(data(kind, size));
    },
    keep: (...things) => {
      kept.push(...things);
      things.forEach(thing => E.when(thing, undefined, () => {}));
    },
    drop: () => {
      kept.length = 0;
    },
    again: (target, ...rest) => E(target).run(...rest),
    forever: (target, size) => {
      E(target).run(['forever', target, size]).catch(() => {});
      return data(1, size);
    },
    create: (factory, id, times, options) => {
      for (let i = 0; i < times; i += 1) {
        E(factory).createVat(id, options).then(vat => kept.push(vat), () => {});
      }
    },
    oddOption: (factory, id) => E(factory).createVat(id, { [`x${LONE}`]: 1 }),
    publish: (factory, name) => E(factory).publish(name, Far('published', {})),
    timer: (timer, method, time, times) => {
      const handler = Far('handler', {
        wake: () => {
          count += 1;
        },
      });
      const token = Far('token', {});
      for (let i = 0; i < times; i += 1) {
        const args = {
          setWakeup: [BigInt(time + i), handler, token],
          wakeAt: [BigInt(time + i), token],
          delay: [BigInt(time), token],
          repeatAfter: [BigInt(time), 1n, handler, token],
          cancel: [token],
          makeNotifier: [0n, BigInt(time + 1), token],
        };
        E(timer)[method](...(args[method] || [])).catch(() => {});
      }
    },
    cancelling: (timer, time, times) => {
      const token = Far('token', {});
      for (let i = 0; i < times; i += 1) {
        E(timer).setWakeup(BigInt(time), Far('handler', { wake() {} }), token).catch(() => {});
      }
      E(timer).cancel(token).catch(() => {});
    },
    store: (name, times, kind, size) => {
      for (let i = 0; i < times; i += 1) {
        count += 1;
        store(name).init(count, data(kind, size));
      }
    },
    oddKey: size => store('odd').init(LONE.repeat(size), 1),
    longKey: size => store('long').init('k'.repeat(size), 1),
    clear: name => store(name).clear(),
    virtual: times => {
      for (let i = 0; i < times; i += 1) {
        kept.push(makeThing(kept[kept.length - 1]));
      }
      makeScalarBigSetStore('set').addAll(kept.filter((_, i) => i < 100));
    },
    log: (times, kind, size) => {
      for (let i = 0; i < times; i += 1) {
        console.log(data(kind, size), LONE);
      }
    },
    throw: (kind, size) => {
      throw data(kind, size);
    },
    exit: (kind, size) => exitVat(data(kind, size)),
    exitWithFailure: (kind, size) => exitVatWithFailure(data(kind, size)),
    spin: () => {
      for (;;);
    },
    recurse: () => {
      const down = n => 1 + down(n + 1);
      return down(0);
    },
    allocate: () => {
      for (;;) {
        kept.push(new Uint8Array(1_000_000));
      }
    },
    evaluate: text => new Compartment().evaluate(text),
    answer: (kind, size) => data(kind, size),
  };

  const run = async (...rows) => {
    let last;
    for (const [name, ...args] of rows) {
      last = await steps[name](...args);
    }
    return last;
  };
  const { atStart } = parameters;
  if (atStart) {
    steps[atStart[0]](...atStart.slice(1));
  }
  // Uses whatever it is given as an io channel, more often than one takes.
  const bootstrap = (_vats, services = {}) => {
    for (const channel of Object.values(services)) {
      kept.push(channel);
      for (let i = 0; i < 40; i += 1) {
        E(channel).read().catch(() => {});
        E(channel).write(data(i, i * 1_000)).catch(() => {});
      }
    }
    return 'up';
  };
  return Far('adversary', { run, bootstrap });
};
