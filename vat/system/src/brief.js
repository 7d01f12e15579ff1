// Short quotes of what a caller gave, for the texts of errors. Nothing looks inside of a value, so an error costs the
// same whatever was wrong.
import { b, q } from '@endo/errors';

const MAX_QUOTED = 100;
const MAX_BIGINT = 2n ** 256n;

const isHighSurrogate = code => code >= 0xd800 && code <= 0xdbff;

/** Returns a text, cut if it is long. It never ends in half a character. */
export const cut = (text, length = MAX_QUOTED) => {
  if (text.length <= length) {
    return text;
  }
  const end = isHighSurrogate(text.charCodeAt(length - 1)) ? length - 1 : length;
  return `${text.slice(0, end)}…`;
};

/** Returns the text that stands for a value in an error's message. */
export const brief = value => {
  switch (typeof value) {
    case 'string':
      return q(cut(value));
    case 'bigint':
      return value < MAX_BIGINT && value > -MAX_BIGINT ? q(value) : b('a bigint of more than 77 digits');
    case 'symbol':
      return b('a symbol');
    case 'function':
      return b('a function');
    case 'object':
      if (value === null) {
        return q(null);
      }
      return b(Array.isArray(value) ? 'an array' : 'an object');
    default:
      return q(value);
  }
};

/** Returns the text of a reason for a rejection. */
export const reasonText = reason => {
  const text = typeof reason === 'object' && reason !== null ? reason.message : reason;
  return typeof text === 'string' ? cut(text, 1000) : 'no reason that can be read';
};
