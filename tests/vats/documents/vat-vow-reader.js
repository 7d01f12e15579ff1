// The examples of @agoric/vow's README, on the side that gets vows.
import { E as plainE, Far } from '@endo/far';
import { heapVowE as E } from '@agoric/vow';

export const buildRootObject = () =>
  Far('reader', {
    // With `E` of @endo/far a vow is a vow.
    async readPlain(vat) {
      const E = plainE;
      const w1 = E(vat).getVow('one');
      const w2 = E(vat).getObject();
      const a = await w1;
      const b = await E(w2).something('x', 'y');
      return harden([a, b].map(vow => [String(vow[Symbol.toStringTag]), Object.keys(vow), Object.keys(vow.payload)]));
    },
    // With heapVowE it is what it comes to.
    async read(vat) {
      const w1 = plainE(vat).getVow('one');
      const w2 = plainE(vat).getObject();
      const a = await E.when(w1);
      const b = await E(w2).something('x', 'y');
      return harden([a, b]);
    },
    async performSomeMethod(vow) {
      return `told: ${await E.when(vow)}`;
    },
  });
