// A vat that keeps text in `vatPowers.vatstore`, and nothing else.
import { Far } from '@endo/far';

export const buildRootObject = ({ vatstore }) =>
  Far('stored', {
    methods: () => vatstore && harden(Object.keys(vatstore).sort()),
    get: key => vatstore.get(key),
    set: (key, value) => vatstore.set(key, value),
    delete: key => vatstore.delete(key),
    after: (...args) => vatstore.getAfter(...args),
    // All entries within bounds, as a loop of `getAfter` finds them.
    all: (...bounds) => {
      const found = [];
      for (let entry = ['']; (entry = vatstore.getAfter(entry[0], ...bounds)); ) {
        found.push(entry);
      }
      return harden(found);
    },
  });
