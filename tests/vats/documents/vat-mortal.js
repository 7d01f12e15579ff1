// A vat that ends in every way there is, and remembers its incarnations.
import { Far } from '@endo/far';

export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const incarnation = baggage.has('incarnation') ? baggage.get('incarnation') + 1 : 0;
  if (baggage.has('incarnation')) {
    baggage.set('incarnation', incarnation);
  } else {
    baggage.init('incarnation', incarnation);
  }
  let heard = 0;
  return Far('mortal', {
    parameters: () => vatParameters,
    incarnation: () => incarnation,
    hear: () => (heard += 1),
    exit: reason => vatPowers.exitVat(reason),
    fail: reason => vatPowers.exitVatWithFailure(Error(reason)),
    compute: () => {
      for (;;);
    },
    allocate: () => {
      const kept = [];
      for (;;) {
        kept.push(new Uint8Array(1_000_000).fill(kept.length));
      }
    },
    recurse: () => {
      const deeper = n => deeper(n + 1) + deeper(n + 2);
      return deeper(0);
    },
  });
};
