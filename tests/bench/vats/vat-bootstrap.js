import { E, Far } from '@endo/far';

// Starts what a benchmark asks for, message by message.
export const buildRootObject = () => {
  let left;
  let right;
  let service;
  let bundlecap;
  return Far('bench', {
    async bootstrap(vats, devices) {
      ({ left, right } = vats);
      service = await E(vats.vatAdmin).createVatAdminService(devices.vatAdmin);
      bundlecap = await E(service).getNamedBundleCap('player');
    },
    play: rounds => E(left).play(right, rounds),
    create: async () => {
      const { root } = await E(service).createVat(bundlecap);
      return E(root).hello();
    },
  });
};
