// Uses what a contract uses: durable and virtual collections and objects, promises, references that come and go.
import { E, Far } from '@endo/far';

export const buildRootObject = (_vatPowers, { name }, baggage) => {
  const { makeScalarBigMapStore, makeKindHandle, defineDurableKind, defineKind } =
    globalThis.VatData;
  const once = (key, make) => {
    if (!baggage.has(key)) {
      baggage.init(key, make());
    }
    return baggage.get(key);
  };
  const balances = once('balances', () => makeScalarBigMapStore('balances', { durable: true }));
  const purses = once('purses', () => makeScalarBigMapStore('purses', { durable: true }));
  const offers = makeScalarBigMapStore('offers');
  const purseHandle = once('purse', () => makeKindHandle('purse'));
  const makePurse = defineDurableKind(purseHandle, amount => ({ amount, moves: 0 }), {
    deposit: ({ state }, amount) => {
      state.amount += amount;
      state.moves += 1;
      return state.amount;
    },
    getAmount: ({ state }) => state.amount,
  });
  const makeOffer = defineKind('offer', wanted => ({ wanted, done: false }), {
    settle: ({ state }) => {
      state.done = true;
      return state.wanted;
    },
  });
  let trades = 0;
  return Far(name, {
    async trade(n, other) {
      trades += 1;
      const id = `${n}.${trades}`;
      // Something new, something changed, something that goes.
      const purse = makePurse(n);
      purses.init(`${name}.${id}.${purses.getSize()}`, purse);
      const holder = `holder ${n % 50}`;
      if (balances.has(holder)) {
        balances.set(holder, harden({ value: n, brand: name, moves: trades }));
      } else {
        balances.init(holder, harden({ value: n, brand: name, moves: trades }));
      }
      const offer = makeOffer(n);
      offers.init(id, offer);
      const payment = Far('payment', { get: () => n });
      const receipt = await E(other).pay(payment, offer);
      await E(purse).deposit(await E(receipt).get());
      offers.delete(id);
      return purse;
    },
    async pay(payment, offer) {
      const wanted = await E(offer).settle();
      const given = await E(payment).get();
      return Far('receipt', { get: () => wanted + given });
    },
  });
};
