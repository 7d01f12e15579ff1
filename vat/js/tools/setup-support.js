// What a vat of SwingSet's first years finds in a vat of today. Bundled into such vats.
import { E, Far } from '@endo/far';

const { getOwnPropertyDescriptors, getPrototypeOf, isFrozen, values } = Object;

/** Today's `harden`: what makes things immutable, and nothing else. */
const freeze = globalThis.harden;

/** Whether this is a "Callable Object": all its enumerable properties are functions. */
const isCallable = value => {
  const proto = getPrototypeOf(value);
  if (proto !== Object.prototype && proto !== null) {
    return false;
  }
  const properties = values(getOwnPropertyDescriptors(value)).filter(p => p.enumerable);
  return properties.length > 0 && properties.every(p => typeof p.value === 'function');
};

/** Declares what is a Callable Object, in what is to be hardened, as something to pass by reference. */
const declare = (value, name) => {
  if (typeof value !== 'object' || value === null || isFrozen(value)) {
    return;
  }
  if (isCallable(value)) {
    Far(name, value);
    return;
  }
  for (const { value: inner } of values(getOwnPropertyDescriptors(value))) {
    declare(inner, name);
  }
};

/**
 * `harden` as it was: hardened objects whose properties are functions are passed by reference, without
 * being declared `Far`.
 */
export const harden = value => {
  declare(value, 'callable');
  return freeze(value);
};

/**
 * The root object of a vat whose source's default export is `setup`.
 *
 * `helpers.makeLiveSlots` gives an opaque dispatch, which `setup` must return: the vat's own
 * liveslots, below, is the real one. The root is built with the arguments of that age, E and D.
 */
export const buildFromSetup = (vatID, setup, vatPowers) => {
  if (typeof setup !== 'function') {
    throw TypeError(`vat ${vatID}: the default export is not a function setup(syscall, state, helpers)`);
  }
  let makeRoot;
  const dispatch = freeze({});
  const makeLiveSlots = (_syscall, _state, buildRootObject) => {
    if (makeRoot) {
      throw Error(`vat ${vatID}: makeLiveSlots was called twice`);
    }
    makeRoot = buildRootObject;
    return dispatch;
  };
  const log = (...args) => console.log(...args);
  const helpers = freeze({ vatID, makeLiveSlots, log });
  if (setup(freeze({}), freeze({}), helpers) !== dispatch || !makeRoot) {
    throw Error(`vat ${vatID}: setup must return what helpers.makeLiveSlots gave it`);
  }
  const root = makeRoot(E, vatPowers.D, vatPowers);
  declare(root, vatID);
  return freeze(root);
};
