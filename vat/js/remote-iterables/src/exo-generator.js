import { makeExo } from '@endo/exo';
import { M } from '@endo/patterns';

import { makeSerial } from './serial.js';

/**
 * @template T
 * @typedef {object} RemoteIterator
 * @property {() => Promise<IteratorResult<T, any>>} next
 * @property {(value?: any) => Promise<IteratorResult<T, any>>} return
 * @property {(error?: any) => Promise<IteratorResult<T, any>>} throw
 */

/** The methods take and give whatever can pass between vats. */
const AsyncIteratorI = M.interface('AsyncIterator', {}, { defaultGuards: 'passable' });

const finished = () => harden({ done: true, value: undefined });

/** The iterator of what can be iterated over, asynchronous before synchronous. */
const iteratorOf = iterable => {
  const open = iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator];
  const iterator = open === undefined ? iterable : Reflect.apply(open, iterable, []);
  if (typeof iterator?.next !== 'function') {
    throw TypeError('Not iterable');
  }
  return iterator;
};

/**
 * Reads from `iterator` one value ahead of its consumer: the next value is computed as soon as the one before was
 * taken, and not earlier.
 */
const makeReader = iterator => {
  let ended = false;
  // The value that was read ahead, if there is one.
  let ahead;

  const pull = async () => {
    await null;
    try {
      const { done = false, value } = await iterator.next();
      ended ||= done;
      return harden({ done, value: await value });
    } catch (error) {
      ended = true;
      throw error;
    }
  };

  const readAhead = () => {
    ahead = pull();
    // An error is for whoever takes the value. It is none of the vat's until then.
    ahead.catch(() => {});
  };

  const close = async (method, argument) => {
    const wasEnded = ended;
    // A value that was read ahead is lost: the consumer asked for the end.
    ahead = undefined;
    if (typeof iterator[method] !== 'function') {
      ended = true;
      return finished();
    }
    try {
      const { done = false, value } = await iterator[method](argument);
      ended = wasEnded || done;
      return harden({ done, value });
    } catch (error) {
      ended = true;
      throw error;
    }
  };

  readAhead();
  return {
    next: async () => {
      await null;
      if (ahead === undefined) {
        if (ended) {
          return finished();
        }
        readAhead();
      }
      const taken = ahead;
      ahead = undefined;
      const result = await taken;
      if (!ended) {
        readAhead();
      }
      return result;
    },
    return: value => close('return', value),
    throw: error => close('throw', error),
  };
};

/**
 * Makes an exo with the methods `next`, `return` and `throw` from an async generator, or from anything else that can be
 * iterated over. Another vat reads it with `makeEventualIterator`.
 *
 * The first value is computed at once, and every other when the one before is taken. So a `yield` waits for the
 * consumer. The exo lives in the heap: an upgrade of its vat ends it. `durable.js` has iterators that do not end.
 *
 * @template T
 * @param {AsyncIterable<T> | Iterable<T> | AsyncIterator<T> | Iterator<T>} iterable
 */
export const makeExoGenerator = iterable => {
  const reader = makeReader(iteratorOf(iterable));
  const inTurn = makeSerial();
  const exo = makeExo('AsyncIterator', AsyncIteratorI, {
    // What a consumer passes to `next` is not given to the generator, which may have read ahead of it.
    next: () => inTurn(reader.next),
    return: value => inTurn(() => reader.return(value)),
    throw: error => inTurn(() => reader.throw(error)),
    [Symbol.asyncIterator]: () => exo,
  });
  return exo;
};
harden(makeExoGenerator);
