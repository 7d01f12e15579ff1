// A vat that asks to be encouraged.
import { E, Far } from '@endo/far';

export const buildRootObject = () =>
  Far('user', {
    talkTo: async (encourager, name) => {
      for (let turn = 0; turn < 2; turn += 1) {
        const heard = await E(encourager).encourage();
        console.log(`${name} hears: ${heard}`);
      }
      return E(encourager).count();
    },
  });
