// What the chain's governors may look up, and pass on: the validators, and both ends of the devices that talk to the
// world outside.
import { prepareExo } from '@agoric/vat-data';
import { b, Fail, q } from '@endo/errors';
import { E } from '@endo/far';
import { isNat } from '@endo/nat';

import { brief } from './brief.js';
import { insistText, isObject, isRecord } from './shapes.js';

const insistTarget = (target, what) => {
  isObject(target) || insistText(target, 100, `${what}: the kref of an object`);
};

/** The longest name of a subcluster or vat. */
const MAX_NAME = 100;

const MAX_REASON = 1_000;

/**
 * The objects by the names under which governors look them up.
 *
 * @param {object} baggage holds the devices `bridge`, `mailbox` and `vatAdminDevice`, and the vat `vatAdmin`
 * @param {object} powers
 * @param {Function} powers.D calls devices
 * @param {Function} powers.bundleCap finds an installed bundle by its id
 * @param {Function} powers.tell the kernel of subclusters, by a method of the vatAdmin device
 * @param {Function} powers.ask a service of the chain, through the bridge
 */
export const prepareGoverned = (baggage, { D, ask, bundleCap, tell }) => {
  // The validators, for governors and those whom they give it to.
  const validators = prepareExo(baggage, 'validators', undefined, {
    // [{pubKey, power}]: Ed25519 keys in base64, powers as bigints
    list() {
      const all = ask('validators', { type: 'list' }).validators;
      return harden(all.map(({ pubKey, power }) => ({ pubKey, power: BigInt(power) })));
    },
    // Sets the power of a validator, new or not; 0 removes it. Counts from the block after the next.
    setPower(pubKey, power) {
      insistText(pubKey, 100, 'setPower: a public key');
      const nat = Number.isSafeInteger(power) ? BigInt(power) : power;
      (typeof nat === 'bigint' && isNat(nat) && nat < 2n ** 64n) ||
        Fail`setPower: a power is a natural below 2^64, not ${brief(power)}`;
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
      typeof peer === 'string' || Fail`deliverInbound: a peer is a string, not ${brief(peer)}`;
      const isPair = pair =>
        Array.isArray(pair) && pair.length === 2 && isNat(pair[0]) && typeof pair[1] === 'string';
      (Array.isArray(messages) && messages.every(isPair)) ||
        Fail`deliverInbound: messages are pairs of a number and a string, not ${brief(messages)}`;
      isNat(ack) || Fail`deliverInbound: an acknowledgement is a number, not ${brief(ack)}`;
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

  // Objects that are to get no more messages, named by a reference or by their krefs.
  const revoker = prepareExo(baggage, 'revoker', undefined, {
    // Is for good. Objects of the system are revoked only with {system: true}.
    revoke(target, options = harden({})) {
      insistTarget(target, 'revoke');
      isRecord(options) || Fail`revoke: options must be a record`;
      const { system = false, ...unknown } = options;
      Object.keys(unknown).length === 0 || Fail`revoke: the only option is ${q('system')}`;
      typeof system === 'boolean' || Fail`revoke: system must be true or false, not ${brief(system)}`;
      const problem = device('vatAdminDevice').revoke(target, system);
      !problem || Fail`revoke: ${b(problem)}`;
    },
    isRevoked(target) {
      insistTarget(target, 'isRevoked');
      const answer = device('vatAdminDevice').isRevoked(target);
      typeof answer === 'boolean' || Fail`isRevoked: ${b(answer)}`;
      return answer;
    },
  });

  // The subclusters that the chain itself launched.
  const systemSubclusters = prepareExo(baggage, 'systemSubclusters', undefined, {
    // [{id, name, status, vats: {NAME: vatID}}]
    list() {
      return tell('systemSubclusters');
    },
    // The root object of the bootstrap vat.
    getRoot(name) {
      insistText(name, MAX_NAME, 'getRoot: a name');
      return tell('systemSubclusterRoot', name).root;
    },
    // Upgrades a vat. Options: vatParameters, upgradeMessage. Gives {incarnationNumber}.
    async upgradeVat(subcluster, vat, bundleID, options = harden({})) {
      insistText(subcluster, MAX_NAME, 'upgradeVat: a subcluster');
      insistText(vat, MAX_NAME, 'upgradeVat: a vat');
      const { vatID } = tell('systemSubclusterVat', subcluster, vat);
      // The kernel would only say that the upgrade failed.
      await bundleCap(bundleID, 'upgradeVat');
      return E(baggage.get('vatAdmin')).upgradeStaticVat(vatID, null, bundleID, options);
    },
    // {bootstrap, services, vats: {NAME: {bundleID, parameters, ...options}}}. Gives {subclusterId, root,
    // bootstrapResult} when bootstrap is fulfilled: the kernel answers in this vat's place.
    launch(name, config) {
      insistText(name, MAX_NAME, 'launch: a name');
      tell('launchSystemSubcluster', name, config);
    },
    // Ends a subcluster. One with a critical vat is refused.
    terminate(name, reason = 'ended by the chain\'s governors') {
      insistText(name, MAX_NAME, 'terminate: a name');
      insistText(reason, MAX_REASON, 'terminate: a reason');
      tell('terminateSystemSubcluster', name, reason);
    },
  });

  return harden({
    'chain/revoker': revoker,
    'chain/system-subclusters': systemSubclusters,
    'chain/validators': validators,
    'chain/mailbox': mailbox,
    'chain/mailbox-conveyor': mailboxConveyor,
    'chain/bridge': bridge,
    'chain/bridge-conveyor': bridgeConveyor,
  });
};
