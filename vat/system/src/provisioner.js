// The chain's bootstrap vat, which gives every new account its first object. This is an account factory, with which
// the account creates vats and shares objects by name.
//
// What goes into a vat's meter is bought from the chain at that moment, through the bridge, with the
// account's coins, whoever sent the message: the account itself or a vat that was given the factory. A
// published name has a deposit, paid the same way, which is given back when the name is.
// If the chain has a timer, its service is published as `chain/timer`, and registered with the kernel as `timer`.
// The kernel's service `chain` is published as `chain/info`.
//
// The chain's governors can look up what rules the chain, and pass it on: kernel services for the system alone, such as
// `chain/validators`; `chain/revoker`; `chain/system-subclusters`. `governed.js` has the list.
//
// The kernel keeps a record of each subcluster. The provisioner tells it, through the vatAdmin device.
//
// Vat parameters: `defaultComputrons` and `maxComputrons`, naturals as bigints: what the meter of a
// new vat is filled with, and the most that may be asked for.
import {
  makeScalarBigMapStore,
  makeScalarBigWeakSetStore,
  prepareExoClass,
  provide,
} from '@agoric/vat-data';
import { b, Fail, q } from '@endo/errors';
import { E, Far } from '@endo/far';
import { isNat } from '@endo/nat';

import { brief, cut, reasonText } from './brief.js';
import { prepareGoverned } from './governed.js';
import { insistNoProblem, insistText, isObject, isRecord } from './shapes.js';

const BUNDLE_ID = /^(?:b1-[0-9a-f]{128}|w1-[0-9a-f]{64})$/;
const NAME = /^[A-Za-z0-9._-]{1,100}$/;

const DEFAULT_COMPUTRONS = 100_000_000_000n;
const MAX_COMPUTRONS = 10_000_000_000_000n;

/** Maximum length of a vat's name, as in the vat table. */
const MAX_VAT_NAME = 199;

/** Maximum length of a full name: an address, a slash and a name. */
const MAX_FULL_NAME = 200;

const MAX_UPGRADE_MESSAGE = 1_000;

/** Maximum number of vats of a subcluster. */
const MAX_SUBCLUSTER = 32;

const NO_OPTIONS = harden({});

const insistRecord = (value, what) => {
  isRecord(value) || Fail`${b(what)}: options must be a record`;
};

const insistNoMore = (unknown, what) => {
  const names = Object.keys(unknown);
  names.length === 0 || Fail`${b(what)}: unknown options ${q(cut(names.join(', ')))}`;
};

// Reasons for the end of a vat, as everybody who asks is told them.
const insistReason = (reason, what) => {
  reason instanceof Error ||
    typeof reason === 'string' ||
    Fail`${b(what)}: a reason is an error or a text, not ${brief(reason)}`;
};

const insistFlag = (name, flag, what) => {
  flag === undefined ||
    typeof flag === 'boolean' ||
    Fail`${b(what)}: ${b(name)} must be true or false, not ${brief(flag)}`;
};

const insistName = (name, what) => {
  (typeof name === 'string' && NAME.test(name)) ||
    Fail`${b(what)}: a name is 1 to 100 letters, digits, dots, dashes or underscores, not ${brief(name)}`;
};

