// Meters of vats, and their notifiers. What is kept of them is looked up, never walked along.
import {
  makeScalarBigMapStore,
  makeScalarBigWeakMapStore,
  prepareExoClass,
  prepareExoClassKit,
  provide,
} from '@agoric/vat-data';
import { Nat } from '@endo/nat';
import { makePromiseKit } from '@endo/promise-kit';

import { isObject } from './shapes.js';

/**
 * Defines the two kinds of meters, and their tables.
 *
 * @param {object} baggage
 * @param {object} tools
 * @param {() => object} tools.callDevice returns what calls the vatAdmin device
 * @param {(meterID: string) => object} tools.provideNotifier returns a meter's notifier
 */
export const prepareMeters = (baggage, { callDevice, provideNotifier }) => {
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
    (remaining, threshold, ...owner) => {
      Nat(remaining);
      Nat(threshold);
      // Passed on unchanged, because the device takes only bigints.
      const meterID = callDevice().createMeter(remaining, threshold, ...owner);
      return { meterID };
    },
    {
      addRemaining(delta) {
        callDevice().addMeterRemaining(this.state.meterID, Nat(delta));
      },
      setThreshold(threshold) {
        callDevice().setMeterThreshold(this.state.meterID, Nat(threshold));
      },
      get() {
        return callDevice().getMeter(this.state.meterID);
      },
      // Returns a notifier of the remaining computrons, which updates whenever they fall below the threshold.
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
    () => ({ meterID: callDevice().createUnlimitedMeter() }),
    {
      addRemaining(_delta) {},
      setThreshold(_threshold) {},
      get() {
        return harden({ remaining: 'unlimited', threshold: 0 });
      },
      // Returns a notifier that never updates.
      getNotifier() {
        return provideNotifier(this.state.meterID);
      },
    },
    { finish: noteMeter },
  );

  return harden({ makeMeter, makeUnlimitedMeter, meterIDOf });
};

/** Returns the table of notifiers by the ids of their meters. Each meter has at most one, made when it is first asked for. */
export const provideNotifierTable = baggage =>
  provide(baggage, 'notifierByMeterID', () =>
    makeScalarBigMapStore('notifierByMeterID', { durable: true }),
  );

/**
 * Defines the kind of notifiers.
 *
 * @param {object} baggage
 * @param {object} notifierByMeterID the table of {@link provideNotifierTable}
 */
export const prepareMeterNotifiers = (baggage, notifierByMeterID) => {
  const pendingUpdates = new Map(); // meterID -> promise kit for the next update, lost by an upgrade

  const makeMeterNotifier = prepareExoClassKit(
    baggage,
    'meterNotifier',
    undefined,
    meterID => ({ meterID, value: undefined, updateCount: undefined }),
    {
      notifier: {
        // Returns {value, updateCount} of the latest update. Returns a promise for the next one if `updateCount` is the
        // latest one's, or if there was none.
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

  const updateMeter = (meterID, remaining) => {
    if (notifierByMeterID.has(meterID)) {
      notifierByMeterID.get(meterID).updater.updateState(remaining);
    }
  };

  return harden({ provideNotifier, updateMeter });
};
