// Gives out tickets, durable ones and others, and answers some calls late.
import { prepareExoClass } from '@agoric/vat-data';
import { E, Far } from '@endo/far';

export const buildRootObject = (_vatPowers, _parameters, baggage) => {
  const late = [];
  const later = () => new Promise(resolve => late.push(resolve));
  const methods = {
    show() {
      return 'a ticket';
    },
    // Answered by `open`.
    wait() {
      return later();
    },
  };
  const makeDurable = prepareExoClass(baggage, 'ticket', undefined, () => ({}), methods);
  let held;
  return Far('gate', {
    durable: () => makeDurable(),
    fleeting: () => Far('ticket', methods),
    // A promise that `open` fulfils.
    promised: later,
    open(value) {
      for (const resolve of late.splice(0)) {
        resolve(value);
      }
    },
    // What others gave out.
    hold(object) {
      held = object;
    },
    call: () => E(held).show(),
    pass: () => harden({ held }),
    release() {
      held = undefined;
    },
  });
};
