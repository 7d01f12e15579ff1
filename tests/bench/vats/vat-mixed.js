// Keeps vats of `vat-mixed-worker.js` busy, and makes, upgrades and ends them: what a chain's kernel changes in its state.
import { E, Far } from '@endo/far';

export const buildRootObject = () => {
  let service;
  let bundlecap;
  const workers = new Map();
  return Far('mixed', {
    async bootstrap(vats, devices) {
      service = await E(vats.vatAdmin).createVatAdminService(devices.vatAdmin);
      bundlecap = await E(service).getNamedBundleCap('worker');
    },
    async create(name) {
      workers.set(name, await E(service).createVat(bundlecap, { vatParameters: { name } }));
    },
    // Every worker trades with the next one, and all settle.
    async round(n) {
      const all = [...workers.values()];
      const next = i => all[(i + 1) % all.length].root;
      await Promise.all(all.map(({ root }, i) => E(root).trade(n, next(i))));
    },
    async upgrade(name) {
      await E(workers.get(name).adminNode).upgrade(bundlecap, { vatParameters: { name } });
    },
    async end(name) {
      const { adminNode } = workers.get(name);
      workers.delete(name);
      await E(adminNode).terminateWithFailure(Error('enough'));
    },
  });
};
