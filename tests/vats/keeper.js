// Keeps the services that it is given at bootstrap, over upgrades, and asks them what it is told to. It hears what comes in
// by the mailbox and the bridge.
import { E, Far } from '@endo/far';

export const buildRootObject = (_vatPowers, { version = 1, fails = false } = {}, baggage) => {
  const put = (name, value) => {
    if (baggage.has(name)) {
      baggage.set(name, value);
    } else {
      baggage.init(name, value);
    }
  };
  const get = (name, otherwise) => (baggage.has(name) ? baggage.get(name) : otherwise);
  const hear = (...news) => put('heard', harden([...get('heard', []), news]));
  const root = Far('keeper', {
    async bootstrap(vats, services) {
      put('bootstraps', get('bootstraps', 0) + 1);
      put('given', harden({ vats: Object.keys(vats), services: Object.keys(services) }));
      for (const [name, service] of Object.entries(services)) {
        put(`service ${name}`, service);
      }
      if (fails) {
        throw Error('the keeper fails as asked');
      }
      put('chain', services.chain ? await E(services.chain).getChainId() : 'none');
      return 'kept';
    },
    told: () => harden({ ...get('given', {}), bootstraps: get('bootstraps', 0), chain: get('chain', 'none'), version }),
    ask: (service, method, ...args) => E(baggage.get(`service ${service}`))[method](...args),
    // One call after the other, none of which is waited for: how many there were.
    flood(service, method, count) {
      for (let n = 0; n < count; n += 1) {
        E(baggage.get(`service ${service}`))[method]().catch(() => {});
      }
      return count;
    },
    // The root survives upgrades, and so do its registrations.
    listen: service => E(baggage.get(`service ${service}`)).registerInboundHandler(root),
    deliverInboundMessages: (peer, messages) => hear('messages', peer, messages),
    deliverInboundAck: (peer, ack) => hear('ack', peer, ack),
    inbound: (...args) => hear('inbound', ...args),
    heard: () => get('heard', harden([])),
  });
  return root;
};
