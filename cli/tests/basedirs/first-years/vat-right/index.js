import { Far } from '@endo/far';
import { half } from '../lib/half.js';

export function buildRootObject() {
  return Far('right', {
    bar: x => {
      console.log(`right.bar ${x}`);
      return half(x);
    },
  });
}
