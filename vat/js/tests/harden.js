// Makes random graphs of objects and hardens them: `runHarden(seed)` tells all that could be observed.
// Evaluated by harden.rs in two engines, one with SES's own `harden`, one with the native one.
const makeGraph = (seed, note) => {
  let state = seed >>> 0;
  const below = n => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const chance = percent => below(100) < percent;
  const symbols = [Symbol('a'), Symbol.for('b'), Symbol.iterator];
  const nodes = [];
  const labels = new Map();
  const any = () => nodes[below(nodes.length)];

  const handlerFor = label => {
    const throwing = chance(15) ? below(12) : -1;
    const lying = chance(10);
    let calls = 0;
    const handler = {};
    for (const trap of Reflect.ownKeys(Reflect)) {
      if (typeof Reflect[trap] === 'function') {
        handler[trap] = (target, ...args) => {
          const shown = args.map(arg => {
            if (Object(arg) !== arg) return String(arg);
            return labels.get(arg) ?? Reflect.ownKeys(arg).map(String).join('+');
          });
          note(`${label}.${trap}(${shown.join()})`);
          calls += 1;
          if (calls - 1 === throwing) throw RangeError(`${label} ${trap} throws`);
          if (lying && trap === 'preventExtensions') return false;
          return Reflect[trap](target, ...args);
        };
      }
    }
    return handler;
  };

  const makers = [
    () => ({}),
    () => Object.create(null),
    () => [],
    () => () => {},
    () => function old() {},
    () => class {},
    () => new (class Made extends Object { #hidden = 1; own = 2; })(),
    () => new Uint8Array(below(4)),
    () => new Float64Array(below(3)),
    () => new DataView(new ArrayBuffer(4)),
    () => new ArrayBuffer(2),
    () => new Map([[{}, {}]]),
    () => new Set([{}]),
    () => new WeakMap(),
    () => Promise.resolve({}),
    () => Error('made'),
    () => /x/g,
    () => async () => {},
    () => function* generator() {},
    () => Object.freeze({ frozen: {} }),
    () => Object.freeze([{}]),
    () => harden({ hard: { deep: [] } }),
    () => Object('wrapped'),
  ];
  const size = 3 + below(14);
  for (let i = 0; i < size; i += 1) {
    let node;
    const label = `n${i}`;
    if (i > 0 && chance(25)) {
      const { proxy, revoke } = Proxy.revocable(any(), handlerFor(label));
      node = proxy;
      if (chance(15)) revoke();
    } else {
      node = makers[below(makers.length)]();
    }
    nodes.push(node);
    labels.set(node, label);
  }

  const key = () => (chance(30) ? symbols[below(symbols.length)] : chance(30) ? below(4) : `k${below(5)}`);
  const descriptor = () => {
    const flags = { configurable: chance(70), enumerable: chance(70) };
    if (chance(20)) {
      const get = chance(80) ? () => note('a getter ran') : undefined;
      const set = chance(60) ? () => note('a setter ran') : undefined;
      return { ...flags, get, set };
    }
    const value = chance(80) ? any() : [undefined, null, 7, 7n, 'text', symbols[0]][below(6)];
    return { ...flags, writable: chance(70), value };
  };
  // Nothing that fails here matters: both engines have the same graph afterwards.
  const attempt = change => {
    try {
      change();
    } catch (error) {
      note(`while making: ${error}`);
    }
  };
  for (let i = below(40); i > 0; i -= 1) {
    const node = any();
    if (chance(85)) attempt(() => Reflect.defineProperty(node, key(), descriptor()));
    else if (chance(40)) attempt(() => Reflect.setPrototypeOf(node, chance(80) ? any() : null));
    else if (chance(40)) attempt(() => Reflect.preventExtensions(node));
    else if (chance(50)) attempt(() => Object.seal(node));
    else attempt(() => Object.freeze(node));
  }
  return { nodes, labels, below, chance };
};

globalThis.runHarden = seed => {
  const log = [];
  const note = line => log.push(line);
  const { nodes, labels, below, chance } = makeGraph(seed, note);
  const attempt = (what, action) => {
    try {
      note(`${what}: ${action()}`);
    } catch (error) {
      note(`${what} threw ${error.name}: ${error.message}`);
    }
  };
  const values = [undefined, null, 3, 'text', Symbol.iterator, 10n, true];
  for (let i = 1 + below(4); i > 0; i -= 1) {
    const root = chance(90) ? nodes[below(nodes.length)] : values[below(values.length)];
    attempt(`harden ${labels.get(root) ?? String(root)}`, () => harden(root) === root);
  }
  // What is frozen now, and what counts as hardened: that is passed over in silence.
  for (const node of nodes) {
    const label = labels.get(node);
    attempt(`${label} extensible`, () => Reflect.isExtensible(node));
    attempt(`${label} frozen`, () => Object.isFrozen(node));
    attempt(`${label} keys`, () =>
      Reflect.ownKeys(node)
        .map(name => {
          const { configurable, writable } = Reflect.getOwnPropertyDescriptor(node, name);
          return `${String(name)}${configurable ? 'c' : ''}${writable ? 'w' : ''}`;
        })
        .join(),
    );
  }
  for (const node of nodes) {
    attempt(`again ${labels.get(node)}`, () => harden(node) === node);
  }
  return log.join('\n');
};
