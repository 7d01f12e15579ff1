// What the chain's governors may look up, and pass on: kernel services that are for the system alone, and objects that
// rule the chain.
import { prepareExo } from '@agoric/vat-data';
import { b, Fail, q } from '@endo/errors';
import { E } from '@endo/far';

import { brief } from './brief.js';
import { insistNoProblem, insistText, isObject, isRecord } from './shapes.js';

const insistTarget = (target, what) => {
  isObject(target) || insistText(target, 100, `${what}: the kref of an object`);
};

/** Kernel services by the names under which governors look them up. */
const SERVICES = harden({
  'chain/kernel': 'kernelFacet',
  'chain/validators': 'validators',
  'chain/mailbox': 'mailbox',
  'chain/mailbox-conveyor': 'mailboxConveyor',
  'chain/bridge': 'bridge',
  'chain/bridge-conveyor': 'bridgeConveyor',
});

/** Maximum length of the name of a subcluster or vat. */
const MAX_NAME = 100;

const MAX_REASON = 1_000;

/**
 * Gives {has, get}: says whether a name is one for governors, and finds the object of such a name.
 *
 * @param {object} baggage holds the kernel's `services`, the device `vatAdminDevice` and the vat `vatAdmin`
 * @param {object} powers
 * @param {Function} powers.D calls devices
 * @param {Function} powers.bundleCap finds an installed bundle by its id
 * @param {Function} powers.tell the kernel of subclusters, by a method of the vatAdmin device
 */
export const prepareGoverned = (baggage, { D, bundleCap, tell }) => {
  const vatAdminDevice = () => {
    baggage.has('vatAdminDevice') || Fail`the chain has not been bootstrapped`;
    return D(baggage.get('vatAdminDevice'));
  };

  // Revokes objects, which are named by a reference or by their krefs.
  const revoker = prepareExo(baggage, 'revoker', undefined, {
    // Revokes an object for good. Objects of the system are revoked only with {system: true}.
    revoke(target, options = harden({})) {
      insistTarget(target, 'revoke');
      isRecord(options) || Fail`revoke: options must be a record`;
      const { system = false, ...unknown } = options;
      Object.keys(unknown).length === 0 || Fail`revoke: the only option is ${q('system')}`;
      typeof system === 'boolean' || Fail`revoke: system must be true or false, not ${brief(system)}`;
      insistNoProblem(vatAdminDevice().revoke(target, system), 'revoke');
    },
    isRevoked(target) {
      insistTarget(target, 'isRevoked');
      const answer = vatAdminDevice().isRevoked(target);
      typeof answer === 'boolean' || insistNoProblem(answer, 'isRevoked');
      return answer;
    },
  });

  // The subclusters that the chain itself launched.
  const systemSubclusters = prepareExo(baggage, 'systemSubclusters', undefined, {
    // Returns [{id, name, status, vats: {NAME: vatID}}].
    list() {
      return tell('systemSubclusters');
    },
    // Returns the root object of the bootstrap vat.
    getRoot(name) {
      insistText(name, MAX_NAME, 'getRoot: a name');
      return tell('systemSubclusterRoot', name).root;
    },
    // Upgrades a vat. Options: vatParameters, upgradeMessage. Without vatParameters the vat keeps those that it has. Returns
    // {incarnationNumber}.
    async upgradeVat(subcluster, vat, bundleID, options = harden({})) {
      insistText(subcluster, MAX_NAME, 'upgradeVat: a subcluster');
      insistText(vat, MAX_NAME, 'upgradeVat: a vat');
      isRecord(options) || Fail`upgradeVat: options must be a record`;
      const { vatID } = tell('systemSubclusterVat', subcluster, vat);
      // The kernel would only say that the upgrade failed.
      await bundleCap(bundleID, 'upgradeVat');
      const keepVatParameters = !Object.hasOwn(options, 'vatParameters');
      const all = keepVatParameters ? harden({ ...options, keepVatParameters }) : options;
      return E(baggage.get('vatAdmin')).upgradeStaticVat(vatID, null, bundleID, all);
    },
    // Launches {bootstrap, services, vats: {NAME: {bundleID, parameters, ...options}}}. The answer is {subclusterId, root,
    // bootstrapResult} once bootstrap is fulfilled. The kernel gives it in this vat's place.
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

  const objects = harden({ 'chain/revoker': revoker, 'chain/system-subclusters': systemSubclusters });

  return harden({
    has: name => Object.hasOwn(objects, name) || Object.hasOwn(SERVICES, name),
    get(name) {
      if (Object.hasOwn(objects, name)) {
        return objects[name];
      }
      const service = SERVICES[name];
      const services = baggage.has('services') ? baggage.get('services') : {};
      Object.hasOwn(services, service) ||
        Fail`this chain has no ${b(service)} service: app_state.kernel.services has to name it`;
      return services[service];
    },
  });
};
