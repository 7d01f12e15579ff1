// The chain's bootstrap vat: gives every new account its first object, an account factory, with
// which the account creates vats and shares objects by name.
//
// What goes into a vat's meter is bought from the chain at that moment, through the bridge, with the
// account's coins, whoever sent the message: the account itself or a vat that was given the factory.
// If the chain has a timer, its service is published as `chain/timer`.
//
// The chain's governors can look up what rules the chain, and pass it on: `chain/validators`;
// `chain/mailbox` and `chain/bridge` for a vat that talks to the world outside; `chain/mailbox-conveyor`
// and `chain/bridge-conveyor` for whoever brings in what comes from there.
//
// Vat parameters: `defaultComputrons` and `maxComputrons`, naturals as bigints: what the meter of a
// new vat is filled with, and the most that may be asked for.
import { makeScalarBigMapStore, prepareExo, prepareExoClass, provide } from '@agoric/vat-data';
import { b, Fail, q } from '@endo/errors';
import { E, Far, passStyleOf } from '@endo/far';
import { isNat } from '@endo/nat';

const BUNDLE_ID = /^(?:b1-[0-9a-f]{128}|w1-[0-9a-f]{64})$/;
const NAME = /^[A-Za-z0-9._-]{1,100}$/;

const DEFAULT_COMPUTRONS = 100_000_000_000n;
const MAX_COMPUTRONS = 10_000_000_000_000n;

const NO_OPTIONS = harden({});

const insistRecord = (value, what) => {
  passStyleOf(value) === 'copyRecord' || Fail`${b(what)}: options must be a record`;
};

const insistName = (name, what) => {
  (typeof name === 'string' && NAME.test(name)) ||
    Fail`${b(what)}: a name is 1 to 100 letters, digits, dots, dashes or underscores, not ${q(name)}`;
};

