import { E, Far } from '@endo/far';

// Creates vats that keep much, each with a heap snapshot.
export const buildRootObject = () => {
  let service;
  let bundlecap;
  const hoards = [];
  return Far('sync', {
    async bootstrap(vats, devices) {
      service = await E(vats.vatAdmin).createVatAdminService(devices.vatAdmin);
      bundlecap = await E(service).getNamedBundleCap('hoard');
    },
    enlist: async (count, bytes) => {
      for (let i = 0; i < count; i += 1) {
        const { root } = await E(service).createVat(bundlecap);
        await E(root).keep(hoards.length, bytes);
        for (let j = 0; j < 4; j += 1) await E(root).hello();
        hoards.push(root);
      }
    },
    greet: number => E(hoards[number]).hello(),
  });
};
