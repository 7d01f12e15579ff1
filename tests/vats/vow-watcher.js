// Watches vows of another vat's durably, and keeps what it sees in a durable log.
import { Far } from '@endo/far';
import { M } from '@endo/patterns';
import { heapVowE, heapVowTools, prepareVowTools } from '@agoric/vow/vat.js';
import { makeDurableZone } from '@agoric/zone/durable.js';

export const buildRootObject = (_vatPowers, _vatParameters, baggage) => {
  const zone = makeDurableZone(baggage);
  const { watch, when, all, allSettled, asVow, asPromise } = prepareVowTools(zone.subZone('vows'));
  const log = zone.mapStore('log');
  const kept = zone.mapStore('kept');
  if (!baggage.has('incarnation')) {
    baggage.init('incarnation', 0);
  } else {
    baggage.set('incarnation', baggage.get('incarnation') + 1);
  }
  const incarnation = baggage.get('incarnation');

  // What is logged tells in which incarnation it was seen.
  const note = (label, ...what) => log.init(`${label}`, harden([incarnation, ...what]));
  const makeWatcher = zone.exoClass(
    'Watcher',
    M.interface('Watcher', {
      onFulfilled: M.call(M.any()).optional(M.any()).returns(M.any()),
      onRejected: M.call(M.any()).optional(M.any()).returns(M.any()),
    }),
    label => ({ label }),
    {
      onFulfilled(value, context) {
        note(this.state.label, 'fulfilled', value, context);
        return harden(['seen', value]);
      },
      onRejected(reason, context) {
        note(this.state.label, 'rejected', reason.message, context);
        throw reason;
      },
    },
  );
  const keep = (label, vow) => kept.init(label, vow);
  const logged = (label, vow) => keep(label, watch(vow, makeWatcher(label), 'context'));

  return Far('watcher', {
    getLog: () => harden(Object.fromEntries(log.entries())),
    getVow: label => {
      if (label === 'heap') {
        const { resolver, vow } = heapVowTools.makeVowKit();
        resolver.resolve('now you know the answer');
        return vow;
      }
      return kept.get(label);
    },
    watch: (label, [vow]) => logged(label, vow),
    all: (label, vows) => logged(label, all(vows)),
    allSettled: (label, vows) => logged(label, allSettled(vows)),
    asVow: (label, [vow]) => logged(label, asVow(() => watch(vow))),
    asVowThrows: label =>
      logged(
        label,
        asVow(() => {
          throw Error('thrown');
        }),
      ),
    // Promises: they end with the incarnation that made them.
    when: vow => when(vow),
    whenAll: vow => when(all([vow, watch(watch(vow)), Promise.resolve(vow)])),
    whenAllSettled: vow => when(allSettled([vow, asVow(() => vow), 'plain'])),
    asPromise: vow => asPromise(vow),
    heapWhen: vow => heapVowE.when(vow),
    greet: vow => heapVowE(vow).greet('watcher'),
  });
};
