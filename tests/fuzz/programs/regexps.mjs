// Valid regular expressions, and texts for them. Small: no two quantifiers inside one another but for short ones.
// `known.mjs` says what is left out.

const LITERALS = ['a', 'b', 'c', 'A', '1', '-', '_', ' ', '\\n', '\\.', '\\/', '\\(', '\\x61', '\\u0062'];
const CLASSES = ['\\d', '\\D', '\\w', '\\W', '\\s', '\\S', '.', '[ab]', '[^ab]', '[a-c1]', '[\\w.]', '[^\\W_]'];
const NOT_IN_SETS = ['[^]', '[\\d-]', '[]'];
const UNICODE = ['\\u{1F600}', '\\u{61}', '[\\u{1F600}a]', '\\p{L}', '\\P{Lu}', '\\p{Script=Latin}', '\\ud83d\\ude00', '\\ud83d'];
const SETS = ['[[a-c]--[b]]', '[\\w&&[ab1]]', '[\\q{ab|c}b]', '[[ab][1]]'];
const CONSUMERS = ['.', '[^q]', '\\S', 'a', '\\P{Lu}', '\\u{1F600}', '[\\u{1F600}ab]'];
const ANCHORS = ['^', '$', '\\b', '\\B'];
const QUANTIFIERS = ['*', '+', '?', '{2}', '{1,2}', '{0,3}', '{1,}', '*?', '+?', '??', '{1,2}?'];

/** A pattern with what it may refer to. */
const makePattern = (random, flags) => {
  const isUnicode = /[uv]/.test(flags);
  // Groups whose end has been written, by number and by name.
  const names = [];
  const numbers = [];
  let groups = 0;
  let named = 0;

  const group = (depth, isInner) => {
    const kinds = ['(', '(', '(?:', '(?<', '(?=', '(?!', '(?<=', '(?<!'];
    const kind = random.pick(kinds);
    const name = kind === '(?<' ? random.pick(['n', 'm', 'été', '$x', 'z1']) + (named += 1) : undefined;
    const number = kind === '(' || name ? (groups += 1) : undefined;
    const text = `${kind}${name ? `${name}>` : ''}${disjunction(depth - 1, isInner)})`;
    if (name) names.push(name);
    if (number) numbers.push(number);
    return { text, quantifiable: !/[=!]$/.test(kind) };
  };

  const reference = () => {
    if (names.length && random.once(2)) return `\\k<${random.pick(names)}>`;
    return numbers.length ? `\\${random.pick(numbers)}(?:)` : 'c';
  };

  const atom = (depth, isInner) => {
    const kind = random.below(12);
    if (kind < 3 && depth > 0) return group(depth, isInner);
    if (kind < 5) return { text: random.pick(flags.includes('v') ? CLASSES : [...CLASSES, ...NOT_IN_SETS]), quantifiable: true };
    if (kind === 5) return { text: random.pick(ANCHORS), quantifiable: false };
    if (kind === 6) return { text: reference(), quantifiable: false };
    if (kind === 7 && flags.includes('v')) return { text: random.pick(SETS), quantifiable: true };
    if (kind === 8 && isUnicode) return { text: random.pick(UNICODE), quantifiable: true };
    return { text: random.pick(isUnicode ? LITERALS.filter(text => text !== '-') : LITERALS), quantifiable: true };
  };

  // Inside a quantifier there are none without an upper bound, which would take exponential time.
  const term = (depth, isInner) => {
    const isQuantified = random.once(3);
    const { text, quantifiable } = atom(depth, isInner || isQuantified);
    if (!isQuantified || !quantifiable) return text;
    return text + random.pick(isInner ? ['?', '{2}', '??'] : QUANTIFIERS);
  };

  const disjunction = (depth, isInner) =>
    random
      .several(1, random.once(3) ? 3 : 1, () => random.several(random.once(5) ? 0 : 1, 3, () => term(depth, isInner)).join(''))
      .join('|');

  const text = disjunction(3, false);
  if (isUnicode) return `${random.pick(CONSUMERS)}(?:${text})`;
  return text === '' ? '(?:)' : text;
};

/** The source of a regular expression literal. */
export const regexpLiteral = random => {
  const flags = ['g', 'i', 'm', 's', 'y', 'd'].filter(() => random.once(4)).join('') + random.pick(['', '', 'u', 'v']);
  return `/${makePattern(random, flags)}/${flags}`;
};

const SUBJECT = ['a', 'b', 'c', 'A', 'B', '1', '2', '-', '_', ' ', '.', '/', '\\n', '\\u{1F600}', '\\ud83d', 'ab', 'aab'];

/** The source of a text for a regular expression. */
export const subjectLiteral = random => `'${random.several(0, 10, () => random.pick(SUBJECT)).join('')}'`;
