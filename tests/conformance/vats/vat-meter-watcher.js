import { Far, E } from '@endo/far';

// Makes a vat whose start takes its meter below the threshold, and answers with what the meter's
// notifier told.
export const buildRootObject = () =>
  Far('watcher', {
    async bootstrap({ vatAdmin }, devices) {
      const service = await E(vatAdmin).createVatAdminService(devices.vatAdmin);
      const meter = await E(service).createMeter(1_000_000_000n, 1_000_000_000n);
      const notifier = await E(meter).getNotifier();
      const update = E(notifier).getUpdateSince();
      const cap = await E(service).getNamedBundleCap('spender');
      await E(service).createVat(cap, { meter });
      const first = await update;
      const again = await E(notifier).getUpdateSince();
      return harden({ first, again, left: await E(meter).get() });
    },
  });
