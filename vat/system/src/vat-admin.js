// The vatAdmin vat, which turns the vatAdmin device into objects that other vats can hold. It alone holds the device,
// and only data goes into it.
//
// Its behaviour, messages and object ids are those of SwingSet's vat of that name: kinds are defined in the same order,
// and exports have the same names. Beyond it, an adminNode has `adminData`, `revoke` and `isRevoked`, and a meter's
// `getNotifier` returns a notifier. Records of vats and meters are looked up and never iterated over. So a new
// incarnation starts as fast with a million of them.
import { makeScalarBigSetStore, prepareExo, prepareExoClass, provide } from '@agoric/vat-data';
import { b, Fail, q } from '@endo/errors';
import { E, Far, passStyleOf } from '@endo/far';
import { isNat } from '@endo/nat';
import { makePromiseKit } from '@endo/promise-kit';

import { brief, cut } from './brief.js';
import { convertOptions } from './create-vat-options.js';
import { prepareMeterNotifiers, prepareMeters, provideNotifierTable } from './meters.js';
import { insistNoProblem, isObject } from './shapes.js';
import { prepareEnds } from './vat-ends.js';

const UPGRADE_MESSAGE = 'vat upgraded';

/** Maximum number of bundles that are waited for. */
const MAX_PENDING_BUNDLES = 1_000;

/** Upper bound of the length of a bundle's id. */
const MAX_BUNDLE_ID = 200;

export const buildRootObject = ({ D }, _vatParameters, baggage) => {
  let device = baggage.has('vatAdminDev') ? baggage.get('vatAdminDev') : undefined;

  // Requests that the kernel has not answered yet. All three are lost when this vat is upgraded.
  const pendingVats = new Map(); // vatID -> promise kit for the root
  const pendingUpgrades = new Map(); // upgradeID -> promise kit for {incarnationNumber}
  const pendingBundles = new Map(); // bundleID -> promise kit for the bundlecap

  const exitingVats = new Set(); // vatIDs whose end was asked for and not reported yet

  // A promise kit while the service is paused, which is fulfilled when nothing is pending.
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
    const {
      vatParameters,
      upgradeMessage = UPGRADE_MESSAGE,
      keepVatParameters = false,
      ...unknown
    } = options;
    const unknownNames = Object.keys(unknown).join(',');
    !unknownNames || Fail`upgrade() received unknown options: ${q(cut(unknownNames, 1000))}`;
    assert.typeof(upgradeMessage, 'string', 'upgradeMessage not a string');
    assert.typeof(keepVatParameters, 'boolean', 'keepVatParameters not a boolean');
    !(keepVatParameters && vatParameters !== undefined) ||
      Fail`upgrade() takes vatParameters or keepVatParameters, not both`;
    const upgradeID = keepVatParameters
      ? D(device).upgradeVatKeepingParameters(vatID, bundleID, upgradeMessage)
      : D(device).upgradeVat(vatID, bundleID, vatParameters, upgradeMessage);
    const upgraded = makePromiseKit();
    pendingUpgrades.set(upgradeID, upgraded);
    return upgraded.promise;
  };

  // Kinds and exported objects, in the order that gives them SwingSet's ids, from o+d10.

  const criticalVatKey = prepareExo(baggage, 'criticalVatKey', undefined, {});

  const managedVats = provide(baggage, 'managedVats', () =>
    makeScalarBigSetStore('managedVats', { durable: true }),
  );

  const { makeMeter, makeUnlimitedMeter, meterIDOf } = prepareMeters(baggage, {
    callDevice: () => D(device),
    provideNotifier: meterID => provideNotifier(meterID),
  });

  const makeAdminNode = prepareExoClass(baggage, 'adminNode', undefined, vatID => ({ vatID }), {
    terminateWithFailure(reason) {
      const { vatID } = this.state;
      insistNotPaused();
      insistRunning(vatID, 'terminateWithFailure');
      // Throws for a reason with promises. Then the vat is not ending.
      D(device).terminateWithFailure(vatID, reason);
      exitingVats.add(vatID);
    },
    // Returns a promise for what the vat ends with. Only those who ask before the end is reported are told.
    done() {
      const { vatID } = this.state;
      insistRunning(vatID, 'done', true);
      return waitForEnd(vatID);
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
    // Revokes an object that the vat exports: no message reaches it any more.
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
    // Returns {objectCount, promiseCount, deviceCount} of the vat's c-list, {transcriptCount}, and the number of all its
    // imports so far: {objectImportsTotal, promiseImportsTotal, deviceImportsTotal}.
    adminData() {
      const { vatID } = this.state;
      insistRunning(vatID, 'adminData');
      return D(device).getVatStats(vatID);
    },
  });

  // Returns the answer to createVat, {adminNode, root}, once the kernel has reported the new vat.
  const finishVatCreation = vatID => {
    const root = makePromiseKit();
    pendingVats.set(vatID, root);
    managedVats.add(vatID);
    const adminNode = makeAdminNode(vatID);
    return E.when(root.promise, presence => harden({ adminNode, root: presence }));
  };

  const deviceOptions = options =>
    convertOptions(options, { criticalVatKey, meterIDOf });

  // Throws for an object. For other values that are no names the device throws, but it would have to read an object.
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

  // Beyond what SwingSet has, and defined after it, so that its kinds keep their ids.

  const notifierByMeterID = provideNotifierTable(baggage);
  const { waitForEnd, takeEnd } = prepareEnds(baggage, () => D(device));
  const { provideNotifier, updateMeter } = prepareMeterNotifiers(baggage, notifierByMeterID);

  // For whoever holds the root of this vat alone: they decide who gets coins.
  const ownedMeters = prepareExo(baggage, 'ownedMeters', undefined, {
    // Makes a meter whose rest goes to an owner, whom the application knows by that text.
    createMeterFor(owner, remaining, threshold) {
      assert.typeof(owner, 'string', 'owner not a string');
      return makeMeter(remaining, threshold, owner);
    },
    // Gives the rest of a meter that pays for no vat to its owner.
    giveBackMeter(meter) {
      const meterID = meterIDOf(meter);
      meterID || Fail`giveBackMeter: not a meter`;
      D(device).giveBackMeter(meterID);
    },
  });

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
    // With `withMeters` it returns {service, ownedMeters}, which SwingSet does not have. A method of its own would show in
    // the texts of errors.
    createVatAdminService(vatAdminDevice, withMeters = false) {
      if (baggage.has('vatAdminDev')) {
        baggage.set('vatAdminDev', vatAdminDevice);
      } else {
        baggage.init('vatAdminDev', vatAdminDevice);
      }
      device = vatAdminDevice;
      return withMeters ? harden({ service: vatAdminService, ownedMeters }) : vatAdminService;
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

    // Only the kernel sends the messages below.

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
      const isPending = pendingVats.has(vatID);
      if (isPending) {
        settleNewVat(vatID, { error: info });
      }
      if (!managedVats.has(vatID)) {
        if (isPending) return;
        console.log(`vat ${vatID} ended, which vatAdmin did not create: it came with the genesis document or a subcluster`);
        return;
      }
      const settleEnd = takeEnd(vatID);
      exitingVats.delete(vatID);
      managedVats.delete(vatID);
      checkQuiescence();
      settleEnd(shouldReject, info);
    },

    meterCrossedThreshold(meterID, remaining) {
      updateMeter(meterID, remaining);
    },
  });
};
