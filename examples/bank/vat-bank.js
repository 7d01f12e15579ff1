// A bank. To hold a purse is to own what is in it; to hold the bank is to be able to mint. Purses and
// their balances are durable: they survive an upgrade of the vat.
import { makeScalarBigWeakMapStore, prepareExoClass, provide } from '@agoric/vat-data';
import { Fail, q } from '@endo/errors';
import { makeExo } from '@endo/exo';
import { M } from '@endo/patterns';

// What callers may say. Messages that do not fit are refused before they reach a method.
const BankI = M.interface('Bank', { mint: M.call(M.nat()).returns(M.remotable('purse')) });
const PurseI = M.interface('Purse', {
  getBalance: M.call().returns(M.nat()),
  deposit: M.call(M.nat(), M.remotable('purse')).returns(M.nat()),
  sprout: M.call().returns(M.remotable('purse')),
});

export const buildRootObject = (_vatPowers, _vatParameters, baggage) => {
  const balances = provide(baggage, 'balances', () =>
    makeScalarBigWeakMapStore('balances', { durable: true }),
  );

  const definePurse = prepareExoClass(baggage, 'Purse', PurseI, () => ({}), {
    getBalance() {
      return balances.get(this.self);
    },
    // Moves money from another purse of this bank into this one. Gives the new balance.
    deposit(amount, source) {
      balances.has(source) || Fail`not a purse of this bank: ${source}`;
      const available = balances.get(source);
      available >= amount || Fail`${q(amount)} asked for, the purse has ${q(available)}`;
      balances.set(source, available - amount);
      balances.set(this.self, balances.get(this.self) + amount);
      return balances.get(this.self);
    },
    // A new, empty purse.
    sprout() {
      return makePurse(0n);
    },
  });

  const makePurse = balance => {
    const purse = definePurse();
    balances.init(purse, balance);
    return purse;
  };

  return makeExo('bank', BankI, { mint: makePurse });
};
