// Statements about the order in which an engine calls what a program gives it: coercions, accessors, iterators,
// assignments, classes, promises.

const DESCRIPTORS = ['value: 1', 'get() { return 2; }', 'set(x) { out(x); }', 'writable: true', 'enumerable: true', 'configurable: true'];
const VIEW_TYPES = ['Int8', 'Uint8', 'Int16', 'Uint16', 'Int32', 'Uint32', 'Float32', 'Float64'];

/** Makers of statements that catch what they throw. */
export const makeProtocols = (random, make, { caught, fresh }) => {
  const { pick, several, below, once } = random;

  // An object that says what it is asked for.
  const coercible = () => {
    const name = pick(['p', 'q', 'r']);
    return pick([
      () => `{ valueOf() { out('${name}v'); return ${make.any(0)}; }, toString() { out('${name}s'); return ${make.any(0)}; } }`,
      () => `{ [Symbol.toPrimitive](hint) { out('${name}' + hint); return ${make.any(0)}; } }`,
      () => `{ toString() { out('${name}s'); return ${make.string(0)}; }, toJSON(key) { out(key); return ${make.any(0)}; } }`,
      () => `{ valueOf() { throw '${name}'; } }`,
    ])();
  };

  const coercions = () => {
    const operator = pick(['+', '-', '*', '<', '>=', '==', '%', '&', '>>>', '**', 'in', 'instanceof', '??', '&&']);
    const whole = pick([
      () => `(${coercible()}) ${operator} (${coercible()})`,
      () => `(${make.any(0)}) ${operator} (${coercible()})`,
      () => `[${coercible()}, ${coercible()}].join()`,
      () => `\`\${${coercible()}}\``,
      () => `JSON.stringify({ a: ${coercible()}, b: [${coercible()}] }, (k, v) => { out(k); return v; })`,
      () => `({ [${coercible()}]: 1, [${coercible()}]: 2 })`,
      () => `[3, 1, 2].slice(${coercible()}, ${coercible()})`,
      () => `'abcabc'.replace(${coercible()}, ${coercible()})`,
      () => `new Uint8Array([${coercible()}, ${coercible()}])`,
      () => `BigInt.asIntN(${coercible()}, ${make.bigint(0)})`,
    ])();
    const text = operator === '**' ? `near(${whole})` : whole;
    return caught(`out(${text});`);
  };

  const accessor = key => `get ${key}() { out('get ${key}'); return ${make.any(0)}; }, set ${key}(x) { out('set ${key}'); out(x); }`;

  const assignments = () => {
    const operator = pick(['=', '+=', '-=', '*=', '||=', '&&=', '??=', '<<=', '>>>=']);
    const key = () => pick(['a', 'b', 'c']);
    const target = () => `o.${key()}`;
    const step = () =>
      pick([
        () => `${target()} ${operator} ${make.any(0)};`,
        () => `(out('o'), o)[(out('k'), '${key()}')] ${operator} (out('v'), ${make.any(0)});`,
        () => `out(${target()}${pick(['++', '--'])});`,
        () => `out(${pick(['++', '--'])}${target()});`,
        () => `out(delete ${target()});`,
        () => `out(${target()}?.b?.[out('never') ?? 'c']);`,
        () => `[${target()}, ...${target()}] = ${make.array(0)};`,
        () => `({ a: ${target()} = ${make.any(0)}, ...${target()} } = ${make.object(0)});`,
        () => `Object.defineProperty(o, '${key()}', { ${several(1, 3, () => pick(DESCRIPTORS)).join(', ')} });`,
        () => `Object.${pick(['freeze', 'seal', 'preventExtensions'])}(o);`,
      ])();
    return `{ const o = { ${accessor('a')}, b: ${make.any(0)} }; ${several(2, 5, () => caught(step())).join(' ')} out(o); }`;
  };

  const iterables = () => {
    const iterator =
      `const i = { n: 0, [Symbol.iterator]() { out('open'); return this; }, ` +
      `next() { out('next'); ${pick(['', '', "if (this.n === 2) throw 'n';"])} return { done: this.n >= ${below(4)}, value: this.n++ }; }, ` +
      `return(x) { out('return'); ${pick(['return {};', 'return {};', 'return 1;', "throw 'r';"])} } };`;
    const use = pick([
      'const [a, b] = i; out([a, b]);',
      "const [a = out('default'), , b] = i; out([a, b]);",
      'const [a, ...b] = i; out([a, b]);',
      'for (const x of i) { out(x); if (x) break; }',
      "for (const x of i) { out(x); if (x) throw 't'; }",
      'const [[a]] = i;',
      'out([...i, ...i]);',
      'out(new Map(i));',
      'out(Math.max(...i));',
      'out(Array.from(i, x => { if (x) throw x; return x; }));',
      "out((function* () { yield* i; })().next());",
      'out(new Set(i));',
      'out(Object.fromEntries(i));',
      'out(new Uint8Array(i));',
      "[i.p, (() => { throw 'u'; })().q] = i;",
    ]);
    return caught(`${iterator} ${use}`);
  };

  const closures = () => {
    const head = pick(['let i = 0; i < 3; i++', 'let i = 0, get = () => i; i < 2; i++, out(get())', 'var i = 0; i < 3; i++']);
    return pick([
      () => `{ const f = []; for (${head}) { f.push(() => i); ${pick(['', 'i++;', 'if (i) continue;'])} } out(f.map(g => g())); }`,
      () => caught(`out(t); ${pick(['let t = 1;', 'const t = 1;', 'class t {}', 'var t = 1;', 'function t() {}'])}`),
      () => caught(`out(((a, b = () => a, c = (a = 5, b())) => { var a; return [a, b(), c]; })(${make.any(0)}));`),
      () => caught(`out(((a, b = x => { a = x; return a; }, { c } = { c: () => a }) => { ${pick(['', 'var a;', 'var a = 1;', '{ let a; }'])} b(2); ${pick(['', 'a = 3;', 'a++;'])} return [a, b(4), c(), a]; })(${make.any(0)}));`),
      () => caught(`out((function (a, b) { a = 3; arguments[1] = 4; return [a, b, arguments]; })(1, 2));`),
      () => caught(`out((function () { return typeof this; }).call(${make.any(0)}));`),
      () => caught(`const f = function g(n) { return n ? g(n - 1) + 1 : typeof g; }; out(f(3)); out([f.name, f.length]);`),
      () => caught(`const { a = () => 1, b = class {}, ['c']: c = function () {} } = {}; out([a.name, b.name, c.name]);`),
    ])();
  };

  const inheritance = () => {
    const key = () => pick(["'x'", "'y'", 'Symbol.iterator', make.number(0)]);
    const element = () =>
      pick([
        () => `static [(out('key'), ${key()})] = (out('static'), this.name);`,
        () => `[(out('key'), ${key()})] = out('field');`,
        () => `get x() { return [super.x, new.target]; }`,
        () => `set x(v) { out(v); super.y = v; }`,
        () => `static s() { return this.#s; }`,
        () => `static async *g() { yield ${make.any(0)}; }`,
        () => `x() { return super.x?.(); }`,
        () => `static { out(Object.getOwnPropertyNames(this)); }`,
      ])();
    const parent = `class { constructor(...all) { out(all); out(new.target.name); ${pick(['', 'return [];', 'return new Proxy(this, {});'])} } get x() { return 7; } }`;
    const constructor = pick(['', 'constructor() { super(1); out(this); }', 'constructor() { out(0); }', 'constructor(a = super(2)) { out(a === this); }']);
    return caught(
      `class B extends ${parent} { static #s = ${make.any(0)}; ${constructor} ${several(1, 4, element).join(' ')} } ` +
        `const b = new B(3, 4); out(b); out(B); ${caught('out(b.x);')} ${caught('b.x = 5; out(b);')} ${caught('out(B.s());')}`,
    );
  };

  const orders = () => {
    const name = fresh();
    const step = () =>
      pick([
        () => `Promise.${pick(['resolve', 'reject'])}(${make.any(0)}).${pick(['then', 'finally', 'catch'])}(x => out(['${name}a', x])).catch(() => 0);`,
        () => `(async () => { try { out(['${name}b', await ${pick([make.any(0), '{ then(f) { f(3); } }', '{ then() { throw 4; } }', 'Promise.reject(5)'])}]); } catch (e) { out(['${name}c', e]); } })();`,
        () => `(async () => { for await (const x of (async function* () { yield ${make.any(0)}; yield* [Promise.resolve(1), 2]; })()) out(['${name}d', x]); })();`,
        () => `{ const g = (async function* () { try { yield 1; yield 2; } finally { out('${name}e'); } })(); g.next().then(out); g.${pick(['return', 'throw', 'next'])}(6).then(out, out); g.next().then(out); }`,
        () => `Promise.${pick(['all', 'allSettled', 'race', 'any'])}([${several(0, 3, () => pick([make.any(0), 'Promise.reject(7)', '{ then(f, r) { r(8); } }'])).join(', ')}]).then(out, out);`,
      ])();
    return several(2, 4, step).join(' ');
  };

  const collections = () => {
    const change = () => pick(['m.delete(k);', `m.set(${make.any(0)}, 0);`, 'm.clear();', `out(m.has(${make.any(0)}));`, '']);
    return pick([
      () => caught(`const m = new Map(${make.array(1)}.map((x, i) => [x, i])); let n = 0; for (const [k] of m) { out(k); if (n++ > 5) break; ${change()} } out(m);`),
      () => caught(`const s = new Set(${make.array(1)}); s.forEach(x => { out(x); s.delete(${make.any(0)}); }); out(s.size);`),
      () => caught(`const a = ${make.array(1)}; a.length = ${pick(['0', '2', '5', '-1', "'3'"])}; out(a.length); a[7] = 1; delete a[0]; out(a.indexOf(undefined)); out(Object.keys(a));`),
      () => caught(`const a = ${make.array(1)}; out(a.${pick(['forEach', 'map', 'filter', 'findIndex', 'findLast', 'reduceRight'])}((x, y, z) => { if (a.length < 9) a.push(a.length); return y; })); out(a);`),
    ])();
  };

  const buffers = () => {
    const type = pick(VIEW_TYPES);
    const number = () => `(x => (x === x ? x : 0))(${make.number(1)})`;
    return pick([
      () => caught(`const v = new DataView(new ArrayBuffer(8)); v.set${type}(${below(4)}, ${number()}, ${once(2)}); out([...new Uint8Array(v.buffer)]); out(v.get${pick(VIEW_TYPES.slice(0, 6))}(${below(9)}, ${once(2)}));`),
      () => caught(`const t = new ${type}Array([${several(1, 5, number).join(', ')}]); out(t.subarray(1).${pick(['sort()', 'reverse()', 'fill(3, 1)', 'slice(-2)', 'toSorted()', 'with(0, 1)', 'copyWithin(0, 1)', 'at(-1)'])}); out(t);`),
      () => caught(`const b = new ArrayBuffer(4, { maxByteLength: 9 }); const t = new Uint8Array(b); b.resize(${below(11)}); t[3] = ${number()}; out(t); out(t.length);`),
      () => caught(`const t = new ${type}Array(3); t.set(${pick(['[1, 2]', 'new Float32Array([1.5, -1])', '{ length: 2, 1: "7" }'])}, ${below(3)}); t['1'] = 9; t['-0'] = 1; t[1.5] = 2; out(t); out('1.5' in t);`),
    ])();
  };

  return [coercions, coercions, assignments, iterables, closures, inheritance, orders, collections, buffers];
};
