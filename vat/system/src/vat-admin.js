// The vatAdmin vat: turns the vatAdmin device into objects that other vats can hold. It alone holds
// the device, and only data goes into it.
//
// Its behaviour, messages and object ids are those of SwingSet's vat of that name: kinds are defined
// in the same order, and what is exported has the same names. Beyond it, an adminNode has
// `adminData`, and a meter's `getNotifier` gives a notifier. What it keeps of vats and meters is looked up, never walked
// along: a new incarnation starts as fast with a million of them.
import {
  makeScalarBigMapStore,
  makeScalarBigSetStore,
  makeScalarBigWeakMapStore,
  prepareExo,
  prepareExoClass,
  prepareExoClassKit,
  provide,
} from '@agoric/vat-data';
import { b, Fail, q } from '@endo/errors';
import { E, Far, passStyleOf } from '@endo/far';
import { Nat, isNat } from '@endo/nat';
import { makePromiseKit } from '@endo/promise-kit';

import { brief, cut } from './brief.js';
import { convertOptions } from './create-vat-options.js';
import { insistNoProblem, isObject } from './shapes.js';

const UPGRADE_MESSAGE = 'vat upgraded';

/** How many answers of `done()` are outstanding at most for one vat: its end settles them in one delivery. */
const MAX_PENDING_DONE = 20;

/** How many of all answers of `done()` are promises in the heap, as in SwingSet. The device keeps the others. */
const MAX_DONE_IN_HEAP = 1_000;

/** How many bundles are waited for at most. */
const MAX_PENDING_BUNDLES = 1_000;

/** Longer than the id of any bundle. */
const MAX_BUNDLE_ID = 200;

const take = (table, key) => {
  const value = table.get(key);
  table.delete(key);
  return value;
};

const put = (table, key, value) => {
  if (table.has(key)) {
    table.set(key, value);
  } else {
    table.init(key, value);
  }
};