export const buildRootObject = ({ D }, vatParameters = {}, baggage) => {
  const { defaultComputrons = DEFAULT_COMPUTRONS, maxComputrons = MAX_COMPUTRONS } = vatParameters;
  isNat(defaultComputrons) || Fail`defaultComputrons must be a natural, not ${brief(defaultComputrons)}`;
  isNat(maxComputrons) || Fail`maxComputrons must be a natural, not ${brief(maxComputrons)}`;

  const accounts = provide(baggage, 'accounts', () =>
    makeScalarBigMapStore('accounts', { durable: true }),
  );
  // `ADDRESS/NAME` -> {object, deposit}, the deposit in the chain's coin as a decimal string
  const published = provide(baggage, 'published', () =>
    makeScalarBigMapStore('published', { durable: true }),
  );
  // The adminNodes of vats that were created here.
  const adminNodes = provide(baggage, 'adminNodes', () =>
    makeScalarBigWeakSetStore('adminNodes', { durable: true }),
  );

  const vatAdminService = () => {
    baggage.has('vatAdminService') || Fail`the chain has not been bootstrapped`;
    return baggage.get('vatAdminService');
  };

  const bundleCap = async (bundleID, what) => {
    (typeof bundleID === 'string' && BUNDLE_ID.test(bundleID)) ||
      Fail`${b(what)}: ${brief(bundleID)} is not a bundle id`;
    return E.when(E(vatAdminService()).getBundleCap(bundleID), undefined, () => {
      throw Fail`${b(what)}: bundle ${q(bundleID)} is not installed`;
    });
  };

  const checkComputrons = computrons => {
    (isNat(computrons) && computrons <= maxComputrons) ||
      Fail`createVat: computrons must be a natural of at most ${q(maxComputrons)}, not ${brief(computrons)}`;
    return BigInt(computrons);
  };

  // Buys computrons for an account. What is left of them when the vat has ended, the kernel gives back.
  const buyComputrons = (payer, computrons) => {
    baggage.has('bridge') || Fail`createVat: this chain has no bridge to buy computrons through`;
    const request = harden({ type: 'buy', payer, computrons: `${computrons}` });
    const { error } = D(baggage.get('bridge')).callOutbound('computrons', request);
    insistNoProblem(error, 'createVat');
  };

  // A read-only view of a vat's meter for accounts. Only those who pay can refill it.
  const makeMeterView = prepareExoClass(
    baggage,
    'meterView',
    undefined,
    meter => ({ meter }),
    {
      // Returns {remaining, threshold}, in computrons.
      get() {
        return E(this.state.meter).get();
      },
    },
  );

  // Calls the chain itself.
  const ask = (service, request, method) => {
    baggage.has('bridge') || Fail`this chain has no bridge`;
    const { error, ...answer } = D(baggage.get('bridge')).callOutbound(service, harden(request));
    insistNoProblem(error, method);
    return answer;
  };

  // A chain without a bridge has no coins.
  const takeDeposit = payer =>
    baggage.has('bridge') ? ask('deposits', { type: 'takeForName', payer }, 'publish').amount : '0';
  const returnDeposit = (payer, amount) => {
    if (amount !== '0') {
      ask('deposits', { type: 'giveBack', payer, amount }, 'unpublish');
    }
  };

  // Tells the kernel of a subcluster, or asks about one.
  const tell = (method, ...args) => {
    baggage.has('vatAdminDevice') || Fail`the chain has not been bootstrapped`;
    const answer = D(baggage.get('vatAdminDevice'))[method](...args);
    if (answer?.error) {
      // The caller reads the kernel's own text, without the quotes that Fail would add.
      throw Error(answer.error);
    }
    return answer;
  };

  const governed = prepareGoverned(baggage, { D, bundleCap, tell });

  // Creates a metered vat for an account, which pays. Returns {root, adminNode, meter}.
  const createVatFor = async (address, what, bundleID, options) => {
    insistRecord(options, what);
    const {
      computrons = defaultComputrons,
      name,
      vatParameters = NO_OPTIONS,
      reapInterval,
      enableSetup,
      enableVatstore,
      ...unknown
    } = options;
    insistNoMore(unknown, what);
    insistFlag('enableSetup', enableSetup, what);
    insistFlag('enableVatstore', enableVatstore, what);
    name === undefined || insistText(name, MAX_VAT_NAME, `${what}: a name`);
    reapInterval === undefined ||
      reapInterval === 'never' ||
      (isNat(reapInterval) && reapInterval < 2n ** 64n) ||
      Fail`${b(what)}: a reapInterval is a natural below 2^64 or "never", not ${brief(reapInterval)}`;
    const remaining = checkComputrons(computrons);
    const bundlecap = await bundleCap(bundleID, what);
    const service = vatAdminService();
    buyComputrons(address, remaining);
    const meter = await E(baggage.get('ownedMeters')).createMeterFor(address, remaining, 0n);
    const flags = {
      ...(enableSetup === undefined ? {} : { enableSetup }),
      ...(enableVatstore === undefined ? {} : { enableVatstore }),
    };
    const vatOptions = harden({ name, vatParameters, reapInterval, meter, ...flags });
    try {
      const { root, adminNode } = await E(service).createVat(bundlecap, vatOptions);
      adminNodes.add(adminNode);
      return harden({ root, adminNode, meter: makeMeterView(meter) });
    } catch (error) {
      // There is no vat whose cleanup would do it.
      await E(baggage.get('ownedMeters')).giveBackMeter(meter);
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
    (address, name, id) => ({
      address,
      name,
      id,
      isEnded: false,
      vats: makeScalarBigMapStore('subcluster', { durable: true }),
    }),
    {
      // {NAME: {root, adminNode, meter}}
      getVats() {
        return harden(Object.fromEntries(this.state.vats.entries()));
      },
      // Starts one more vat. Options as those of createVat, but for the name.
      async startVat(name, bundleID, options = NO_OPTIONS) {
        const { state } = this;
        const { address, name: cluster, id, vats } = state;
        !state.isEnded || Fail`startVat: the subcluster has ended`;
        insistName(name, 'startVat');
        insistRecord(options, 'startVat');
        vats.getSize() < MAX_SUBCLUSTER ||
          Fail`startVat: a subcluster has at most ${q(MAX_SUBCLUSTER)} vats`;
        !vats.has(name) || Fail`startVat: there is a vat ${q(name)} already`;
        const full = harden({ ...options, name: `${cluster}.${name}` });
        const vat = await createVatFor(address, 'startVat', bundleID, full);
        // Others may have been started meanwhile, or the subcluster ended.
        if (state.isEnded || vats.has(name) || vats.getSize() >= MAX_SUBCLUSTER) {
          await end(vat, Error('another vat took the place'));
          throw Fail`startVat: another vat took the place of ${q(name)}`;
        }
        vats.init(name, vat);
        tell('addSubclusterVat', id, name, vat.root);
        return vat;
      },
      // Ends a vat. Its record stays in the chain's vat table.
      async terminateVat(name, reason = Error('terminated by its subcluster')) {
        const { id, vats } = this.state;
        insistName(name, 'terminateVat');
        insistReason(reason, 'terminateVat');
        vats.has(name) || Fail`terminateVat: there is no vat ${q(name)}`;
        const vat = vats.get(name);
        vats.delete(name);
        tell('removeSubclusterVat', id, name);
        // It may have ended by itself.
        await E.when(end(vat, reason), undefined, () => {});
      },
      async terminateAllVats(reason = Error('terminated by its subcluster')) {
        const { id, vats } = this.state;
        insistReason(reason, 'terminateAllVats');
        const all = [...vats.values()].reverse();
        for (const name of [...vats.keys()]) {
          vats.delete(name);
          tell('removeSubclusterVat', id, name);
        }
        await Promise.all(all.map(vat => E.when(end(vat, reason), undefined, () => {})));
      },
      // Ends the subcluster for good: its vats, the last one first, and its record.
      async terminate(reason = Error('terminated by its owner')) {
        const { state } = this;
        const { id, vats } = state;
        insistReason(reason, 'terminate');
        !state.isEnded || Fail`terminate: the subcluster has ended already`;
        state.isEnded = true;
        const all = [...vats.values()].reverse();
        vats.clear();
        const text = reason instanceof Error ? reason.message : reason;
        tell('deleteSubcluster', id, cut(`${text}`, MAX_UPGRADE_MESSAGE));
        await Promise.all(all.map(vat => E.when(end(vat, reason), undefined, () => {})));
      },
    },
  );

  // What follows the answer of `bootstrap`. A launch that fails ends its vats.
  const followBootstrap = (subcluster, id, result) => {
    const fail = error => {
      const reason = error instanceof Error ? error : Error('bootstrap was rejected');
      return subcluster.terminate(reason);
    };
    // The subcluster may have been ended meanwhile.
    E.when(E.when(result, () => tell('completeSubcluster', id), fail), undefined, () => {});
  };

  // {name, bootstrap, services, io, vats: {NAME: {bundleID, ...options}}}, checked before anything is started.
  const checkCluster = async config => {
    insistRecord(config, 'launchSubcluster');
    const { name, bootstrap, services = harden([]), io, vats, ...unknown } = config;
    insistNoMore(unknown, 'launchSubcluster');
    insistName(name, 'launchSubcluster');
    io === undefined || insistRecord(io, 'launchSubcluster');
    insistRecord(vats, 'launchSubcluster');
    const count = Object.keys(vats).length;
    (count > 0 && count <= MAX_SUBCLUSTER) ||
      Fail`launchSubcluster: a subcluster has 1 to ${q(MAX_SUBCLUSTER)} vats, not ${q(count)}`;
    bootstrap === undefined ||
      (typeof bootstrap === 'string' && Object.hasOwn(vats, bootstrap)) ||
      Fail`launchSubcluster: invalid bootstrap vat name ${brief(bootstrap)}`;
    (Array.isArray(services) &&
      services.length <= MAX_SUBCLUSTER &&
      services.every(service => typeof service === 'string' && service.length <= MAX_FULL_NAME)) ||
      Fail`launchSubcluster: services are at most ${q(MAX_SUBCLUSTER)} names, not ${brief(services)}`;
    for (const [vatName, vat] of Object.entries(vats)) {
      insistName(vatName, 'launchSubcluster');
      insistRecord(vat, 'launchSubcluster');
      await bundleCap(vat.bundleID, `launchSubcluster: vat ${vatName}`);
    }
  };

  const makeAccountFactory = prepareExoClass(
    baggage,
    'accountFactory',
    undefined,
    address => ({ address }),
    {
      // Creates a metered vat. Options: name, vatParameters, reapInterval, computrons, enableSetup,
      // enableVatstore. Gives {root, adminNode, meter}.
      async createVat(bundleID, options = NO_OPTIONS) {
        return createVatFor(this.state.address, 'createVat', bundleID, options);
      },

      // Starts vats together: {name, bootstrap, services, io: {NAME: {direction}}, vats: {NAME: {bundleID, ...options of
      // createVat}}}. If one of them cannot be started, none is. The vat that `bootstrap` names gets
      // bootstrap(roots by name, services and io channels by name). If it rejects that, all of them end. Gives
      // {subcluster, subclusterId, vats, bootstrapResult}.
      async launchSubcluster(config) {
        const { address } = this.state;
        await checkCluster(config);
        const { name, bootstrap, services = harden([]), io, vats } = config;
        // The kernel says what is wrong with `io`.
        const { id, services: given } = tell('addSubcluster', name, address, bootstrap, services, io);
        const subcluster = makeSubcluster(address, name, id);
        for (const [vatName, { bundleID, ...options }] of Object.entries(vats)) {
          try {
            await subcluster.startVat(vatName, bundleID, harden(options));
          } catch (error) {
            const failure = Error(`launchSubcluster: vat ${vatName}: ${reasonText(error)}`);
            await subcluster.terminate(failure);
            throw failure;
          }
        }
        const started = subcluster.getVats();
        const roots = Object.entries(started).map(([vatName, { root }]) => [vatName, root]);
        const bootstrapResult =
          bootstrap && E(started[bootstrap].root).bootstrap(harden(Object.fromEntries(roots)), given);
        if (bootstrapResult) {
          followBootstrap(subcluster, id, bootstrapResult);
        }
        return harden({ subcluster, subclusterId: id, vats: started, bootstrapResult });
      },

      // Upgrades a vat that this or any other account created. Options: vatParameters, upgradeMessage. Without
      // vatParameters the vat keeps those that it has. Gives {incarnationNumber}.
      async upgradeVat(adminNode, bundleID, options = NO_OPTIONS) {
        insistRecord(options, 'upgradeVat');
        const { vatParameters: _, upgradeMessage = '', ...unknown } = options;
        const keepVatParameters = !Object.hasOwn(options, 'vatParameters');
        insistNoMore(unknown, 'upgradeVat');
        insistText(upgradeMessage, MAX_UPGRADE_MESSAGE, 'upgradeVat: an upgradeMessage');
        // So that nobody's answer is waited for but vatAdmin's.
        (isObject(adminNode) && adminNodes.has(adminNode)) ||
          Fail`upgradeVat: not the adminNode of a vat that an account created`;
        const bundlecap = await bundleCap(bundleID, 'upgradeVat');
        const all = keepVatParameters ? harden({ ...options, keepVatParameters }) : options;
        return E(adminNode).upgrade(bundlecap, all);
      },

      // Shares an object under a name of the account's own. Returns the full name, `ADDRESS/NAME`.
      publish(name, object) {
        insistName(name, 'publish');
        isObject(object) || Fail`publish: only an object can be published`;
        const { address } = this.state;
        const fullName = `${address}/${name}`;
        !published.has(fullName) || Fail`publish: the name ${q(fullName)} is taken`;
        published.init(fullName, harden({ object, deposit: takeDeposit(address) }));
        return fullName;
      },

      // Takes back a name of the account's own.
      unpublish(name) {
        insistName(name, 'unpublish');
        const { address } = this.state;
        const fullName = `${address}/${name}`;
        published.has(fullName) || Fail`unpublish: nothing is published as ${q(fullName)}`;
        const { deposit } = published.get(fullName);
        published.delete(fullName);
        returnDeposit(address, deposit);
      },

      // Returns the object published under a full name, or under a name of the account's own.
      lookup(name) {
        typeof name === 'string' || Fail`lookup: a name is a string, not ${brief(name)}`;
        name.length <= MAX_FULL_NAME || Fail`lookup: nothing is published as ${brief(name)}`;
        const { address } = this.state;
        if (governed.has(name)) {
          const { isGovernor } = ask('validators', { type: 'isGovernor', address }, 'lookup');
          isGovernor || Fail`lookup: ${q(name)} is for the chain's governors`;
          return governed.get(name);
        }
        const fullName = name.includes('/') ? name : `${address}/${name}`;
        fullName !== 'chain/timer' || published.has(fullName) || Fail`lookup: this chain has no timer: one that is made with --timer has it`;
        published.has(fullName) || Fail`lookup: nothing is published as ${q(fullName)}`;
        return published.get(fullName).object;
      },
    },
  );

  return Far('provisioner', {
    async bootstrap({ vatAdmin, timer }, devices, services = NO_OPTIONS) {
      if (devices.bridge) {
        baggage.init('bridge', devices.bridge);
      }
      baggage.init('services', services);
      baggage.init('vatAdmin', vatAdmin);
      baggage.init('vatAdminDevice', devices.vatAdmin);
      const made = await E(vatAdmin).createVatAdminService(devices.vatAdmin, true);
      baggage.init('vatAdminService', made.service);
      baggage.init('ownedMeters', made.ownedMeters);
      if (services.chain) {
        published.init('chain/info', harden({ object: services.chain, deposit: '0' }));
      }
      if (timer && devices.timer) {
        const object = await E(timer).createTimerService(devices.timer);
        published.init('chain/timer', harden({ object, deposit: '0' }));
        if (services.kernelFacet) {
          await E(services.kernelFacet).registerKernelServiceObject('timer', object);
        }
      }
    },

    // The kernel asks once an account, at its first transaction.
    provision(address) {
      typeof address === 'string' || Fail`provision: an address is a string, not ${brief(address)}`;
      if (!accounts.has(address)) {
        accounts.init(address, makeAccountFactory(address));
      }
      return accounts.get(address);
    },
  });
};
