// Times, as records of `@agoric/time`. An absolute time is `{timerBrand, absValue}` and a span is `{timerBrand,
// relValue}`, with naturals as bigints. A timer brands the times that it returns. It also takes plain naturals.
import { Fail, q } from '@endo/errors';
import { Nat } from '@endo/nat';

import { brief } from './brief.js';

/** The greatest time that the timer device knows. */
export const LAST_TIME = 2n ** 128n - 1n;

const natural = value => {
  const isWhole = typeof value === 'bigint' || Number.isSafeInteger(value);
  (isWhole && value >= 0) || Fail`not a time: ${brief(value)}; expected a natural`;
  const nat = Nat(value);
  nat <= LAST_TIME || Fail`not a time: ${brief(nat)}; at most 2^128-1`;
  return nat;
};

const unbrand = (time, field, timerBrand) => {
  if (typeof time === 'number' || typeof time === 'bigint') {
    return natural(time);
  }
  (typeof time === 'object' && time !== null && Object.hasOwn(time, field)) ||
    Fail`not a time: ${brief(time)}; expected a natural or {timerBrand, ${q(field)}}`;
  time.timerBrand === timerBrand || Fail`the time is of another timer`;
  return natural(time[field]);
};

/** Returns the natural that an absolute time stands for. */
export const fromTimestamp = (time, timerBrand) => unbrand(time, 'absValue', timerBrand);

/** Returns the natural that a span of time stands for. */
export const fromRelativeTime = (span, timerBrand) => unbrand(span, 'relValue', timerBrand);

/** Returns an absolute time of the timer. */
export const toTimestamp = (absValue, timerBrand) => harden({ timerBrand, absValue });

/**
 * Returns the position of `now` in the rhythm `start`, `start + interval`, and so on. That is the latest beat
 * (undefined before the first) and the next one, each with its time and its number, from 1n.
 */
export const beats = (start, interval, now) => {
  if (now < start) {
    return { latest: undefined, next: { time: start, count: 1n } };
  }
  const passed = (now - start) / interval;
  const latest = { time: start + passed * interval, count: passed + 1n };
  return { latest, next: { time: latest.time + interval, count: latest.count + 1n } };
};
