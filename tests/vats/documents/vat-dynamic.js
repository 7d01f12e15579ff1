// What SwingSet's "Dynamic Vats" shows, step by step.
import { E, Far } from '@endo/far';

export const buildRootObject = ({ D }) => {
  let devices;
  let vatAdminService;
  let criticalVatKey;
  // Vats by name: root, adminNode, and what done() came to.
  const made = new Map();

  const note = (name, vat) => {
    const ending = [];
    made.set(name, { ...vat, ending });
    E(vat.adminNode)
      .done()
      .then(
        reason => ending.push('resolved', reason),
        error => ending.push('rejected', error.name, error.message),
      );
  };

  return Far('bootstrap', {
    async bootstrap(vats, theDevices) {
      devices = theDevices;
      criticalVatKey = await E(vats.vatAdmin).getCriticalVatKey();
      vatAdminService = await E(vats.vatAdmin).createVatAdminService(devices.vatAdmin);
      return Object.keys(devices).sort();
    },

    async countToTwo(bundleID) {
      const bundlecap = D(devices.bundle).getBundleCap(bundleID);
      const { root } = await E(vatAdminService).createVat(bundlecap);
      const counts = [];
      await E(root).increment();
      let count = E(root).read();
      counts.push(await count);
      await E(root).increment();
      count = E(root).read();
      counts.push(await count);
      return harden(counts);
    },
    bundleOf(bundleID) {
      const bundlecap = D(devices.bundle).getBundleCap(bundleID);
      return bundlecap && D(bundlecap).getBundleID();
    },
    bundleDeviceCan: method => {
      try {
        return [true, D(devices.bundle)[method]('v1', undefined)];
      } catch (error) {
        return [false, error.message];
      }
    },

    async create(name, bundleID, options = {}, { isCritical = false, computrons = 0 } = {}) {
      const bundlecap = await E(vatAdminService).getBundleCap(bundleID);
      const meter = computrons ? await E(vatAdminService).createMeter(BigInt(computrons), 0n) : undefined;
      const key = isCritical ? { critical: criticalVatKey } : {};
      note(name, await E(vatAdminService).createVat(bundlecap, { meter, ...key, ...options }));
      made.get(name).meter = meter;
    },
    tell: (name, method, ...args) => E(made.get(name).root)[method](...args),
    // Calls a method that the vat does not survive.
    kill: (name, method, ...args) =>
      E(made.get(name).root)
        [method](...args)
        .then(
          value => ['resolved', value],
          error => ['rejected', error.name, error.message],
        ),
    admin: (name, method, ...args) => E(made.get(name).adminNode)[method](...args),
    end: (name, reason) => E(made.get(name).adminNode).terminateWithFailure(Error(reason)),
    ending: name => harden([...made.get(name).ending]),
    meter: name => E(made.get(name).meter).get(),
    async upgrade(name, bundleID, upgradeOptions) {
      const bundlecap = await E(vatAdminService).getBundleCap(bundleID);
      return E(made.get(name).adminNode).upgrade(bundlecap, upgradeOptions);
    },
  });
};
