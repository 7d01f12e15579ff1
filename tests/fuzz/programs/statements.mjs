// Random programs: lists of statements that hand values to `out`.

import { makeRandom } from './random.mjs';
import { makeExpressions } from './expressions.mjs';
import { subjectLiteral } from './regexps.mjs';
import { makeProtocols } from './protocols.mjs';

const TYPES = ['number', 'bigint', 'string', 'array', 'object'];

/** The program of a seed: `{ isStrict, statements }`. Any part of its statements is a program too. */
export const makeProgram = seed => {
  const random = makeRandom(seed);
  const scope = Object.fromEntries(TYPES.map(type => [type, []]));
  const make = makeExpressions(random, scope);
  let names = 0;
  const fresh = () => `v${(names += 1)}`;
  const depth = () => random.below(4);
  const { pick, several, once, below } = random;

  const caught = text => `try { ${text} } catch (e) { out(e); }`;

  const declaration = () => {
    const type = pick(TYPES);
    const name = fresh();
    const value = make[type](depth());
    scope[type].push(name);
    return `let ${name}; ${caught(`${name} = ${value}; out(${name});`)}`;
  };

  const output = () => caught(`out(${make.any(depth())});`);

  // A pattern of destructuring, with the names that it binds.
  const pattern = (levels, bound) => {
    const leaf = () => {
      const name = fresh();
      bound.push(name);
      return name;
    };
    const target = () => (levels > 0 && once(3) ? pattern(levels - 1, bound) : leaf());
    const element = () => target() + (once(2) ? ` = ${make.any(1)}` : '');
    if (once(2)) {
      const rest = once(3) ? `, ...${leaf()}` : '';
      return `[${several(1, 3, element).join(', ')}${rest}]`;
    }
    const key = () => pick(['a', 'b', '0', '1', 'length', `[${make.string(0)}]`]);
    const rest = once(3) ? `, ...${leaf()}` : '';
    return `{ ${several(1, 3, () => `${key()}: ${element()}`).join(', ')}${rest} }`;
  };

  const destructuring = () => {
    const bound = [];
    const text = pattern(2, bound);
    const value = pick([make.array, make.object, make.string])(1);
    return pick([
      () => caught(`const ${text} = ${value}; out([${bound.join(', ')}]);`),
      () => caught(`let ${bound.join(', ')}; (${text} = ${value}); out([${bound.join(', ')}]);`),
      () => caught(`out(((${text}) => [${bound.join(', ')}])(${value}));`),
      () => caught(`out((function (${text}, x = ${bound[0]}) { return [x, arguments.length]; })(${value}));`),
      () => caught(`for (const ${text} of [${value}, ${make.array(1)}]) out([${bound.join(', ')}]);`),
    ])();
  };

  const loop = () => {
    const label = fresh();
    const jump = pick(['continue', 'break', `continue ${label}`, `break ${label}`]);
    const body = `if (i ${pick(['===', '>', '<'])} ${below(4)}) ${jump}; out([i, j]);`;
    return pick([
      () => `${label}: for (let i = 0; i < 4; i++) { for (let j = 0; j < 2; j++) { ${body} } }`,
      () => `${label}: for (const i of ${make.array(1)}) { for (const j in ${make.object(1)}) { ${body} } }`,
      () => `${label}: for (const i of [0, 1, 2]) { let j = 3; while (j-- > 0) { try { ${body} } finally { out(j); } } }`,
      () => `${label}: for (let i = 0; i < 3; i++) { let j = 0; do { ${body} } while (++j < 2) }`,
    ])();
  };

  const choice = () => {
    const cases = several(1, 3, () => `case ${make.any(0)}: out(${below(9)}); ${pick(['break;', '', '{ }'])}`).join(' ');
    return `switch (${make.any(1)}) { ${cases} default: out('default'); ${pick(['', 'case 1: out(1);'])} }`;
  };

  const ending = () => {
    const part = () => pick([`return ${make.any(1)};`, `throw ${make.any(1)};`, 'out(0);', '']);
    return caught(`out((() => { try { ${part()} } catch (e) { out(e); ${part()} } finally { ${part()} } })());`);
  };

  const classes = () => {
    const name = `C${fresh()}`;
    const parent = pick(['', '', 'extends Array', 'extends Map', 'extends (class { constructor() { this.t = new.target.name; } m() { return 1; } })']);
    const call = parent ? 'super();' : '';
    const members = several(1, 5, () =>
      pick([
        () => `${pick(['', 'static '])}m${below(3)}(x = ${make.any(1)}) { return x; }`,
        () => `get g() { return ${make.any(1)}; }`,
        () => `static ${fresh()} = ${make.any(1)};`,
        () => `['k' + ${make.number(0)}] = ${make.any(0)};`,
        () => `static { out(${make.any(0)}); }`,
        () => `*[Symbol.iterator]() { yield ${make.any(0)}; }`,
        () => `toString() { return ${make.string(1)}; }`,
      ])(),
    );
    const secret = `#p = ${make.any(1)}; #q() { return this.#p; } q(o) { return [#p in o, this.#q()]; }`;
    return caught(
      `class ${name} ${parent} { ${secret} constructor() { ${call} this.own = ${make.any(0)}; } ${members.join(' ')} } ` +
        `const o = new ${name}(); out(o); out(o.q({})); out(Object.getOwnPropertyNames(${name}.prototype)); out(\`\${o}\`);`,
    );
  };

  const generators = () => {
    const body = several(1, 4, () =>
      pick([
        () => `out(yield ${make.any(1)});`,
        () => `yield* ${make.array(1)};`,
        () => `try { yield ${make.any(0)}; } finally { out('f'); ${pick(['', 'yield 9;'])} }`,
        () => `if (${make.bool(1)}) return ${make.any(0)};`,
        () => `{ const { a = yield /[)}]/g } = {}; out(a); }`,
      ])(),
    ).join(' ');
    const drive = several(1, 5, () => `out(g.${pick(['next', 'next', 'return', 'throw'])}(${make.any(0)}));`).join(' ');
    return caught(`const g = (function* () { ${body} })(); ${pick([drive, 'out([...g]);', 'const [p, q] = g; out([p, q]); out(g.next());'])}`);
  };

  const promises = () => {
    const name = fresh();
    const body = several(1, 4, () =>
      pick([
        () => `out(await ${make.any(1)});`,
        () => `out(await (async () => { throw ${make.any(0)}; })());`,
        () => `for await (const x of ${make.array(1)}) out(x);`,
        () => `out(await Promise.${pick(['all', 'allSettled', 'race', 'any'])}([${make.any(0)}, Promise.reject(1)].map(async x => x)));`,
      ])(),
    ).join(' ');
    return `const ${name} = async (x = ${make.number(0)} / 2) => { ${body} return x; }; ${name}().then(x => out(['${name}', x]), e => out(['${name}!', e]));`;
  };

  const proxies = () =>
    caught(
      `const p = new Proxy(${make.object(1)}, new Proxy({}, { get: (_, trap) => (...all) => { out(trap); return Reflect[trap](...all); } })); ` +
        pick(['out(Object.keys(p));', 'out({ ...p });', 'p.a = 1; delete p.a; out("a" in p);', 'out(JSON.stringify(p));']),
    );

  const regexps = () =>
    caught(
      `const r = ${make.regexp()}; const s = ${subjectLiteral(random)}; out(r.exec(s)); out(r.lastIndex); out(s.replace(r, '<$1$&>')); out(s.split(r, 5));`,
    );

  const tagged = () => caught(`out(((t, ...v) => [t, t.raw, v])${make.template(1)});`);

  const makers = [declaration, declaration, declaration, output, output, output, destructuring, loop, choice, ending, classes, generators, promises, proxies, regexps, regexps, tagged, ...makeProtocols(random, make, { caught, fresh })];
  const statements = several(1, 6, () => {
    const statement = pick(makers)();
    return /^(?:let|const) /.test(statement) ? statement : `{ ${caught(statement)} }`;
  });
  return { isStrict: !once(4), statements };
};
