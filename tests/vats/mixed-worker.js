// Uses what a vat has: heap, durable store, virtual objects, promises, references to others, computation.
import { E, Far } from '@endo/far';

export const buildRootObject = (vatPowers, { name }, baggage) => {
  const { makeScalarBigMapStore } = globalThis.VatData;
  if (!baggage.has('kept')) {
    baggage.init('kept', makeScalarBigMapStore('kept', { durable: true }));
  }
  const kept = baggage.get('kept');
  const heap = [];
  let calls = 0;
  return Far(name, {
    async work(n, other) {
      calls += 1;
      heap.push(`${name} ${n}`.repeat(n % 7));
      kept.init(`${name}.${n}.${calls}.${kept.getSize()}`, `value ${n}`);
      const token = Far('token', { get: () => n });
      const echoed = await E(other).echo(token, heap.length);
      return `${name} ${calls} ${await E(echoed).get()} ${kept.getSize()}`;
    },
    echo(token, length) {
      heap.push({ length });
      return token;
    },
    fail() {
      vatPowers.exitVatWithFailure(Error('as asked'));
    },
  });
};
