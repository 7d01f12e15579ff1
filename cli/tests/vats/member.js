// A vat of a subcluster: remembers how it was introduced.
import { E, Far } from '@endo/far';

export const buildRootObject = (_vatPowers, { name = 'nobody', fails = false } = {}) => {
  if (fails) {
    throw Error('as asked');
  }
  let others = {};
  return Far('member', {
    async bootstrap(vats, services) {
      others = vats;
      const names = await Promise.all(Object.keys(vats).map(key => E(vats[key]).title()));
      return harden({ names, services: Object.keys(services) });
    },
    title: () => name,
    ask: other => E(others[other]).title(),
  });
};
