// Starts the maker and the reader, and upgrades them.
import { E, Far } from '@endo/far';

export const buildRootObject = () => {
  const vats = new Map();
  const root = name => vats.get(name).root;
  return Far('boss', {
    async bootstrap({ vatAdmin }, devices) {
      const service = await E(vatAdmin).createVatAdminService(devices.vatAdmin);
      for (const name of ['maker', 'reader']) {
        const bundlecap = await E(service).getNamedBundleCap(name);
        vats.set(name, { bundlecap, ...(await E(service).createVat(bundlecap)) });
      }
    },
    read: method => E(root('reader'))[method](root('maker')),
    make: (method, ...args) => E(root('maker'))[method](...args),
    tell: method => E(root('maker'))[method](root('reader')),
    async upgrade(name) {
      const { adminNode, bundlecap } = vats.get(name);
      return E(adminNode).upgrade(bundlecap);
    },
  });
};
