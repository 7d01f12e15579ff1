// The examples of @agoric/vow's README, on the side that makes vows: in the heap, and durably.
import { E, Far } from '@endo/far';
import { M } from '@endo/patterns';
import { heapVowE, heapVowTools, prepareVowTools } from '@agoric/vow';
import { makeDurableZone } from '@agoric/zone/durable.js';

export const buildRootObject = (_vatPowers, _vatParameters, baggage) => {
  // Only do the following once at the start of a new vat incarnation:
  const zone = makeDurableZone(baggage);
  const vowZone = zone.subZone('VowTools');
  const { watch, makeVowKit } = prepareVowTools(vowZone);

  const kept = zone.mapStore('kept');
  const watcher = zone.exo('watcher', M.interface('watcher', {}, { defaultGuards: 'passable' }), {
    onFulfilled(value) {
      kept.init('seen', value);
      return `seen ${value}`;
    },
  });
  return Far('maker', {
    getVow(name) {
      const { resolver, vow } = heapVowTools.makeVowKit();
      resolver.resolve(name);
      return vow;
    },
    getObject: () =>
      Far('object', {
        something(...args) {
          const { resolver, vow } = heapVowTools.makeVowKit();
          resolver.resolve(args.join('+'));
          return vow;
        },
      }),
    // CAVEAT: `heapVow*` uses internal ephemeral promises, so while it is convenient,
    // it cannot be used by upgradable vats. See "Durability" below:
    async tell(outsideReference) {
      const { makeVowKit: makeHeapVowKit } = heapVowTools;
      const { resolver, vow } = makeHeapVowKit();
      // Send vow to a potentially different vat.
      const told = heapVowE(outsideReference).performSomeMethod(vow);
      // some time later...
      resolver.resolve('now you know the answer');
      return told;
    },
    // Vows and resolvers you create can be saved in durable stores.
    keep() {
      const { resolver, vow } = makeVowKit();
      kept.init('resolver', resolver);
      kept.init('vow', vow);
      kept.init('watched', watch(vow, watcher));
    },
    resolveKept: value => kept.get('resolver').resolve(value),
    async kept(reader) {
      return [await E(reader).performSomeMethod(kept.get('watched')), kept.get('seen')];
    },
  });
};
