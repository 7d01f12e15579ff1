// The vat in which `capstan shell` evaluates what is typed. It gets the vats' roots once. After that it gets sources:
// each is the text of an expression for a promise. What a line declares is a global of the vat's one compartment, so
// later lines see it.
import { E, Far, getInterfaceOf, passStyleOf } from '@endo/far';
import { makePromiseKit } from '@endo/promise-kit';

/** Depth, and number of items of a container, to which a value is shown. */
const SHOWN = { depth: 4, items: 100 };

const isName = text => /^[A-Za-z_$][\w$]*$/.test(text);

const styleOf = value => {
  try {
    return passStyleOf(value);
  } catch (_) {
    return undefined;
  }
};

const showItems = (open, items, close, max) => {
  const shown = items.slice(0, max);
  if (items.length > max) {
    shown.push(`… ${items.length - max} more`);
  }
  return shown.length ? `${open} ${shown.join(', ')} ${close}` : `${open}${close}`;
};

const showError = error => {
  const { name, message } = error;
  return `${name}: ${message}`;
};

/** Returns a value as text, much as Node shows it, but not below a depth and not more items than `max.items`. */
const show = (value, max = SHOWN, depth = 0, seen = []) => {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'bigint':
      return `${value}n`;
    case 'function':
      return getInterfaceOf(value) ? `[${getInterfaceOf(value)}]` : `[Function: ${value.name}]`;
    case 'object':
      break;
    default:
      return String(value);
  }
  if (value === null) {
    return 'null';
  }
  if (value instanceof Promise) {
    return '[Promise]';
  }
  if (value instanceof Error) {
    return `[${showError(value)}]`;
  }
  const iface = styleOf(value) === 'remotable' && getInterfaceOf(value);
  if (iface) {
    return `[${iface}${max.identify ? max.identify(value) : ''}]`;
  }
  if (seen.includes(value)) {
    return '[Circular]';
  }
  if (depth >= max.depth) {
    return Array.isArray(value) ? '[Array]' : '[Object]';
  }
  const inner = item => show(item, max, depth + 1, [...seen, value]);
  if (Array.isArray(value)) {
    return showItems('[', value.map(inner), ']', max.items);
  }
  const field = ([key, item]) => `${isName(key) ? key : JSON.stringify(key)}: ${inner(item)}`;
  const entries = Object.entries(value);
  if (max.sorted) {
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
  }
  return showItems('{', entries.map(field), '}', max.items);
};

/** Returns what was thrown as text: an error's name and message, or the value. */
const showThrown = thrown => (thrown instanceof Error ? showError(thrown) : show(thrown));

/** Refuses a command. A vat cannot run the kernel that runs it. */
const notHere = name => () => {
  throw Error(`${name}() is a command: write it on a line of its own`);
};

/**
 * Throws unless a value is the expected one: equal data, or the same object. Either may be a promise. For
 * scripts that test.
 */
const expect = async (value, expected) => {
  // Two objects are shown by different numbers.
  const objects = [];
  const identify = object => {
    objects.includes(object) || objects.push(object);
    return ` ${objects.indexOf(object) + 1}`;
  };
  const max = { depth: Infinity, items: Infinity, sorted: true, identify };
  const whole = async one => show(await one, max);
  const [found, wanted] = [await whole(value), await whole(expected)];
  if (found !== wanted) {
    throw Error(`expected ${wanted}, found ${found}`);
  }
};

/** Makes names of a compartment's globals fail to be read, as undeclared ones do, where a compartment gives undefined. */
const makeAbsence = globals => {
  const absent = new Set();
  const fail = name => {
    throw ReferenceError(`${name} is not defined`);
  };
  const mark = (name, set) => {
    absent.add(name);
    Object.defineProperty(globals, name, { get: () => fail(name), set, configurable: true });
  };
  return {
    /** Marks a name that a source uses and nobody has declared. */
    mark: name => {
      if (!(name in globals)) mark(name, () => fail(name));
    },
    /** Marks a name that a source is about to declare. What it had before it keeps until then. */
    declare: name => {
      if (Object.hasOwn(globals, name) && !absent.has(name)) return;
      mark(name, value => {
        absent.delete(name);
        Object.defineProperty(globals, name, { value, writable: true, enumerable: true, configurable: true });
      });
    },
    /** Lets a source ask `typeof` of a name. */
    unmark: name => {
      if (absent.delete(name)) delete globals[name];
    },
  };
};

/**
 * Makes `upgrade(vat, bundle, parameters)`: `vat` is a vat's name or root, and `bundle` the name of a bundle. Without
 * parameters the vat keeps its own.
 */
const makeUpgrade = (vats, devices, ids) => async (vat, bundle, ...parameters) => {
  const [name] = Object.entries(vats).find(([key, root]) => key === vat || root === vat) ?? [];
  if (name === undefined || !Object.hasOwn(ids, name)) {
    throw Error(`upgrade: there is no vat ${show(vat)}; there are ${Object.keys(ids).join(', ')}`);
  }
  const [vatParameters] = parameters;
  const options = parameters.length > 0 ? { vatParameters } : { keepVatParameters: true };
  const service = E(vats.vatAdmin).createVatAdminService(devices.vatAdmin);
  const bundleID = await E(service).getBundleIDByName(bundle);
  return E(vats.vatAdmin).upgradeStaticVat(ids[name], null, bundleID, harden(options));
};

export const buildRootObject = () => {
  const commands = ['dump', 'step', 'run', 'advance', 'help'].map(name => [name, notHere(name)]);
  const endowments = { ...Object.fromEntries(commands), console, E, expect, Far, makePromiseKit };
  const compartment = new Compartment(endowments);
  const { globalThis: globals } = compartment;
  const absence = makeAbsence(globals);
  const vatIDs = {};

  return Far('shell', {
    /** Makes the vats visible to all later sources: each by its name, and all of them as `vats`. */
    introduce: (argv, vats, devices) => {
      Object.assign(globals, { argv, vats, devices });
      if (vats.timer && devices.timer) {
        // What an account of a chain with a timer looks up.
        globals.timer = E(vats.timer).createTimerService(devices.timer);
      }
      if (!('upgrade' in vats)) {
        globals.upgrade = makeUpgrade(vats, devices, vatIDs);
      }
      for (const [name, root] of Object.entries(vats)) {
        if (isName(name) && !(name in globals)) {
          globals[name] = root;
        }
      }
    },

    /** Takes the ids of the vats that can be upgraded, by name. */
    identify: ids => {
      Object.assign(vatIDs, ids);
    },

    /**
     * Evaluates `source`, an expression for a promise, and awaits it. `names` are the names that it declares, `free`
     * those that it uses without, and `probed` those that it asks `typeof` of. Returns the value, or what was thrown,
     * as text.
     */
    evaluate: async (source, names, free, probed) => {
      probed.forEach(absence.unmark);
      free.forEach(absence.mark);
      names.forEach(absence.declare);
      await null;
      try {
        const value = await compartment.evaluate(source);
        return { value: show(value), isUndefined: value === undefined };
      } catch (thrown) {
        return { thrown: showThrown(thrown) };
      }
    },
  });
};
