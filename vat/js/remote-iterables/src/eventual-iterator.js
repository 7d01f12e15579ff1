import { E } from '@endo/eventual-send';

/**
 * Returns a local async iterator that sends `next`, `return` and `throw` to an iterator of another vat.
 *
 * `for await (const value of makeEventualIterator(ref))` reads the values in order. Leaving the loop early sends
 * `return`, so that the producer can clean up.
 *
 * @template T
 * @param {import('@endo/eventual-send').ERef<import('./exo-generator.js').RemoteIterator<T>>} ref the iterator, or a
 *   promise for it
 * @returns {AsyncGenerator<T, any, void>}
 */
export const makeEventualIterator = ref => {
  const iterator = {
    next: () => E(ref).next(),
    return: value => E(ref).return(value),
    throw: error => E(ref).throw(error),
    [Symbol.asyncIterator]: () => iterator,
  };
  return harden(iterator);
};
harden(makeEventualIterator);
