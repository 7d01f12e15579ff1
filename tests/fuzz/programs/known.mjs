// Where Node and the worker are known to differ. Programs leave these out, or mark them; everything else is a fault.

/** Each with what is left out, why, and where the programs see to it. */
export const KNOWN_DIFFERENCES = [
  {
    what: 'the last bits of Math.sin and its like, of Math.pow and of ** on numbers',
    why: 'ECMA-262 leaves them to the implementation; V8 has its own functions and the worker has musl\'s',
    where: 'near in realm.mjs: marked numbers agree within eight units in the last place',
  },
  {
    what: 'toString(radix) of fractions and of integers beyond 2 ** 53, but for radix 10',
    why: 'ECMA-262 leaves the digits to the implementation',
    where: 'string in expressions.mjs: safe integers alone',
  },
  {
    what: 'parseInt(text, radix) beyond 20 digits in radixes that are not 2, 4, 8, 10, 16 or 32',
    why: 'ECMA-262 lets it be approximate; V8\'s is, the worker\'s is exact',
    where: 'number in expressions.mjs: short texts alone',
  },
  {
    what: 'the order of sort with a NaN',
    why: 'ECMA-262 leaves it to the implementation: such a comparison is not consistent',
    where: 'array in expressions.mjs: no NaN',
  },
  {
    what: 'the bits of a NaN',
    why: 'ECMA-262 leaves them to the implementation; the vat host makes them canonical, Node\'s WebAssembly does not',
    where: 'array in expressions.mjs: no NaN where bytes are looked at',
  },
  {
    what: 'the texts of errors that the engine makes, and stacks',
    why: 'ECMA-262 does not name them',
    where: 'show in realm.mjs prints names of errors',
  },
  {
    what: 'which traps a for-in loop over a proxy calls',
    why: 'ECMA-262 leaves EnumerateObjectProperties to the implementation',
    where: 'proxies in statements.mjs has no for-in',
  },
  {
    what: 'the order of an accessor, and of a key that stands twice, in an object literal with a spread or computed keys',
    why: 'Node is wrong: it defines accessors after what follows them, and leaves out the first of equal keys',
    where: 'object in expressions.mjs: one accessor with a name of its own, at the end, and no key twice',
  },
  {
    what: 'a match of nothing between the two halves of a surrogate pair, with flag u or v',
    why: 'Node is wrong: AdvanceStringIndex goes by code points, V8 tries every code unit',
    where: 'makePattern in regexps.mjs: these patterns take a code point first',
  },
  {
    what: 'Object.fromEntries of an iterator that throws',
    why: 'both are wrong: ECMA-262 does not close it, Node and the worker do',
    where: 'iterables in protocols.mjs has it not',
  },
  {
    what: '[^] with flag v',
    why: 'Node 20 is wrong: it matches nothing',
    where: 'NOT_IN_SETS in regexps.mjs',
  },
  {
    what: 'a back reference inside of its own group',
    why: 'Node is wrong: captures of an earlier match of the same call show through',
    where: 'reference in regexps.mjs: closed groups alone',
  },
  {
    what: 'equal names of groups in different alternatives, flags in groups, Float16Array, methods of iterators and sets',
    why: 'Node 20 does not have them',
    where: 'no program has them; vat/js/tests/syntax.rs tests the names',
  },
];
