// Checks of the shape of an argument, which do not look at what else it holds.
//
// What comes with a message is made of passable values; of these an object for messages alone has a pass style of its
// own under this symbol.
import { b, Fail, q } from '@endo/errors';
import { passStyleOf } from '@endo/far';

import { brief } from './brief.js';

const PASS_STYLE = Symbol.for('passStyle');

/** Returns true for an object that messages can be sent to, and for a device node. */
export const isObject = value =>
  typeof value === 'object' &&
  value !== null &&
  value[PASS_STYLE] === 'remotable' &&
  passStyleOf(value) === 'remotable';

/** Returns true for a plain record. */
export const isRecord = value =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  value[PASS_STYLE] === undefined &&
  Object.getPrototypeOf(value) === Object.prototype;

/** Throws if a value is not a text, or is too long. */
export const insistText = (text, limit, what) => {
  (typeof text === 'string' && text.length <= limit) ||
    Fail`${b(what)} must be a text of at most ${q(limit)} characters, not ${brief(text)}`;
};

/** Throws the text of a problem as the kernel wrote it, without the quotes that Fail would add. */
export const insistNoProblem = (problem, what) => {
  if (problem) {
    throw Error(`${what}: ${problem}`);
  }
};