export const buildRootObject = ({ D }, _vatParameters, baggage) => {
  let device = baggage.has('vatAdminDev') ? baggage.get('vatAdminDev') : undefined;

  // Requests that the kernel has not answered yet. All three are lost when this vat is upgraded.
  const pendingVats = new Map(); // vatID -> promise kit for the root
  const pendingUpgrades = new Map(); // upgradeID -> promise kit for {incarnationNumber}
  const pendingBundles = new Map(); // bundleID -> promise kit for the bundlecap

  const pendingEnds = new Map(); // vatID -> {kit, askers}: for what the vat ends with, if somebody asked
  let askers = 0; // of all of them
  const exitingVats = new Set(); // vatIDs whose end was asked for and not reported yet

  // While the service is paused, a promise kit that is fulfilled when nothing is pending.
  let quiescence;
  let isQuiescent = false;

  const insistNotPaused = () => {
    assert(!quiescence, 'service not available, try again later');
  };

  const checkQuiescence = () => {
    const pending = [pendingBundles, pendingVats, pendingUpgrades, exitingVats];
    if (quiescence && pending.every(({ size }) => size === 0)) {
      isQuiescent = true;
      quiescence.resolve(true);
    }
  };

  const insistRunning = (vatID, operation, isExitingFine = false) => {
    (managedVats.has(vatID) && (isExitingFine || !exitingVats.has(vatID))) ||
      Fail`vatAdminService rejecting attempt to perform ${q(operation)}() on non-running vat ${q(vatID)}`;
  };

  const upgradeVat = (vatID, bundleID, options = {}) => {
    assert(device, 'vatAdmin device not configured');
    const { vatParameters, upgradeMessage = UPGRADE_MESSAGE, ...unknown } = options;
    const unknownNames = Object.keys(unknown).join(',');
    !unknownNames || Fail`upgrade() received unknown options: ${q(cut(unknownNames, 1000))}`;
    assert.typeof(upgradeMessage, 'string', 'upgradeMessage not a string');
    const upgradeID = D(device).upgradeVat(vatID, bundleID, vatParameters, upgradeMessage);
    const upgraded = makePromiseKit();
    pendingUpgrades.set(upgradeID, upgraded);
    return upgraded.promise;
  };

  // Kinds and exported objects, in the order that gives them SwingSet's ids: o+d10 and so on.

  const criticalVatKey = prepareExo(baggage, 'criticalVatKey', undefined, {});

  const managedVats = provide(baggage, 'managedVats', () =>
    makeScalarBigSetStore('managedVats', { durable: true }),
  );

  const meterByID = provide(baggage, 'meterByID', () =>
    makeScalarBigMapStore('meterByID', { durable: true }),
  );
  const meterIDs = provide(baggage, 'meterIDs', () =>
    makeScalarBigWeakMapStore('meterIDs', { durable: true }),
  );
  const noteMeter = ({ state: { meterID }, self }) => {
    meterByID.init(meterID, harden({ meter: self }));
    meterIDs.init(self, meterID);
  };
  const meterIDOf = meter =>
    isObject(meter) && meterIDs.has(meter) ? meterIDs.get(meter) : undefined;

  const makeMeter = prepareExoClass(
    baggage,
    'meter',
    undefined,
    (remaining, threshold) => {
      Nat(remaining);
      Nat(threshold);
      // As they are: the device takes bigints alone.
      const meterID = D(device).createMeter(remaining, threshold);
      return { meterID };
    },
    {
      addRemaining(delta) {
        D(device).addMeterRemaining(this.state.meterID, Nat(delta));
      },
      setThreshold(threshold) {
        D(device).setMeterThreshold(this.state.meterID, Nat(threshold));
      },
      get() {
        return D(device).getMeter(this.state.meterID);
      },
      // A notifier of what is left, each time that it falls below the threshold.
      getNotifier() {
        return provideNotifier(this.state.meterID);
      },
    },
    { finish: noteMeter },
  );

  const makeUnlimitedMeter = prepareExoClass(
    baggage,
    'unlimitedMeter',
    undefined,
    () => ({ meterID: D(device).createUnlimitedMeter() }),
    {
      addRemaining(_delta) {},
      setThreshold(_threshold) {},
      get() {
        return harden({ remaining: 'unlimited', threshold: 0 });
      },
      // It never tells anything: there is always more.
      getNotifier() {
        return provideNotifier(this.state.meterID);
      },
    },
    { finish: noteMeter },
  );

  const makeAdminNode = prepareExoClass(baggage, 'adminNode', undefined, vatID => ({ vatID }), {
    terminateWithFailure(reason) {
      const { vatID } = this.state;
      insistNotPaused();
      insistRunning(vatID, 'terminateWithFailure');
      // Refuses a reason with promises: then the vat is not ending.
      D(device).terminateWithFailure(vatID, reason);
      exitingVats.add(vatID);
    },
    // What a vat ended with is told only to those who ask before it is reported.
    done() {
      const { vatID } = this.state;
      insistRunning(vatID, 'done', true);
      const end = pendingEnds.get(vatID) || { kit: makePromiseKit(), askers: 0 };
      const kept = keptEnds.has(vatID) ? keptEnds.get(vatID) : [];
      end.askers + kept.length < MAX_PENDING_DONE ||
        Fail`done() of vat ${q(vatID)} was asked for ${q(MAX_PENDING_DONE)} times already: wait for an answer`;
      if (askers < MAX_DONE_IN_HEAP) {
        end.askers += 1;
        askers += 1;
        pendingEnds.set(vatID, end);
        return end.kit.promise;
      }
      // The device keeps the result, and what this method returns is ignored.
      const result = D(device).deferResult();
      if (result !== undefined) {
        put(keptEnds, vatID, harden([...kept, result]));
      }
      return undefined;
    },
    upgrade(bundlecap, options) {
      const { vatID } = this.state;
      insistNotPaused();
      insistRunning(vatID, 'upgrade');
      let bundleID;
      try {
        bundleID = D(bundlecap).getBundleID();
      } catch (error) {
        throw Fail`vatAdmin.upgrade() requires a bundlecap: ${error}`;
      }
      return upgradeVat(vatID, bundleID, options);
    },
    changeOptions(options) {
      const { vatID } = this.state;
      insistNotPaused();
      insistRunning(vatID, 'changeOptions');
      for (const [name, value] of Object.entries(options)) {
        switch (name) {
          case 'reapInterval':
            assert(value === 'never' || isNat(value), 'invalid reapInterval value');
            break;
          default:
            Fail`invalid option ${brief(name)}`;
        }
      }
      D(device).changeOptions(vatID, options);
    },
    // No message reaches the object from now on, for good. Only for what this vat exports.
    revoke(object) {
      const { vatID } = this.state;
      insistRunning(vatID, 'revoke');
      isObject(object) || Fail`revoke: expected an object of the vat, not ${brief(object)}`;
      insistNoProblem(D(device).revokeExport(vatID, object), 'revoke');
    },
    isRevoked(object) {
      const { vatID } = this.state;
      insistRunning(vatID, 'isRevoked');
      isObject(object) || Fail`isRevoked: expected an object of the vat, not ${brief(object)}`;
      const answer = D(device).isExportRevoked(vatID, object);
      typeof answer === 'boolean' || insistNoProblem(answer, 'isRevoked');
      return answer;
    },
    // {objectCount, promiseCount, deviceCount} in the vat's c-list, {transcriptCount}, and the imports that it
    // was given in all: {objectImportsTotal, promiseImportsTotal, deviceImportsTotal}
    adminData() {
      const { vatID } = this.state;
      insistRunning(vatID, 'adminData');
      return D(device).getVatStats(vatID);
    },
  });

  // The answer to createVat: {adminNode, root}, when the kernel has reported the new vat.
  const finishVatCreation = vatID => {
    const root = makePromiseKit();
    pendingVats.set(vatID, root);
    managedVats.add(vatID);
    const adminNode = makeAdminNode(vatID);
    return E.when(root.promise, presence => harden({ adminNode, root: presence }));
  };

  const deviceOptions = options =>
    convertOptions(options, { criticalVatKey, meterIDOf });

  // Of what cannot be a name the device makes an error; what would have to be walked along does not get that far.
  const insistNoObject = (value, what) => {
    typeof value !== 'object' || Fail`${b(what)} must be a string, not ${brief(value)}`;
  };

  const createByCap = (bundlecap, options) => {
    let bundleID;
    try {
      bundleID = D(bundlecap).getBundleID();
    } catch (error) {
      throw Error('Vat Creation Error: createVat() requires a bundlecap');
    }
    typeof bundleID === 'string' || Fail`createVat() no bundleID`;
    return D(device).createByBundleID(bundleID, options);
  };

  const createByBundle = (bundle, options) => {
    assert(bundle.moduleFormat, 'createVat(bundle) does not look like a bundle');
    return D(device).createByBundle(bundle, options);
  };

  const vatAdminService = prepareExo(baggage, 'vatAdminService', undefined, {
    waitForBundleCap(bundleID) {
      insistNotPaused();
      insistNoObject(bundleID, 'bundleID');
      const bundlecap = D(device).getBundleCap(bundleID);
      if (bundlecap) {
        return bundlecap;
      }
      if (!pendingBundles.has(bundleID)) {
        bundleID.length <= MAX_BUNDLE_ID || Fail`${brief(bundleID)} is not a bundle id`;
        pendingBundles.size < MAX_PENDING_BUNDLES ||
          Fail`${q(MAX_PENDING_BUNDLES)} bundles are waited for already: install one of them first`;
        pendingBundles.set(bundleID, makePromiseKit());
      }
      return pendingBundles.get(bundleID).promise;
    },
    getBundleCap(bundleID) {
      insistNoObject(bundleID, 'bundleID');
      const bundlecap = D(device).getBundleCap(bundleID);
      if (bundlecap) {
        return bundlecap;
      }
      throw Error(`bundleID not yet installed: ${cut(bundleID, 1000)}`);
    },
    getNamedBundleCap(name) {
      insistNoObject(name, 'name');
      return D(device).getNamedBundleCap(name);
    },
    getBundleIDByName(name) {
      insistNoObject(name, 'name');
      return D(device).getBundleIDByName(name);
    },
    createMeter(remaining, threshold) {
      return makeMeter(remaining, threshold);
    },
    createUnlimitedMeter() {
      return makeUnlimitedMeter();
    },
    createVat(bundlecapOrBundle, options = {}) {
      insistNotPaused();
      const converted = deviceOptions(options);
      const isCap = passStyleOf(bundlecapOrBundle) === 'remotable';
      const create = isCap ? createByCap : createByBundle;
      return finishVatCreation(create(bundlecapOrBundle, converted));
    },
    createVatByName(bundleName, options = {}) {
      insistNotPaused();
      typeof bundleName === 'string' || Fail`createVatByName() requires bundleName to be a string`;
      const converted = deviceOptions(options);
      const bundlecap = D(device).getNamedBundleCap(bundleName);
      return finishVatCreation(createByCap(bundlecap, converted));
    },
  });

  // Notifiers of meters: defined after what SwingSet has, so that its kinds keep their ids. Each meter
  // has at most one, made when it is first asked for.

  const notifierByMeterID = provide(baggage, 'notifierByMeterID', () =>
    makeScalarBigMapStore('notifierByMeterID', { durable: true }),
  );
  // vatID -> the numbers under which the device keeps the results of `done()`
  const keptEnds = provide(baggage, 'keptEnds', () =>
    makeScalarBigMapStore('keptEnds', { durable: true }),
  );

  const pendingUpdates = new Map(); // meterID -> promise kit for the next update, lost by an upgrade

  const makeMeterNotifier = prepareExoClassKit(
    baggage,
    'meterNotifier',
    undefined,
    meterID => ({ meterID, value: undefined, updateCount: undefined }),
    {
      notifier: {
        // {value, updateCount} of the latest update, or a promise for the next one if `updateCount`
        // is the latest one's or there was none.
        getUpdateSince(updateCount = undefined) {
          const { meterID, value, updateCount: latest } = this.state;
          if (latest !== undefined && updateCount !== latest) {
            return harden({ value, updateCount: latest });
          }
          if (!pendingUpdates.has(meterID)) {
            pendingUpdates.set(meterID, makePromiseKit());
          }
          return pendingUpdates.get(meterID).promise;
        },
      },
      updater: {
        updateState(value) {
          const { state } = this;
          state.value = value;
          state.updateCount = (state.updateCount ?? 0n) + 1n;
          pendingUpdates.get(state.meterID)?.resolve(harden({ value, updateCount: state.updateCount }));
          pendingUpdates.delete(state.meterID);
        },
      },
    },
  );

  const provideNotifier = meterID => {
    if (!notifierByMeterID.has(meterID)) {
      notifierByMeterID.init(meterID, makeMeterNotifier(meterID));
    }
    return notifierByMeterID.get(meterID).notifier;
  };

  const settleNewVat = (vatID, { rootObject, error }) => {
    if (!pendingVats.has(vatID)) {
      console.log(`no pending vat ${vatID}: was vatAdmin itself upgraded?`);
      return;
    }
    const { resolve, reject } = pendingVats.get(vatID);
    pendingVats.delete(vatID);
    checkQuiescence();
    if (rootObject) {
      resolve(rootObject);
    } else {
      reject(Error(`Vat Creation Error: ${error}`));
    }
  };

  return Far('root', {
    createVatAdminService(vatAdminDevice) {
      if (baggage.has('vatAdminDev')) {
        baggage.set('vatAdminDev', vatAdminDevice);
      } else {
        baggage.init('vatAdminDev', vatAdminDevice);
      }
      device = vatAdminDevice;
      return vatAdminService;
    },

    getCriticalVatKey() {
      return criticalVatKey;
    },

    pauseService() {
      quiescence ||= makePromiseKit();
      checkQuiescence();
      return quiescence.promise;
    },

    resumeService() {
      if (quiescence && !isQuiescent) {
        quiescence.reject(Error('shutdown cancelled'));
      }
      quiescence = undefined;
      isQuiescent = false;
    },

    async upgradeStaticVat(vatID, pauseTarget, bundleID, options) {
      await null;
      if (pauseTarget) {
        await E.when(E(pauseTarget).pauseService(), undefined, () => {});
      }
      try {
        return await upgradeVat(vatID, bundleID, options);
      } catch (error) {
        if (pauseTarget) {
          await E.when(E(pauseTarget).resumeService(), undefined, () => {});
        }
        throw error;
      }
    },

    // The rest is sent by the kernel alone.

    bundleInstalled(bundleID) {
      const bundlecap =
        device && pendingBundles.has(bundleID) && D(device).getBundleCap(bundleID);
      if (bundlecap) {
        pendingBundles.get(bundleID).resolve(bundlecap);
        pendingBundles.delete(bundleID);
        checkQuiescence();
      }
    },

    newVatCallback(vatID, results) {
      settleNewVat(vatID, results);
    },

    vatUpgradeCallback(upgradeID, success, error, incarnationNumber) {
      const upgraded = pendingUpgrades.get(upgradeID);
      if (!upgraded) {
        console.log(`no pending upgrade ${upgradeID}: was vatAdmin itself upgraded?`);
        return;
      }
      pendingUpgrades.delete(upgradeID);
      checkQuiescence();
      if (success) {
        upgraded.resolve({ incarnationNumber });
      } else {
        upgraded.reject(error);
      }
    },

    vatTerminated(vatID, shouldReject, info) {
      // A vat that fails to start is reported here, not by newVatCallback.
      if (pendingVats.has(vatID)) {
        settleNewVat(vatID, { error: info });
      }
      if (!managedVats.has(vatID)) {
        console.log(`static or unknown vat ${vatID} terminated`);
        return;
      }
      const end = pendingEnds.get(vatID);
      pendingEnds.delete(vatID);
      askers -= end?.askers ?? 0;
      const kept = keptEnds.has(vatID) ? take(keptEnds, vatID) : [];
      exitingVats.delete(vatID);
      managedVats.delete(vatID);
      checkQuiescence();
      if (shouldReject) {
        end?.kit.reject(info);
      } else {
        end?.kit.resolve(info);
      }
      for (const result of kept) {
        D(device).settleResult(result, shouldReject, info);
      }
    },

    meterCrossedThreshold(meterID, remaining) {
      if (notifierByMeterID.has(meterID)) {
        notifierByMeterID.get(meterID).updater.updateState(remaining);
      }
    },
  });
};
