// Makes vows by name, and settles them, in whichever incarnation it is asked to.
import { Far } from '@endo/far';
import { M } from '@endo/patterns';
import { prepareVowTools } from '@agoric/vow/vat.js';
import { makeDurableZone } from '@agoric/zone/durable.js';

export const buildRootObject = (_vatPowers, _vatParameters, baggage) => {
  const zone = makeDurableZone(baggage);
  const { makeVowKit } = prepareVowTools(zone.subZone('vows'));
  const kits = zone.mapStore('kits');
  const makeGreeter = zone.exoClass(
    'Greeter',
    M.interface('Greeter', { greet: M.call(M.string()).returns(M.string()) }),
    name => ({ name }),
    {
      greet(who) {
        return `${this.state.name} greets ${who}`;
      },
    },
  );
  const kitOf = name => {
    if (!kits.has(name)) {
      kits.init(name, makeVowKit());
    }
    return kits.get(name);
  };
  return Far('maker', {
    getVow: name => kitOf(name).vow,
    settle: (name, how, value) => {
      const { resolver } = kitOf(name);
      switch (how) {
        case 'resolve':
          return resolver.resolve(value);
        case 'reject':
          return resolver.reject(Error(value));
        case 'greeter':
          return resolver.resolve(makeGreeter(value));
        // A vow for a vow.
        case 'forward':
          return resolver.resolve(kitOf(value).vow);
        default:
          throw Error(`settle ${how}?`);
      }
    },
  });
};
