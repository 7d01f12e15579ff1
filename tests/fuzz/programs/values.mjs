// Literals: the odd numbers, BigInts and texts at which engines differ.

const ODD_NUMBERS = [
  '0', '-0', '1', '-1', 'NaN', 'Infinity', '-Infinity', '0.5', '-0.5', '1.5', '2.5', '-2.5', '0.1', '1e21', '1e-7',
  '123456789012345680000', '999999999999999900000', '0.000001', '5e-324', '-5e-324', '2.2250738585072014e-308',
  '1.7976931348623157e308', '2147483647', '-2147483648', '2147483648', '4294967295', '4294967296', '-4294967297',
  '9007199254740991', '9007199254740992', '-9007199254740993', '18446744073709552000', '-18446744073709551616',
  '9223372036854775807', '0.49999999999999994', '4503599627370495.5', '0xff', '0b1011', '0o17', '1_000.5', '.5', '5.',
  '1.005', '1.45', '25', '8.345', '1e23', '1.0000000000000002', '4.35', '0.3', '1e100',
];

const ODD_BIGINTS = [
  '0n', '1n', '-1n', '7n', '-10n', '255n', '2147483647n', '-2147483648n', '2147483648n', '4294967295n', '4294967296n',
  '9007199254740991n', '9007199254740993n', '-9007199254740993n', '9223372036854775807n', '-9223372036854775808n',
  '18446744073709551615n', '18446744073709551616n', '-18446744073709551617n', '0xffn', '0b101n',
  '340282366920938463463374607431768211456n', '-340282366920938463463374607431768211455n',
];

const PIECES = [
  'a', 'b', 'c', 'A', 'B', 'ab', 'abc', '1', '2', '10', '0', '-', '_', ' ', '.', ',', '$&', '$1', '$<n>', '$$', '"',
  "\\'", '\\\\', '\\n', '\\t', '\\x00', '\\x41', '\\u00e9', '\\u{1F600}', '\\ud83d', '\\ude00', '\\u2028', '\\ufeff', 'é', 'ß',
  '0x1f', '1e3', 'Infinity', '-0', '1n', '%', '%41', '/', '//', '[', ']', '(', ')', '{', '}', '+', '*', '?', '^', '|',
];

const f64 = new Float64Array(1);
const u32 = new Uint32Array(f64.buffer);

const fromBits = (high, low) => {
  u32[1] = high;
  u32[0] = low;
  return f64[0];
};

/** A number of any exponent, with few or many digits, or beside a power of two. */
const anyNumber = random => {
  switch (random.below(5)) {
    case 0:
      return fromBits(random.bits(), random.bits());
    case 1:
      return fromBits(random.below(2047) << 20, [0, 1, 2][random.below(3)]);
    case 2:
      return (random.bits() - 2 ** 31) / [1, 2, 3, 8, 10, 1000][random.below(6)];
    case 3:
      return Number(`${random.below(100000)}e${random.below(60) - 30}`);
    default:
      return random.below(200) - 100;
  }
};

const parenthesized = text => (text.startsWith('-') ? `(${text})` : text);

/** The source of a number. */
export const numberLiteral = random => {
  if (random.once(2)) return parenthesized(random.pick(ODD_NUMBERS));
  const number = anyNumber(random);
  return Object.is(number, -0) ? '(-0)' : parenthesized(`${number}`);
};

/** The source of a BigInt of up to 200 bits. */
export const bigintLiteral = random => {
  if (random.once(2)) return parenthesized(random.pick(ODD_BIGINTS));
  let big = BigInt(random.bits());
  for (const _ of random.several(0, 5, () => 0)) big = (big << 32n) | BigInt(random.bits());
  big >>= BigInt(random.below(32));
  return parenthesized(`${random.once(2) ? -big : big}n`);
};

const NUMERIC_PIECES = ['1', '0', '9', '12', '.', 'e', 'E+', 'e-', '-', '+', '0x', '0b1', '0o', '_', ' ', '\\n', '\\ufeff', 'Infinity', 'n', 'f', '00', '308', '17976931348623157'];

/** The source of a text between single quotes: with lone surrogates, controls, and what looks like other things. */
export const stringLiteral = random => {
  const pieces = random.once(4) ? NUMERIC_PIECES : PIECES;
  return `'${random.several(0, 5, () => random.pick(pieces)).join('')}'`;
};

/** The text of a template's part. */
export const templatePart = random =>
  random
    .several(0, 3, () => random.pick(PIECES))
    .join('')
    .replaceAll('`', '')
    .replaceAll('${', '_');
