// A SwingSet kernel with its store, that can be started again from the last commit.
import { initSwingStore, openSwingStore } from '@agoric/swing-store';
import { buildKernelBundles, initializeSwingset, makeSwingsetController } from '@agoric/swingset-vat';

import { addHooks, makeDevices } from './devices.mjs';
import { plain } from './slog.mjs';

// The vats of SwingSet that a scenario can ask for, with the options of `initializeSwingset`.
const extras = ({ addComms = false, addVattp = false, addTimer = false }) => ({ addComms, addVattp, addTimer });

/** The configuration with a bundle for each source, and the bundles' ids by name. */
const withBundles = async (config, bundle, devices) => {
  const ids = {};
  const bundled = async (name, { sourceSpec, ...rest }) => {
    if (!sourceSpec) return rest;
    const made = await bundle(sourceSpec);
    ids[name] = `b1-${made.endoZipBase64Sha512}`;
    return { ...rest, bundle: made };
  };
  const each = async setups =>
    Object.fromEntries(
      await Promise.all(Object.entries(setups || {}).map(async ([name, setup]) => [name, await bundled(name, setup)])),
    );
  const { addComms, addVattp, addTimer, ...given } = config;
  const swingset = { ...given, vats: await each(config.vats), bundles: await each(config.bundles), devices };
  return { swingset, ids };
};

const readDump = controller => {
  const { log, ...dump } = controller.dump();
  dump.vatTables = dump.vatTables.map(({ vatID, state }) => ({
    vatID,
    transcriptEntries: state.transcript.length,
  }));
  return plain(dump);
};

// The bundles of the kernel and of its own vats, which take long to make.
let ownBundles;

/** Initializes a machine and starts it. */
export const openMachine = async ({ scenario, store, bundle, recording, folder }) => {
  const { config, worker = 'local' } = scenario;
  const devices = await makeDevices(config.devices || {}, folder);
  const { swingset, ids } = await withBundles(config, bundle, devices.config);
  swingset.defaultManagerType = worker;
  let storage = initSwingStore(store);
  ownBundles ||= await buildKernelBundles();
  const { kernel: kernelBundle, ...kernelBundles } = ownBundles;
  const options = { env: {}, slogSender: recording.slogSender, kernelBundle };
  const initial = { kernelBundles, ...extras(config) };
  const boot = await initializeSwingset(swingset, undefined, storage.kernelStorage, initial, { env: {} });
  ids.vatAdmin = JSON.parse(storage.kernelStorage.kvStore.get('v2.source')).bundleID;
  storage.hostStorage.commit();
  const start = async () => {
    const controller = await makeSwingsetController(storage.kernelStorage, devices.endowments, options);
    addHooks(controller, devices.outside);
    return controller;
  };
  const machine = {
    controller: await start(),
    outside: devices.outside,
    bundleIDs: ids,
    results: { boot },
    slots: {},
    commit: () => storage.hostStorage.commit(),
    dump: () => readDump(machine.controller),
    log: () => {
      try {
        return machine.controller.dump().log;
      } catch {
        return [];
      }
    },
    install: async (name, file) => {
      const made = await bundle(file);
      ids[name] ||= `b1-${made.endoZipBase64Sha512}`;
      await machine.controller.validateAndInstallBundle(made);
    },
    /** Leaves what was not committed, as a process that is killed does. */
    restart: async () => {
      await machine.controller.shutdown();
      await storage.hostStorage.close();
      storage = openSwingStore(store);
      recording.restarted();
      machine.controller = await start();
    },
    close: async () => {
      await machine.controller.shutdown();
      await storage.hostStorage.close();
    },
  };
  return machine;
};
