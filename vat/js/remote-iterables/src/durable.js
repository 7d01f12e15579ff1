import { Fail, q } from '@endo/errors';
import { M } from '@endo/patterns';
import { prepareExoClass } from '@agoric/vat-data';

import { makeSerial } from './serial.js';

/** Upper bound of the values that one `nextBatch` gives. */
const MAX_BATCH = 100;

const DurableIteratorI = M.interface('DurableIterator', {
  next: M.callWhen().rest(M.any()).returns(M.any()),
  nextBatch: M.callWhen(M.number()).returns(M.any()),
  return: M.callWhen().optional(M.any()).returns(M.any()),
  throw: M.callWhen().optional(M.any()).returns(M.any()),
});

const stateShape = { cursor: M.any(), ended: M.boolean() };

const init = cursor => ({ cursor, ended: false });

/** Defines the class in a durable zone, or in baggage. */
const prepareClass = (place, name, methods) =>
  typeof place.exoClass === 'function'
    ? place.exoClass(name, DurableIteratorI, init, methods, { stateShape })
    : prepareExoClass(place, name, DurableIteratorI, init, methods, { stateShape });

const end = state => {
  const { cursor } = state;
  state.ended = true;
  state.cursor = undefined;
  return cursor;
};

/**
 * Takes one step. The cursor moves when the step has succeeded, so the same step is taken again after one that failed,
 * or that an upgrade interrupted.
 */
const makeStep = compute => async state => {
  await null;
  if (state.ended) {
    return { done: true, value: undefined };
  }
  const { done = false, value, cursor } = harden(await compute(state.cursor));
  if (done) {
    end(state);
  } else {
    state.cursor = cursor;
  }
  return { done, value };
};

/** Takes up to `max` steps. A step that fails after others ends the batch, and the next call takes it again. */
const takeBatch = async (step, state, max) => {
  const values = [];
  let done = false;
  while (!done && values.length < max) {
    try {
      // Each step begins where the one before ended.
      // eslint-disable-next-line no-await-in-loop
      const result = await step(state);
      done = result.done;
      if (!done) {
        values.push(result.value);
      }
    } catch (error) {
      if (values.length === 0) {
        throw error;
      }
      break;
    }
  }
  return harden({ values, done });
};

/** Ends the iterator at its consumer's wish, and lets the producer clean up, once. */
const closeWith = async (state, close) => {
  if (!state.ended) {
    await close(end(state));
  }
};

/**
 * Defines a durable class of iterators, and returns the function that makes one from its first cursor.
 *
 * The cursor says where the iterator is. It is durable data, and lies in the iterator's state. So the iterator goes on
 * where it was after an upgrade of its vat.
 *
 * @template C, T
 * @param {any} place a durable zone, or the vat's baggage
 * @param {string} name the name of the class, unique in its place
 * @param {object} producer
 * @param {(cursor: C) => { done?: boolean, value?: T, cursor?: C } | Promise<{ done?: boolean, value?: T, cursor?: C }>} producer.next
 *   gives the value at a cursor, and the cursor after it
 * @param {(cursor: C) => void | Promise<void>} [producer.close] is called if a consumer ends the iterator before `next`
 *   does
 */
export const prepareDurableIterator = (place, name, { next, close = () => {} }) => {
  const step = makeStep(next);
  // The turns of the iterators that are in use. Calls that wait are rejected by an upgrade, so nothing here must survive.
  const turns = new WeakMap();
  const inTurn = (self, task) => {
    turns.has(self) || turns.set(self, makeSerial());
    return turns.get(self)(task);
  };
  return prepareClass(place, name, {
    async next() {
      const { self, state } = this;
      return inTurn(self, async () => harden(await step(state)));
    },
    async nextBatch(max) {
      const { self, state } = this;
      const fits = Number.isSafeInteger(max) && max >= 1 && max <= MAX_BATCH;
      fits || Fail`nextBatch takes a number from 1 to ${q(MAX_BATCH)}, not ${q(max)}`;
      return inTurn(self, () => takeBatch(step, state, max));
    },
    async return(value) {
      const { self, state } = this;
      await inTurn(self, () => closeWith(state, close));
      return harden({ done: true, value });
    },
    async throw(error) {
      const { self, state } = this;
      await inTurn(self, () => closeWith(state, close));
      throw error;
    },
  });
};
harden(prepareDurableIterator);
