// Random graphs of nodes of many kinds, whose life is compared with a model of what reaches what.
globalThis.makeGraph = seed => {
  let state = BigInt(seed);
  // Knuth's linear congruential generator (MMIX); its high bits are used.
  const random = bound => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    return Number((state >> 33n) % BigInt(bound));
  };

  // A node is an object with `set(slot, node or undefined)`. What a kind does with the slots:
  const SLOTS = 3;
  const kinds = {
    properties: () => ({
      set(slot, to) {
        this[`slot${slot}`] = to;
      },
    }),
    deletedProperties: () => ({
      set(slot, to) {
        delete this[slot];
        if (to) this[slot] = to;
      },
    }),
    array: () => {
      const node = Object.assign([], {
        set(slot, to) {
          node[slot] = to;
        },
      });
      return node;
    },
    closure: () => {
      let a, b, c;
      return {
        set(slot, to) {
          if (slot === 0) a = to;
          else if (slot === 1) b = to;
          else c = to;
        },
        get: () => [a, b, c],
      };
    },
    mapValues: () => {
      const map = new Map();
      return { map, set: (slot, to) => (to ? map.set(slot, to) : map.delete(slot)) };
    },
    set: () => {
      const set = new Set();
      const slots = [];
      return {
        set: (slot, to) => {
          const from = slots[slot]?.deref();
          slots[slot] = to && new WeakRef(to);
          if (from && !slots.some(other => other?.deref() === from)) set.delete(from);
          if (to) set.add(to);
        },
      };
    },
    generator: () => {
      const generator = (function* () {
        const own = [];
        for (;;) {
          const [slot, to] = yield own.length;
          own[slot] = to;
        }
      })();
      generator.next();
      return { generator, set: (slot, to) => void generator.next([slot, to]) };
    },
    waiting: () => {
      const node = { set: (slot, to) => (node[slot] = to && hold(to)) };
      // Held by nothing but the resolver of the promise that the function awaits.
      const hold = to => {
        let resolver;
        const forever = new Promise(resolve => (resolver = resolve));
        (async () => {
          await forever;
          return to;
        })();
        return resolver;
      };
      return node;
    },
    bound: () => {
      const node = { set: (slot, to) => (node[slot] = to && (() => {}).bind(to)) };
      return node;
    },
    accessor: () => {
      const node = {
        set(slot, to) {
          Object.defineProperty(node, slot, { get: () => to, configurable: true });
        },
      };
      return node;
    },
    proxy: () => {
      const node = { set: (slot, to) => (node[slot] = to && new Proxy(to, { to })) };
      return node;
    },
    prototype: () => ({
      set(slot, to) {
        const heir = to && Object.create(to);
        // So many properties that what describes them is moved in memory.
        for (let i = 0; heir && i < 12; i++) heir[`own${random(500)}`] = i;
        this[slot] = heir;
      },
    }),
    // Its slots lead from a node that is a key to another that is its value.
    weakMap: () => ({ weakMap: new WeakMap(), set() {} }),
  };
  const kindNames = Object.keys(kinds);

  // By id. `edges`: the ids in the slots, or of a weak map [key, value] pairs.
  const model = [];
  const watched = [];
  const ended = new Map();
  const registry = new FinalizationRegistry(id => ended.set(id, (ended.get(id) || 0) + 1));
  const roots = new Map();

  const make = () => {
    const id = model.length;
    const kind = kindNames[random(kindNames.length)];
    const node = kinds[kind]();
    model.push({ kind, edges: [], isOld: false, isGone: false });
    watched.push(new WeakRef(node));
    registry.register(node, id);
    roots.set(id, node);
    return id;
  };

  // The ids that lead from `from` to others; pairs of a weak map only if the map counts.
  const reached = (from, withDeadMaps) => {
    const seen = new Set(from);
    let pairs = [];
    for (const [id, { kind, edges }] of model.entries()) {
      if (kind === 'weakMap') pairs.push(...edges.map(([key, value]) => [id, key, value]));
    }
    const queue = [...seen];
    for (;;) {
      while (queue.length) {
        const { kind, edges } = model[queue.pop()];
        for (const to of kind === 'weakMap' ? [] : edges) {
          if (to !== undefined && !seen.has(to)) {
            seen.add(to);
            queue.push(to);
          }
        }
      }
      const due = pairs.filter(([map, key]) => seen.has(key) && (withDeadMaps || seen.has(map)));
      pairs = pairs.filter(pair => !due.includes(pair));
      if (!due.length) return seen;
      for (const [, , to] of due) {
        if (!seen.has(to)) {
          seen.add(to);
          queue.push(to);
        }
      }
    }
  };

  const change = () => {
    // What the program can get at: the nodes that the roots reach.
    const ids = [...reached(roots.keys(), false)];
    const any = () => ids[random(ids.length)];
    switch (random(8)) {
      case 0:
      case 1:
        make();
        break;
      case 2: {
        const held = [...roots.keys()];
        if (held.length > 4) roots.delete(held[random(held.length)]);
        break;
      }
      default: {
        if (!ids.length) return;
        const from = any();
        const node = watched[from].deref();
        const { kind, edges } = model[from];
        if (kind === 'weakMap') {
          const [key, value] = [any(), any()];
          const [keyNode, valueNode] = [watched[key].deref(), watched[value].deref()];
          model[from].edges = edges.filter(pair => pair[0] !== key);
          if (random(4)) {
            model[from].edges.push([key, value]);
            node.weakMap.set(keyNode, valueNode);
          } else {
            node.weakMap.delete(keyNode);
          }
          return;
        }
        const slot = random(SLOTS);
        const to = random(4) ? any() : undefined;
        edges[slot] = to;
        node.set(slot, to === undefined ? undefined : watched[to].deref());
      }
    }
  };

  return {
    change: count => {
      for (let i = 0; i < count; i++) change();
    },
    // Every node that there is now is old from the end of the command on.
    age: () => {
      gc(true);
      for (const node of model) node.isOld = true;
    },
    // What is wrong after a collection, and how many nodes lived, had ended, and lived although no root
    // reaches them.
    check: isFull => {
      const must = reached(roots.keys(), false);
      // Looked at once: an object that waits for its end comes to it by this.
      const alive = model.flatMap((_, id) => (watched[id].deref() ? [id] : []));
      const from = isFull ? roots.keys() : [...roots.keys(), ...alive.filter(id => model[id].isOld)];
      const may = reached(from, true);
      const problems = [];
      for (const [id, { kind, isOld }] of model.entries()) {
        const lives = alive.includes(id);
        const what = `${isOld ? 'old' : 'young'} ${kind} ${id}`;
        if (!lives && must.has(id)) problems.push(`${what} ended though a root reaches it`);
        if (lives && !may.has(id)) problems.push(`${what} lives though nothing reaches it`);
        if (ended.get(id) > 1) problems.push(`${what} was finalized ${ended.get(id)} times`);
        if (lives && ended.has(id)) problems.push(`${what} was finalized and lives`);
        if (model[id].isGone && !ended.has(id)) problems.push(`${what} was not finalized`);
        model[id].isGone = !lives;
      }
      const late = alive.filter(id => !must.has(id)).length;
      return { problems, lived: alive.length, ended: model.length - alive.length, late };
    },
  };
};

let graph;
globalThis.handleCommand = buffer => {
  const [command, ...args] = JSON.parse(new TextDecoder().decode(buffer));
  const report = { result: undefined };
  const answer = value => {
    report.result = new TextEncoder().encode(JSON.stringify(value ?? null)).buffer;
  };
  switch (command) {
    case 'graph':
      graph = makeGraph(...args);
      answer();
      break;
    case 'gc':
      gc();
      // What ends is finalized by jobs of its own.
      setImmediate(() => answer());
      break;
    default:
      answer(graph[command](...args));
  }
  return report;
};
