// `runObjects(seed)`: changes a few objects at random, and compares each with a model after every change. Returns 'equal', or
// what differs. The model is a list of keys with their descriptors, so that it depends on no form of objects.
(() => {
  const FLAGS = ['writable', 'enumerable', 'configurable'];
  const NAMES = ['a', 'b', 'c', 'd', 'length', 'name', '0', '7', '31', Symbol('s'), Symbol('t')];
  const PROTOTYPES = [Object.prototype, null, Array.prototype, { inherited: 1 }];

  const randomOf = seed => {
    let state = seed * 2654435761;
    return below => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  };

  const isIndex = key => typeof key === 'string' && /^(0|[1-9]\d*)$/.test(key);

  /** Returns a new object with its model. */
  const make = random => {
    const proto = PROTOTYPES[random(PROTOTYPES.length)];
    switch (random(5)) {
      case 0: {
        const object = { a: 1, b: 2, c: 3 };
        return { object, keys: ['a', 'b', 'c'], values: [1, 2, 3], flags: [7, 7, 7], open: true };
      }
      case 1: {
        const object = { c: 1, a: 2 };
        return { object, keys: ['c', 'a'], values: [1, 2], flags: [7, 7], open: true };
      }
      case 2: {
        const object = x => x;
        return { object, keys: ['length', 'name'], values: [1, 'object'], flags: [4, 4], open: true };
      }
      case 3: {
        const object = [1, 2];
        return { object, keys: ['0', '1', 'length'], values: [1, 2, 2], flags: [7, 7, 1], open: true, isArray: true };
      }
      default:
        return { object: Object.create(proto), keys: [], values: [], flags: [], open: true };
    }
  };

  const define = (it, random) => {
    if (it.isArray) return;
    const key = NAMES[random(NAMES.length)];
    const at = it.keys.indexOf(key);
    if (at < 0 ? !it.open : !(it.flags[at] & 4)) return;
    const [value, flags] = [random(100), random(8)];
    const descriptor = { value };
    FLAGS.forEach((name, bit) => {
      descriptor[name] = (flags & (1 << bit)) !== 0;
    });
    Object.defineProperty(it.object, key, descriptor);
    const place = at < 0 ? it.keys.length : at;
    it.keys[place] = key;
    it.values[place] = value;
    it.flags[place] = flags;
  };

  const assign = (it, random) => {
    if (it.isArray) return;
    const key = NAMES[random(NAMES.length)];
    const at = it.keys.indexOf(key);
    const value = random(100);
    const works = at < 0 ? it.open : (it.flags[at] & 1) !== 0;
    // A function's prototype has names that are not writable, which are inherited.
    if (at < 0 && key in it.object) return;
    if (Reflect.set(it.object, key, value) !== works) throw Error(`set ${String(key)}`);
    if (!works) return;
    const place = at < 0 ? it.keys.length : at;
    it.keys[place] = key;
    it.values[place] = value;
    if (at < 0) it.flags[place] = 7;
  };

  const remove = (it, random) => {
    if (it.isArray) return;
    const key = NAMES[random(NAMES.length)];
    const at = it.keys.indexOf(key);
    const works = at < 0 || (it.flags[at] & 4) !== 0;
    if (Reflect.deleteProperty(it.object, key) !== works) throw Error(`delete ${String(key)}`);
    if (!works || at < 0) return;
    for (const list of [it.keys, it.values, it.flags]) list.splice(at, 1);
  };

  const hardenIt = it => {
    harden(it.object);
    it.open = false;
    it.flags = it.flags.map(flags => flags & 2);
  };

  const difference = it => {
    const order = [...it.keys.keys()];
    const rank = key => (isIndex(key) ? 0 : typeof key === 'string' ? 1 : 2);
    order.sort((x, y) => rank(it.keys[x]) - rank(it.keys[y]) || (rank(it.keys[x]) === 0 ? it.keys[x] - it.keys[y] : x - y));
    const keys = Reflect.ownKeys(it.object);
    if (keys.length !== order.length) return `${keys.length} keys for ${order.length}`;
    if (Object.isExtensible(it.object) !== it.open) return 'extensible';
    for (const [i, at] of order.entries()) {
      const key = it.keys[at];
      if (keys[i] !== key) return `key ${i} is ${String(keys[i])}, not ${String(key)}`;
      const { value, ...flags } = Object.getOwnPropertyDescriptor(it.object, key);
      const bits = FLAGS.reduce((sum, name, bit) => sum + (flags[name] ? 1 << bit : 0), 0);
      if (value !== it.values[at]) return `${String(key)} is ${String(value)}`;
      if (bits !== it.flags[at]) return `${String(key)} has flags ${bits}, not ${it.flags[at]}`;
    }
    return undefined;
  };

  globalThis.runObjects = seed => {
    const random = randomOf(seed);
    const pool = Array.from({ length: 12 }, () => make(random));
    for (let step = 0; step < 2000; step += 1) {
      const at = random(pool.length);
      const it = pool[at];
      const kind = random(40);
      if (kind === 0) gc();
      else if (kind < 6) pool[at] = make(random);
      else if (kind < 9) hardenIt(it);
      else if (kind < 20) define(it, random);
      else if (kind < 32) assign(it, random);
      else remove(it, random);
      for (const each of pool) {
        const found = difference(each);
        if (found) return `step ${step}, kind ${kind}: ${found}`;
      }
    }
    return 'equal';
  };
})();
