import { Far } from '@endo/far';

export const buildRootObject = () =>
  Far('bootstrap', {
    bootstrap: ([why]) => {
      throw TypeError(`no ${why}`);
    },
  });
