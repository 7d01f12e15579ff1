import { E, Far } from '@endo/far';

// Lets a vat keep ever more objects, or makes ever more vats.
export const buildRootObject = () => {
  let holder;
  let service;
  let keeperCap;
  let playerCap;
  let keeper;
  const fleet = [];
  return Far('grower', {
    async bootstrap(vats, devices) {
      holder = vats.holder;
      service = await E(vats.vatAdmin).createVatAdminService(devices.vatAdmin);
      keeperCap = await E(service).getNamedBundleCap('keeper');
      playerCap = await E(service).getNamedBundleCap('player');
      keeper = await E(service).createVat(keeperCap);
    },
    // Objects of one vat.
    keep: async (from, count, each) => {
      for (let i = from; i < from + count; i += each) await E(keeper.root).grow(i, each, holder);
    },
    touch: number => E(keeper.root).touch(number),
    // A message to each vat that an upgrade concerns.
    wake: async number => {
      await E(service).getNamedBundleCap('keeper');
      return E(keeper.root).touch(number);
    },
    renew: () => E(keeper.adminNode).upgrade(keeperCap),
    // Vats of one bundle, each with some deliveries behind it.
    enlist: async (count, deliveries) => {
      for (let i = 0; i < count; i += 1) {
        const vat = await E(service).createVat(playerCap);
        for (let j = 0; j < deliveries; j += 1) await E(vat.root).hello();
        fleet.push(vat);
      }
    },
    greet: number => E(fleet[number].root).hello(),
    replace: number => E(fleet[number].adminNode).upgrade(playerCap),
  });
};