export const buildRootObject = ({ D }, vatParameters = {}, baggage) => {
  const { defaultComputrons = DEFAULT_COMPUTRONS, maxComputrons = MAX_COMPUTRONS } = vatParameters;
  isNat(defaultComputrons) || Fail`defaultComputrons must be a natural, not ${q(defaultComputrons)}`;
  isNat(maxComputrons) || Fail`maxComputrons must be a natural, not ${q(maxComputrons)}`;

  const accounts = provide(baggage, 'accounts', () =>
    makeScalarBigMapStore('accounts', { durable: true }),
  );
  // `ADDRESS/NAME` -> object
  const published = provide(baggage, 'published', () =>
    makeScalarBigMapStore('published', { durable: true }),
  );

  const vatAdminService = () => {
    baggage.has('vatAdminService') || Fail`the chain has not been bootstrapped`;
    return baggage.get('vatAdminService');
  };

  const bundleCap = async (bundleID, what) => {
    (typeof bundleID === 'string' && BUNDLE_ID.test(bundleID)) ||
      Fail`${b(what)}: ${q(bundleID)} is not a bundle id`;
    return E.when(E(vatAdminService()).getBundleCap(bundleID), undefined, () => {
      throw Fail`${b(what)}: bundle ${q(bundleID)} is not installed`;
    });
  };

  const checkComputrons = computrons => {
    (isNat(computrons) && computrons <= maxComputrons) ||
      Fail`createVat: computrons must be a natural of at most ${q(maxComputrons)}, not ${q(computrons)}`;
    return BigInt(computrons);
  };

  // Buys computrons for an account, or gives back what they cost.
  const trade = (type, payer, computrons) => {
    baggage.has('bridge') || Fail`createVat: this chain has no bridge to buy computrons through`;
    const request = harden({ type, payer, computrons: `${computrons}` });
    const { error } = D(baggage.get('bridge')).callOutbound('computrons', request);
    !error || Fail`createVat: ${b(error)}`;
  };

  // What an account may know of a vat's meter. To fill it up is for those who have paid for it.
  const makeMeterView = prepareExoClass(
    baggage,
    'meterView',
    undefined,
    meter => ({ meter }),
    {
      // {remaining, threshold}, in computrons
      get() {
        return E(this.state.meter).get();
      },
    },
  );

  // A call to the chain itself.
  const ask = (service, request) => {
    baggage.has('bridge') || Fail`this chain has no bridge`;
    const { error, ...answer } = D(baggage.get('bridge')).callOutbound(service, harden(request));
    !error || Fail`${b(error)}`;
    return answer;
  };

  // The validators, for governors and those whom they give it to.
  const validators = prepareExo(baggage, 'validators', undefined, {
    // [{pubKey, power}]: Ed25519 keys in base64, powers as bigints
    list() {
      const all = ask('validators', { type: 'list' }).validators;
      return harden(all.map(({ pubKey, power }) => ({ pubKey, power: BigInt(power) })));
    },
    // Sets the power of a validator, new or not; 0 removes it. Counts from the block after the next.
    setPower(pubKey, power) {
      typeof pubKey === 'string' || Fail`setPower: a public key is a string, not ${q(pubKey)}`;
      const nat = Number.isSafeInteger(power) ? BigInt(power) : power;
      isNat(nat) || Fail`setPower: a power is a natural, not ${q(power)}`;
      ask('validators', { type: 'set', pubKey, power: `${nat}` });
    },
  });

  const device = name => {
    baggage.has(name) || Fail`this chain has no ${b(name)} device: its genesis document has to ask for it`;
    return D(baggage.get(name));
  };

  // A device hands over what comes from outside, or says why not.
  const handOver = (name, ...args) => {
    const problem = device(name).deliverInbound(...args);
    !problem || Fail`${b(problem)}`;
  };

  // The vat's side of the mailbox: SwingSet's device, for comms vats of one's own.
  const mailbox = prepareExo(baggage, 'mailbox', undefined, {
    // `handler` gets deliverInboundMessages(peer, [[number, body]]) and deliverInboundAck(peer, number).
    registerInboundHandler(handler) {
      device('mailbox').registerInboundHandler(handler);
    },
    unregisterInboundHandler() {
      device('mailbox').unregisterInboundHandler();
    },
    add(peer, number, body) {
      device('mailbox').add(peer, number, body);
    },
    remove(peer, number) {
      device('mailbox').remove(peer, number);
    },
    ackInbound(peer, number) {
      device('mailbox').ackInbound(peer, number);
    },
  });

  const mailboxConveyor = prepareExo(baggage, 'mailboxConveyor', undefined, {
    // What came from `peer`: numbered messages, and the number of the last message that it has taken.
    deliverInbound(peer, messages = harden([]), ack = 0) {
      typeof peer === 'string' || Fail`deliverInbound: a peer is a string, not ${q(peer)}`;
      const isPair = pair =>
        Array.isArray(pair) && pair.length === 2 && isNat(pair[0]) && typeof pair[1] === 'string';
      (Array.isArray(messages) && messages.every(isPair)) ||
        Fail`deliverInbound: messages are pairs of a number and a string, not ${q(messages)}`;
      isNat(ack) || Fail`deliverInbound: an acknowledgement is a number, not ${q(ack)}`;
      const plain = messages.map(([number, body]) => [Number(number), body]);
      handOver('mailbox', peer, harden(plain), ack);
    },
  });

  // The vat's side of the bridge, but for calls to the chain itself, which spend coins.
  const bridge = prepareExo(baggage, 'bridge', undefined, {
    // `handler` gets inbound(...args).
    registerInboundHandler(handler) {
      device('bridge').registerInboundHandler(handler);
    },
    unregisterInboundHandler() {
      device('bridge').unregisterInboundHandler();
    },
  });

  const bridgeConveyor = prepareExo(baggage, 'bridgeConveyor', undefined, {
    // Plain data for the bridge's handler.
    inbound(...args) {
      handOver('bridge', ...args);
    },
  });

  const governed = harden({
    'chain/validators': validators,
    'chain/mailbox': mailbox,
    'chain/mailbox-conveyor': mailboxConveyor,
    'chain/bridge': bridge,
    'chain/bridge-conveyor': bridgeConveyor,
  });

  // Creates a metered vat for an account, which pays. Gives {root, adminNode, meter}.
  const createVatFor = async (address, what, bundleID, options) => {
    insistRecord(options, what);
    const { computrons = defaultComputrons, name, vatParameters, reapInterval, ...unknown } =
      options;
    const unknownNames = Object.keys(unknown).join(', ');
    !unknownNames || Fail`${b(what)}: unknown options ${q(unknownNames)}`;
    const remaining = checkComputrons(computrons);
    const bundlecap = await bundleCap(bundleID, what);
    const service = vatAdminService();
    trade('buy', address, remaining);
    const meter = await E(service).createMeter(remaining, 0n);
    const vatOptions = harden({ name, vatParameters, reapInterval, meter });
    try {
      const { root, adminNode } = await E(service).createVat(bundlecap, vatOptions);
      return harden({ root, adminNode, meter: makeMeterView(meter) });
    } catch (error) {
      // Nobody else has the meter: what is in it still is given back.
      const left = await E(meter).get();
      trade('refund', address, left.remaining);
      throw error;
    }
  };

  const end = ({ adminNode }, reason) => E(adminNode).terminateWithFailure(reason);

  // Vats that were started together and know of each other. Its vats are named SUBCLUSTER.VAT in the
  // chain's vat table.
  const makeSubcluster = prepareExoClass(
    baggage,
    'subcluster',
    undefined,
    (address, name) => ({
      address,
      name,
      vats: makeScalarBigMapStore('subcluster', { durable: true }),
    }),
    {
      // {NAME: {root, adminNode, meter}}
      getVats() {
        return harden(Object.fromEntries(this.state.vats.entries()));
      },
      // Starts one more vat. Options as those of createVat, but for the name.
      async startVat(name, bundleID, options = NO_OPTIONS) {
        const { address, name: cluster, vats } = this.state;
        insistName(name, 'startVat');
        insistRecord(options, 'startVat');
        !vats.has(name) || Fail`startVat: there is a vat ${q(name)} already`;
        const full = harden({ ...options, name: `${cluster}.${name}` });
        const vat = await createVatFor(address, 'startVat', bundleID, full);
        if (vats.has(name)) {
          await end(vat, Error('another vat took the name'));
          throw Fail`startVat: there is a vat ${q(name)} already`;
        }
        vats.init(name, vat);
        return vat;
      },
      // Ends a vat. Its record stays in the chain's vat table.
      async terminateVat(name, reason = Error('terminated by its subcluster')) {
        const { vats } = this.state;
        vats.has(name) || Fail`terminateVat: there is no vat ${q(name)}`;
        const vat = vats.get(name);
        vats.delete(name);
        // It may have ended by itself.
        await E.when(end(vat, reason), undefined, () => {});
      },
      async terminateAllVats(reason = Error('terminated by its subcluster')) {
        const { vats } = this.state;
        const all = [...vats.values()];
        vats.clear();
        await Promise.all(all.map(vat => E.when(end(vat, reason), undefined, () => {})));
      },
    },
  );

  // {bootstrap, vats: {NAME: {bundleID, ...options}}}, checked before anything is started.
  const checkCluster = async config => {
    insistRecord(config, 'launchSubcluster');
    const { name, bootstrap, vats, ...unknown } = config;
    const unknownNames = Object.keys(unknown).join(', ');
    !unknownNames || Fail`launchSubcluster: unknown options ${q(unknownNames)}`;
    insistName(name, 'launchSubcluster');
    insistRecord(vats, 'launchSubcluster');
    Object.keys(vats).length > 0 || Fail`launchSubcluster: a subcluster has at least one vat`;
    bootstrap === undefined ||
      (typeof bootstrap === 'string' && Object.hasOwn(vats, bootstrap)) ||
      Fail`launchSubcluster: there is no vat ${q(bootstrap)} to be bootstrapped`;
    for (const [vatName, vat] of Object.entries(vats)) {
      insistName(vatName, 'launchSubcluster');
      insistRecord(vat, 'launchSubcluster');
      await bundleCap(vat.bundleID, 'launchSubcluster');
    }
  };

  const makeAccountFactory = prepareExoClass(
    baggage,
    'accountFactory',
    undefined,
    address => ({ address }),
    {
      // Creates a metered vat. Options: name, vatParameters, reapInterval, computrons. Gives
      // {root, adminNode, meter}.
      async createVat(bundleID, options = NO_OPTIONS) {
        return createVatFor(this.state.address, 'createVat', bundleID, options);
      },

      // Starts vats together: {name, bootstrap, vats: {NAME: {bundleID, ...options of createVat}}}. If
      // one of them cannot be started, none is. The vat that `bootstrap` names gets
      // bootstrap(roots by name, {}). Gives {subcluster, vats, bootstrapResult}.
      async launchSubcluster(config) {
        const { address } = this.state;
        await checkCluster(config);
        const { name, bootstrap, vats } = config;
        const subcluster = makeSubcluster(address, name);
        try {
          for (const [vatName, { bundleID, ...options }] of Object.entries(vats)) {
            await subcluster.startVat(vatName, bundleID, harden(options));
          }
        } catch (error) {
          await subcluster.terminateAllVats();
          throw error;
        }
        const started = subcluster.getVats();
        const roots = Object.entries(started).map(([vatName, { root }]) => [vatName, root]);
        const bootstrapResult =
          bootstrap && E(started[bootstrap].root).bootstrap(harden(Object.fromEntries(roots)), NO_OPTIONS);
        return harden({ subcluster, vats: started, bootstrapResult });
      },

      // Upgrades a vat that this or any other account created. Options: vatParameters,
      // upgradeMessage. Gives {incarnationNumber}.
      async upgradeVat(adminNode, bundleID, options = NO_OPTIONS) {
        insistRecord(options, 'upgradeVat');
        const bundlecap = await bundleCap(bundleID, 'upgradeVat');
        return E(adminNode).upgrade(bundlecap, options);
      },

      // Shares an object under a name of the account's own. Gives the full name, `ADDRESS/NAME`.
      publish(name, object) {
        insistName(name, 'publish');
        passStyleOf(object) === 'remotable' || Fail`publish: only an object can be published`;
        const fullName = `${this.state.address}/${name}`;
        !published.has(fullName) || Fail`publish: the name ${q(fullName)} is taken`;
        published.init(fullName, object);
        return fullName;
      },

      // Takes back a name of the account's own.
      unpublish(name) {
        const fullName = `${this.state.address}/${name}`;
        published.has(fullName) || Fail`unpublish: nothing is published as ${q(fullName)}`;
        published.delete(fullName);
      },

      // The object published under a full name, or under a name of the account's own.
      lookup(name) {
        typeof name === 'string' || Fail`lookup: a name is a string, not ${q(name)}`;
        const { address } = this.state;
        if (Object.hasOwn(governed, name)) {
          const { isGovernor } = ask('validators', { type: 'isGovernor', address });
          isGovernor || Fail`lookup: ${q(name)} is for the chain's governors`;
          return governed[name];
        }
        const fullName = name.includes('/') ? name : `${address}/${name}`;
        published.has(fullName) || Fail`lookup: nothing is published as ${q(fullName)}`;
        return published.get(fullName);
      },
    },
  );

  return Far('provisioner', {
    async bootstrap({ vatAdmin, timer }, devices) {
      for (const name of ['bridge', 'mailbox']) {
        if (devices[name]) {
          baggage.init(name, devices[name]);
        }
      }
      const service = await E(vatAdmin).createVatAdminService(devices.vatAdmin);
      baggage.init('vatAdminService', service);
      if (timer && devices.timer) {
        published.init('chain/timer', await E(timer).createTimerService(devices.timer));
      }
    },

    // The kernel asks once an account, at its first transaction.
    provision(address) {
      typeof address === 'string' || Fail`provision: an address is a string, not ${q(address)}`;
      if (!accounts.has(address)) {
        accounts.init(address, makeAccountFactory(address));
      }
      return accounts.get(address);
    },
  });
};
