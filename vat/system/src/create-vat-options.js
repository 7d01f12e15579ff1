// Options of `createVat`, checked and converted to those of the vatAdmin device.
//
// Two of them are hints without an effect here. `managerType` is one because the bundle says which engine runs the vat.
// `virtualObjectCacheSize` is the other.
import { Fail, q } from '@endo/errors';

import { cut } from './brief.js';

const MANAGER_TYPES = ['local', 'node-subprocess', 'nodeWorker', 'xsnap', 'xs-worker'];
const MAX_NAME_LENGTH = 199;

// False, undefined and empty values pass, whatever their type.
const checkType = (name, value, type) => {
  !value || typeof value === type || Fail`CreateVatOptions(${name})`;
};

const checkName = name => {
  checkType('name', name, 'string');
  if (name === undefined) {
    return;
  }
  name.length <= MAX_NAME_LENGTH || Fail`CreateVatOptions: oversized vat name ${q(cut(name, 1000))}`;
  /^[A-Za-z0-9._-]+$/.test(name) || Fail`CreateVatOptions: bad vat name ${q(name)}`;
};

const checkManager = (managerType, nodeOptions) => {
  checkType('managerType', managerType, 'string');
  !managerType ||
    MANAGER_TYPES.includes(managerType) ||
    Fail`CreateVatOptions: bad managerType ${managerType}`;
  !nodeOptions ||
    managerType === 'node-subprocess' ||
    Fail`CreateVatOptions: nodeOptions requires managerType='node-subprocess'`;
  !nodeOptions || Fail`CreateVatOptions: no vat runs in a process of Node: leave out nodeOptions`;
};

/**
 * Returns the device's options for the caller's `options`.
 *
 * @param {object} options as given to `createVat`
 * @param {object} tools
 * @param {object} tools.criticalVatKey the object that lets its holder make a vat critical
 * @param {(meter: object) => string | undefined} tools.meterIDOf a meter's id; a stranger has none,
 *   and the vat is then created without a meter, as in SwingSet
 */
export const convertOptions = (options, { criticalVatKey, meterIDOf }) => {
  const {
    name,
    meter,
    managerType,
    nodeOptions,
    vatParameters,
    enableSetup,
    enablePipelining,
    useTranscript,
    reapInterval,
    critical,
    enableVatstore,
    // Liveslots no longer takes a size: its cache lasts for one delivery.
    virtualObjectCacheSize,
    ...unknown
  } = options;
  checkName(name);
  checkManager(managerType, nodeOptions);
  checkType('enableSetup', enableSetup, 'boolean');
  checkType('enablePipelining', enablePipelining, 'boolean');
  checkType('useTranscript', useTranscript, 'boolean');
  checkType('reapInterval', reapInterval, 'number');
  checkType('virtualObjectCacheSize', virtualObjectCacheSize, 'number');
  enableVatstore === undefined ||
    typeof enableVatstore === 'boolean' ||
    Fail`CreateVatOptions(enableVatstore)`;
  const unknownNames = Object.keys(unknown).join(',');
  !unknownNames || Fail`CreateVatOptions: unknown options ${q(cut(unknownNames, 1000))}`;
  !critical || critical === criticalVatKey || Fail`invalid criticalVatKey`;
  return harden({
    name,
    meterID: meter ? meterIDOf(meter) : undefined,
    managerType,
    vatParameters,
    enableSetup,
    enablePipelining,
    useTranscript,
    reapInterval,
    critical: !!critical,
    // Today's SwingSet has no such option. So the device gets it only from those who use it.
    ...(enableVatstore === undefined ? {} : { enableVatstore }),
  });
};
