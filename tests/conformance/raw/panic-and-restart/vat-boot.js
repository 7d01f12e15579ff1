// Counts what it is asked, and ends as a critical vat when told to.
import { Far } from '@endo/far';

export const buildRootObject = vatPowers => {
  let count = 0;
  return Far('root', {
    bootstrap: () => 'up',
    add: () => (count += 1),
    end: () => {
      count += 100;
      vatPowers.exitVatWithFailure(Error('on purpose'));
      return 'ending';
    },
    fail: () => {
      throw Error('the host asked for this to panic');
    },
  });
};
