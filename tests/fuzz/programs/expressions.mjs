// Random expressions, by what they should give. They may throw: that is compared too.

import { bigintLiteral, numberLiteral, stringLiteral, templatePart } from './values.mjs';
import { regexpLiteral, subjectLiteral } from './regexps.mjs';

// Functions of Math whose results ECMA-262 fixes, and those that may be off by the last bits: `near` prints those.
const EXACT_MATH = ['abs', 'ceil', 'floor', 'fround', 'round', 'sign', 'sqrt', 'trunc', 'clz32'];
const NEAR_MATH = [
  'acos', 'acosh', 'asin', 'asinh', 'atan', 'atanh', 'cbrt', 'cos', 'cosh', 'exp', 'expm1', 'log', 'log10', 'log1p',
  'log2', 'sin', 'sinh', 'tan', 'tanh',
];
const BINARY = ['+', '-', '*', '/', '%', '&', '|', '^', '<<', '>>', '>>>'];
const COMPARE = ['<', '<=', '>', '>=', '==', '!=', '===', '!=='];
const TYPED_ARRAYS = [
  'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array',
  'Float32Array', 'Float64Array',
];
const KEYWORDS = ['if', 'of', 'in', 'yield', 'async', 'function', 'class', 'return', 'typeof', 'new', 'let', 'static', 'get'];
const KEYS = ['a', 'b', 'c', '0', '1', 'length', ...KEYWORDS];

/**
 * Makes expressions. `scope` has the names of variables of each type: `number`, `bigint`, `string`, `array`, `object`.
 * Each method takes how deep it may nest.
 */
