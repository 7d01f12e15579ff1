// A counter. Whoever holds it can read it and count up; nobody else can.
import { Far } from '@endo/far';

export const buildRootObject = (_vatPowers, { start = 0 } = {}) => {
  let count = start;

  return Far('counter', {
    increment(by = 1) {
      count += by;
      return count;
    },
    read() {
      return count;
    },
  });
};
