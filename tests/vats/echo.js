// Answers each line of its io channels, over upgrades: those of `console` in a loop that each incarnation begins anew,
// those of `watched` by a promise watcher that outlives incarnations.
import { prepareExo, watchPromise } from '@agoric/vat-data';
import { E, Far } from '@endo/far';

export const buildRootObject = (_vatPowers, { version = 1 } = {}, baggage) => {
  const answer = (channel, line) =>
    E(baggage.get(channel)).write(`v${version} ${line === null ? 'end' : `got ${line}`}`);

  const follow = async () => {
    for (;;) {
      const line = await E(baggage.get('console')).read();
      await answer('console', line);
    }
  };
  const begin = () => follow().catch(error => baggage.init('error', `${error}`));

  const watch = watcher => watchPromise(E(baggage.get('watched')).read(), watcher);
  const watcher = prepareExo(baggage, 'watcher', undefined, {
    onFulfilled(line) {
      void answer('watched', line);
      watch(this.self);
    },
    onRejected(error) {
      baggage.init('error', `${error}`);
    },
  });

  if (baggage.has('console')) {
    void begin();
  }
  return Far('echo', {
    bootstrap(_vats, services) {
      for (const [name, service] of Object.entries(services)) {
        baggage.init(name, service);
      }
      if (services.console) {
        void begin();
      }
      if (services.watched) {
        watch(watcher);
      }
      return Object.keys(services).join();
    },
    error: () => (baggage.has('error') ? baggage.get('error') : 'none'),
    ask: (channel, method, ...args) => E(baggage.get(channel))[method](...args),
    give: channel => baggage.get(channel),
  });
};
