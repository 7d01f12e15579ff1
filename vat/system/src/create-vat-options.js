// The options of `createVat`, checked and turned into what the vatAdmin device takes.
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
};

/**
 * The device's options for the caller's `options`.
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
    // A hint of SwingSet's documentation. Liveslots takes no size any more: its cache lasts for a delivery.
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
    // SwingSet of today has no such option, so that the device is told of it by those alone who use it.
    ...(enableVatstore === undefined ? {} : { enableVatstore }),
  });
};
