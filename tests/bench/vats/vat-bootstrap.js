import { E, Far } from '@endo/far';

// Starts what a benchmark asks for, message by message.
export const buildRootObject = () => {
  let left;
  let right;
  let ledger;
  let service;
  let bundlecap;
  let wasm;
  let spare;
  const fleet = [];
  return Far('bench', {
    async bootstrap(vats, devices) {
      ({ left, right, ledger } = vats);
      wasm = vats['wasm-left'];
      if (wasm) {
        await E(wasm).meet(vats['wasm-right']);
        await E(vats['wasm-right']).meet(wasm);
      }
      service = await E(vats.vatAdmin).createVatAdminService(devices.vatAdmin);
      bundlecap = await E(service).getNamedBundleCap('player');
    },
    serve: () => E(wasm).serve(),
    // More vats, which stay, each with some deliveries behind it.
    enlist: async (count, deliveries) => {
      for (let i = 0; i < count; i += 1) {
        const { root } = await E(service).createVat(bundlecap);
        for (let j = 0; j < deliveries; j += 1) await E(root).hello();
        fleet.push(root);
      }
    },
    greet: number => E(fleet[number]).hello(),
    // Messages that each change one of a hundred entries of a durable map.
    deposit: async count => {
      const done = [];
      for (let i = 0; i < count; i += 1) done.push(E(ledger).deposit(`name ${i % 100}`, i));
      await Promise.all(done);
      return E(ledger).balance('name 0');
    },
    calculate: turns => E(ledger).turns(turns),
    // Each vat of the fleet plays with its neighbour.
    games: rounds => {
      for (let i = 0; i + 1 < fleet.length; i += 2) {
        E(fleet[i]).play(fleet[i + 1], rounds);
      }
    },
    play: rounds => E(left).play(right, rounds),
    // Upgrades one vat of its own.
    renew: async () => {
      spare ||= await E(service).createVat(bundlecap);
      return E(spare.adminNode).upgrade(bundlecap);
    },
    create: async () => {
      const { root } = await E(service).createVat(bundlecap);
      return E(root).hello();
    },
  });
};
