// Consumes iterators of another vat.
import { E, Far } from '@endo/far';
import { makeEventualIterator } from '@capstan/remote-iterables';

export const buildRootObject = () => {
  const settle = async promise => {
    await null;
    try {
      return await promise;
    } catch (error) {
      return `${error}`;
    }
  };

  return Far('consumer', {
    async all(producer, method, ...args) {
      const log = [];
      try {
        for await (const value of makeEventualIterator(E(producer)[method](...args))) {
          log.push(value);
        }
        log.push('end');
      } catch (error) {
        log.push(`${error}`);
      }
      return harden(log);
    },
    async breakAt(producer, last) {
      for await (const value of makeEventualIterator(E(producer).count(10))) {
        if (value === last) {
          break;
        }
      }
      return E(producer).log();
    },
    // Calls methods of one iterator, without waiting in between.
    async calls(ref, ...calls) {
      const iterator = makeEventualIterator(ref);
      const results = calls.map(([method, argument]) => settle(iterator[method](argument)));
      return harden(await Promise.all(results));
    },
    async flood(ref, times) {
      const iterator = makeEventualIterator(ref);
      const results = Array.from({ length: times }, () => settle(iterator.next()));
      return Promise.race(results);
    },
    double: number => number * 2,
  });
};
