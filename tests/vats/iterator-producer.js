// Produces values: from generators in the heap, and from durable iterators.
import { E, Far } from '@endo/far';
import { provide } from '@agoric/vat-data';
import { makeExoGenerator } from '@capstan/remote-iterables';
import { prepareDurableIterator } from '@capstan/remote-iterables/durable.js';

export const buildRootObject = (_vatPowers, { step = 1 }, baggage) => {
  provide(baggage, 'closed', () => 'open');
  const log = [];

  async function* count(end) {
    await null;
    try {
      for (let number = 0; number < end; number += 1) {
        log.push(`yields ${number}`);
        yield number;
      }
      return 'counted';
    } catch (error) {
      log.push(`caught ${error.message}`);
      yield 'recovered';
      return 'after an error';
    } finally {
      log.push('cleaned up');
    }
  }

  async function* fail() {
    yield 'first';
    throw TypeError('no more');
  }

  const makeNumbers = prepareDurableIterator(baggage, 'numbers', {
    async next({ at, end, source }) {
      const value = source === undefined ? at : await E(source).double(at);
      value !== 13 || assert.fail('13 is unlucky');
      return at >= end ? { done: true, value: 'end' } : { value, cursor: { at: at + step, end, source } };
    },
    close: ({ at }) => baggage.set('closed', `closed at ${at}`),
  });

  return Far('producer', {
    count: end => makeExoGenerator(count(end)),
    fail: () => makeExoGenerator(fail()),
    bare: () => makeExoGenerator({ next: () => ({ done: false, value: 'bare' }) }),
    list: () => makeExoGenerator(['a', 'b']),
    stuck: () => makeExoGenerator({ next: () => new Promise(() => {}) }),
    nothing: () => makeExoGenerator(7),
    durable: (at, end, source) => makeNumbers(harden({ at, end, source })),
    closed: () => baggage.get('closed'),
    log: () => harden([...log]),
  });
};
