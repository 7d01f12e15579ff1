// Makes a maker and a watcher of vows, introduces them, upgrades them, and asks both.
import { E, Far } from '@endo/far';
import { heapVowE } from '@agoric/vow/vat.js';

export const buildRootObject = () => {
  let service;
  const vats = new Map();
  // What a client without durable storage waits for, by name.
  const waiting = new Map();

  const wait = (name, promise) => {
    waiting.set(name, ['pending']);
    E.when(
      promise,
      value => waiting.set(name, ['fulfilled', value]),
      reason => waiting.set(name, ['rejected', reason]),
    );
  };

  return Far('boss', {
    async bootstrap(others, devices) {
      service = await E(others.vatAdmin).createVatAdminService(devices.vatAdmin);
      for (const name of ['maker', 'watcher']) {
        const bundlecap = await E(service).getNamedBundleCap(name);
        vats.set(name, { bundlecap, ...(await E(service).createVat(bundlecap)) });
      }
    },
    async upgrade(name) {
      const { adminNode, bundlecap } = vats.get(name);
      const { incarnationNumber } = await E(adminNode).upgrade(bundlecap);
      return incarnationNumber;
    },
    // Has the watcher do something with vows of the maker's.
    async give(method, label, names) {
      const vows = await Promise.all(names.map(name => E(vats.get('maker').root).getVow(name)));
      return E(vats.get('watcher').root)[method](label, vows);
    },
    settle: (name, how, value) => E(vats.get('maker').root).settle(name, how, value),
    log: () => E(vats.get('watcher').root).getLog(),
    // Waits for a vow of a vat's: by E.when of heapVowE, or by a message sent to it.
    async waitFor(label, vat, name) {
      wait(label, heapVowE.when(E(vats.get(vat).root).getVow(name)));
    },
    async greetThrough(label, vat, name) {
      wait(label, heapVowE(E(vats.get(vat).root).getVow(name)).greet('boss'));
    },
    // Waits for the promise that the watcher's method gives.
    async waitForPromise(label, method, name) {
      const vow = await E(vats.get('maker').root).getVow(name);
      wait(label, E(vats.get('watcher').root)[method](vow));
    },
    waited: label => waiting.get(label),
  });
};