export const makeExpressions = (random, scope) => {
  const { pick, once, several, below } = random;
  const variable = (type, otherwise) => (scope[type].length ? pick(scope[type]) : otherwise());

  const number = depth => {
    if (depth <= 0) return once(2) ? variable('number', () => numberLiteral(random)) : numberLiteral(random);
    const inner = () => number(depth - 1);
    return pick([
      () => `(${inner()} ${pick(BINARY)} ${inner()})`,
      () => `(${inner()} ${pick(BINARY)} ${inner()})`,
      () => `(${pick(['-', '+', '~', ''])}(${inner()}))`,
      () => `Math.${pick(EXACT_MATH)}(${inner()})`,
      () => `Math.${pick(['max', 'min', 'imul'])}(${inner()}, ${inner()})`,
      () => `${string(depth - 1)}.length`,
      () => `${string(depth - 1)}.${pick(['indexOf', 'lastIndexOf', 'search'])}(${stringLiteral(random)})`,
      () => `${pick(['parseInt', 'parseFloat', 'Number'])}(${string(depth - 1)})`,
      () => `parseInt(${string(depth - 1)}, ${pick([2, 8, 10, 16, 0, 1])})`,
      () => `parseInt(${string(depth - 1)}.slice(0, 9), ${2 + below(36)})`,
      () => `Number((${number(0)})${pick(['', '.toString()', '.toFixed(3)'])})`,
      () => `Number(${bigint(depth - 1)})`,
      () => `${string(depth - 1)}.${pick(['charCodeAt', 'codePointAt'])}(${below(4)})`,
      () => `(${bool(depth - 1)} ? ${inner()} : ${inner()})`,
      () => arrow(depth - 1),
      () => `({ ${pick(KEYWORDS)}: ${inner()} }).${pick(KEYWORDS)} / ${inner()}`,
      () => `${array(depth - 1)}.reduce((x, y) => x + +y, 0)`,
      () => `(${inner()}, ${inner()})`,
      () => `(+${bool(depth - 1)})`,
    ])();
  };

  const bigint = depth => {
    if (depth <= 0) return once(2) ? variable('bigint', () => bigintLiteral(random)) : bigintLiteral(random);
    const inner = () => bigint(depth - 1);
    return pick([
      () => `(${inner()} ${pick(['+', '-', '*', '/', '%', '&', '|', '^'])} ${inner()})`,
      () => `(${inner()} ${pick(['+', '-', '*', '/', '%', '&', '|', '^'])} ${inner()})`,
      () => `(${inner()} ${pick(['<<', '>>'])} ${pick(['', '-'])}${below(130)}n)`,
      () => `(${inner()} ** ${below(6)}n)`,
      () => `(${pick(['-', '~'])}${inner()})`,
      () => `BigInt.${pick(['asIntN', 'asUintN'])}(${pick([0, 1, 8, 31, 32, 33, 53, 63, 64, 65, 128])}, ${inner()})`,
      () => `BigInt(${number(depth - 1)})`,
      () => `BigInt(${pick(["'0x'", "'0b'", "'-'", "''"])} + ${below(1000000)})`,
      () => `BigInt(${inner()}.toString())`,
      () => `(${bool(depth - 1)} ? ${inner()} : ${inner()})`,
    ])();
  };

  const numeric = depth => (once(2) ? number(depth) : bigint(depth));

  const bool = depth => {
    if (depth <= 0) return pick(['true', 'false']);
    return pick([
      () => `(${numeric(depth - 1)} ${pick(COMPARE)} ${numeric(depth - 1)})`,
      () => `(${numeric(depth - 1)} ${pick(COMPARE)} ${numeric(depth - 1)})`,
      () => `(${string(depth - 1)} ${pick(COMPARE)} ${string(depth - 1)})`,
      () => `(${any(0)} ${pick(COMPARE)} ${any(0)})`,
      () => `(!${any(depth - 1)})`,
      () => `Object.is(${any(0)}, ${any(0)})`,
      () => `${regexpLiteral(random)}.test(${subjectLiteral(random)})`,
      () => `${array(depth - 1)}.${pick(['includes', 'some', 'every'])}(${once(2) ? 'x => x > 1' : any(0)})`,
      () => `Number.is${pick(['Integer', 'SafeInteger', 'NaN', 'Finite'])}(${any(depth - 1)})`,
      () => `(${pick(KEYS.map(key => `'${key}'`))} in ${object(depth - 1)})`,
      () => `${string(depth - 1)}.${pick(['startsWith', 'endsWith', 'includes'])}(${stringLiteral(random)})`,
      () => `${string(depth - 1)}.isWellFormed()`,
    ])();
  };

  const string = depth => {
    if (depth <= 0) return once(2) ? variable('string', () => stringLiteral(random)) : stringLiteral(random);
    const inner = () => string(depth - 1);
    const at = () => below(9) - 3;
    return pick([
      () => `(${inner()} + ${any(depth - 1)})`,
      () => template(depth - 1),
      () => template(depth - 1),
      () => `String(${any(depth - 1)})`,
      () => `(${number(depth - 1)}).${pick(['toFixed', 'toExponential'])}(${pick([0, 1, 2, 3, 10, 20, 21, 50, 100, 101])})`,
      () => `(${number(depth - 1)}).toPrecision(${pick([0, 1, 2, 3, 15, 16, 17, 21, 50, 100])})`,
      () => `(${number(depth - 1)}).toExponential()`,
      () => `Math.trunc((${number(depth - 1)}) % 2 ** 53).toString(${2 + below(35)})`,
      () => `(${bigint(depth - 1)}).toString(${2 + below(35)})`,
      () => `${inner()}.${pick(['slice', 'substring', 'substr'])}(${at()}, ${at()})`,
      () => `${inner()}.${pick(['padStart', 'padEnd'])}(${below(12)}, ${stringLiteral(random)})`,
      () => `${inner()}.repeat(${below(4)})`,
      () => `${inner()}.${pick(['toUpperCase', 'toLowerCase', 'trim', 'trimStart', 'trimEnd', 'toWellFormed'])}()`,
      () => `${inner()}.${pick(['replace', 'replaceAll'])}(${stringLiteral(random)}, ${stringLiteral(random)})`,
      () => `${subjectLiteral(random)}.replace(${regexpLiteral(random)}, ${replacement()})`,
      () => `String.raw\`${templatePart(random)}\${${any(depth - 1)}}\``,
      () => `JSON.stringify(${any(depth - 1)}${pick(['', ", null, ' '", ', null, 3', ", ['a', '1']"])})`,
      () => `${array(depth - 1)}.join(${stringLiteral(random)})`,
      () => `(typeof ${any(depth - 1)})`,
      () => `${pick(['encodeURIComponent', 'encodeURI', 'decodeURIComponent', 'escape', 'unescape'])}(${inner()})`,
      () => `String.${pick(['fromCharCode', 'fromCodePoint'])}(${number(depth - 1)}, ${below(70000)})`,
    ])();
  };

  const replacement = () => pick([() => stringLiteral(random), () => '(...all) => show(all.slice(0, -1))', () => "'[$&|$1|$`]'"])();

  const template = depth =>
    `\`${templatePart(random)}${several(0, 2, () => `\${${any(depth)}}${templatePart(random)}`).join('')}\``;

  // An arrow function with odd parameters, called at once: the look-ahead of a parser has to find its end.
  const arrow = depth => {
    const dividend = pick([
      () => `(${number(depth)})`,
      () => template(depth),
      () => `({ ${pick(KEYWORDS)}: ${number(0)} }).${pick(KEYWORDS)}`,
      () => `${array(depth)}[0]`,
      () => `((of, async) => of / ${number(0)} / async)(${number(0)}, 2)`,
      () => `(() => { if (${bool(depth)}) { } /[)\\]}]/.test(${string(0)}); return ${number(0)}; })()`,
      () => `${regexpLiteral(random)}.lastIndex`,
    ]);
    const parameter = () =>
      pick([
        () => `x = ${dividend()} / ${number(0)}`,
        () => `[x = ${dividend()} / ${number(0)} / 2] = []`,
        () => `{ x = ${dividend()} / ${number(0)} } = {}`,
        () => `{ a: x = ${dividend()} / 2, ...y } = ${object(depth)}`,
      ])();
    return `((${parameter()}) => x / ${number(0)})()`;
  };

  const array = depth => {
    if (depth <= 0) return variable('array', () => `[${several(0, 3, () => any(0)).join(', ')}]`);
    const inner = () => array(depth - 1);
    const numbers = () => `[${several(0, 6, () => numeric(0)).join(', ')}].filter(x => x === x)`;
    return pick([
      () => `[${several(0, 5, () => pick([any(depth - 1), `...${inner()}`, ''])).join(', ')}]`,
      () => `${inner()}.${pick(['map', 'flatMap'])}((x, i) => ${pick(['[x, i]', 'i', 'x', '`${x}`'])})`,
      () => `${inner()}.filter((x, i) => ${pick(['x', 'i % 2', 'x > 1'])})`,
      () => `${numbers()}.${pick(['sort', 'toSorted'])}((x, y) => (x < y ? -1 : x > y ? 1 : 0))`,
      () => `${inner()}.map(x => typeof x === 'symbol' ? 's' : \`\${x}\`).${pick(['sort', 'toSorted'])}()`,
      () => `${inner()}.${pick(['slice', 'splice', 'toSpliced'])}(${below(7) - 3}, ${below(4)})`,
      () => `${inner()}.${pick(['flat()', 'flat(2)', 'reverse()', 'toReversed()', 'concat([1, , 2])', 'fill(0, 1)', 'copyWithin(0, 1)'])}`,
      () => `${inner()}.with(${below(4) - 1}, ${any(0)})`,
      () => `Array.from(${pick([inner(), string(depth - 1), `{ length: ${below(4)}, 1: 'q' }`])})`,
      () => `[...${string(depth - 1)}]`,
      () => `${string(depth - 1)}.split(${pick([stringLiteral(random), regexpLiteral(random)])})`,
      () => `(${regexpLiteral(random)}.exec(${subjectLiteral(random)}) || [])`,
      () => `(${subjectLiteral(random)}.match(${regexpLiteral(random)}) || [])`,
      () => `[...${subjectLiteral(random)}.matchAll(${regexpLiteral(random)})]`,
      () => `Object.${pick(['keys', 'values', 'entries', 'getOwnPropertyNames'])}(${object(depth - 1)})`,
      () => `[...new ${pick(TYPED_ARRAYS)}(${numbers()}.map(Number))]`,
      () => `[...new ${pick(['BigInt64Array', 'BigUint64Array'])}([${several(0, 4, () => bigint(depth - 1)).join(', ')}])]`,
      () => `[...new Uint8Array(new ${pick(TYPED_ARRAYS)}([${number(depth - 1)}, ${number(0)}].filter(x => x === x)).buffer)]`,
      () => `[...new Set(${inner()})]`,
      () => `[...new Map(${inner()}.map((x, i) => [x, i]))]`,
    ])();
  };

  const object = depth => {
    if (depth <= 0) return variable('object', () => `{ ${pick(KEYS)}: ${any(-1)} }`).replace(/^\{.*\}$/s, '($&)');
    const keys = [...KEYS];
    const key = () => keys.splice(below(keys.length), 1)[0];
    const property = () =>
      pick([
        () => `${key()}: ${any(depth - 1)}`,
        () => `['#' + ${string(0)}]: ${any(depth - 1)}`,
        () => `${pick(['', 'async ', '*'])}${key()}(x = ${number(0)} / 2) { return x; }`,
        () => `...${object(depth - 1)}`,
        () => `...${array(depth - 1)}`,
      ])();
    const accessor = () => (once(3) ? [`get g${below(1000000)}() { return ${any(depth - 1)}; }`] : []);
    return pick([
      () => `({ ${[...several(0, 4, property), ...accessor()].join(', ')} })`,
      () => `({ ${[...several(0, 4, property), ...accessor()].join(', ')} })`,
      () => `Object.fromEntries(${array(depth - 1)}.map((x, i) => [i % 3, x]))`,
      () => `Object.assign(${object(depth - 1)}, ${object(depth - 1)})`,
      () => `JSON.parse(JSON.stringify(${object(depth - 1)}))`,
      () => `JSON.parse('{"a":[1,-0,1e3],"b":{"c":"\\\\ud83d"}}', (k, v) => ${pick(['v', 'k', 'typeof v === "number" ? -v : v'])})`,
      () => `Object.${pick(['freeze', 'seal', 'preventExtensions'])}(${object(depth - 1)})`,
      () => `Object.getOwnPropertyDescriptors(${object(depth - 1)})`,
    ])();
  };

  /** What `Math` gives or may be off by the last bits, marked. */
  const near = depth =>
    pick([
      () => `near(Math.${pick(NEAR_MATH)}(${number(depth)}))`,
      () => `near(Math.${pick(['pow', 'atan2', 'hypot'])}(${number(depth)}, ${number(depth)}))`,
      () => `near((${number(depth)}) ** (${number(depth)}))`,
    ])();

  const any = depth => {
    if (depth < 0) return pick(['undefined', 'null', 'true', '0', "'a'", '1n']);
    return pick([number, number, bigint, string, string, bool, array, object, depth > 0 ? near : number])(depth);
  };

  return { number, bigint, string, bool, array, object, any, template, regexp: () => regexpLiteral(random) };
};
