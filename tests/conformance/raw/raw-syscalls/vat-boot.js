// Creates raw vats by name, tells each to misbehave, and says how each ended.
import { E } from '@endo/eventual-send';
import { Far } from '@endo/far';

export const buildRootObject = () => {
  let service;
  const made = new Map();
  return Far('root', {
    bootstrap: async ({ vatAdmin }, devices) => {
      service = E(vatAdmin).createVatAdminService(devices.vatAdmin);
    },
    make: async name => {
      const bundlecap = await E(service).getNamedBundleCap('raw');
      const { root, adminNode } = await E(service).createVat(bundlecap, { enableSetup: true });
      made.set(name, { root, done: E(adminNode).done() });
    },
    tell: (name, ...calls) => E(made.get(name).root).do(...calls),
    ended: name =>
      made.get(name).done.then(
        value => ['exit', value],
        reason => ['failure', `${reason}`],
      ),
  });
};
