// The answers of an adminNode's `done()`.
import { makeScalarBigMapStore, provide } from '@agoric/vat-data';
import { Fail, q } from '@endo/errors';
import { makePromiseKit } from '@endo/promise-kit';

/** Maximum number of unsettled answers for one vat. Its end settles them in one delivery. */
const MAX_PENDING_DONE = 20;

/** Maximum number of all answers that are promises in the heap, as in SwingSet. The device keeps the others. */
const MAX_DONE_IN_HEAP = 1_000;

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

/**
 * Returns what waits for the ends of vats, and what settles it.
 *
 * @param {object} baggage
 * @param {() => object} callDevice returns what calls the vatAdmin device
 */
export const prepareEnds = (baggage, callDevice) => {
  // vatID -> the numbers under which the device keeps the results of `done()`
  const keptEnds = provide(baggage, 'keptEnds', () =>
    makeScalarBigMapStore('keptEnds', { durable: true }),
  );
  // vatID -> {kit, askers}: the promise for what the vat ends with, if somebody asked
  const pendingEnds = new Map();
  let askers = 0; // of all vats

  const waitForEnd = vatID => {
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
    // The device keeps the result, and the answer of the method is ignored.
    const result = callDevice().deferResult();
    if (result !== undefined) {
      put(keptEnds, vatID, harden([...kept, result]));
    }
    return undefined;
  };

  /** Forgets those who wait for a vat's end. Returns what settles their promises. */
  const takeEnd = vatID => {
    const end = pendingEnds.get(vatID);
    pendingEnds.delete(vatID);
    askers -= end?.askers ?? 0;
    const kept = keptEnds.has(vatID) ? take(keptEnds, vatID) : [];
    return (shouldReject, info) => {
      if (shouldReject) {
        end?.kit.reject(info);
      } else {
        end?.kit.resolve(info);
      }
      for (const result of kept) {
        callDevice().settleResult(result, shouldReject, info);
      }
    };
  };

  return harden({ waitForEnd, takeEnd });
};
