// The vat in which `capstan shell` evaluates what is typed. It gets the vats' roots once. After that it gets sources:
// each is the text of an expression for a promise. What a line declares is a global of the vat's one compartment, so
// later lines see it.
import { E, Far, getInterfaceOf, passStyleOf } from '@endo/far';
import { makePromiseKit } from '@endo/promise-kit';

/** Depth, and number of items of a container, to which a value is shown. */
const MAX_DEPTH = 4;
const MAX_ITEMS = 100;

const isName = text => /^[A-Za-z_$][\w$]*$/.test(text);

const styleOf = value => {
  try {
    return passStyleOf(value);
  } catch (_) {
    return undefined;
  }
};

const showItems = (open, items, close) => {
  const shown = items.slice(0, MAX_ITEMS);
  if (items.length > MAX_ITEMS) {
    shown.push(`… ${items.length - MAX_ITEMS} more`);
  }
  return shown.length ? `${open} ${shown.join(', ')} ${close}` : `${open}${close}`;
};

const showError = error => {
  const { name, message } = error;
  return `${name}: ${message}`;
};

/** Returns a value as text, much as Node shows it. */
const show = (value, depth = 0, seen = []) => {
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
    return `[${iface}]`;
  }
  if (seen.includes(value)) {
    return '[Circular]';
  }
  if (depth >= MAX_DEPTH) {
    return Array.isArray(value) ? '[Array]' : '[Object]';
  }
  const inner = item => show(item, depth + 1, [...seen, value]);
  if (Array.isArray(value)) {
    return showItems('[', value.map(inner), ']');
  }
  const field = ([key, item]) => `${isName(key) ? key : JSON.stringify(key)}: ${inner(item)}`;
  return showItems('{', Object.entries(value).map(field), '}');
};

/** Returns what was thrown as text: an error's name and message, or the value. */
const showThrown = thrown => (thrown instanceof Error ? showError(thrown) : show(thrown));

/** Refuses a command. A vat cannot run the kernel that runs it. */
const notHere = name => () => {
  throw Error(`${name}() is a command: write it on a line of its own`);
};

export const buildRootObject = () => {
  const commands = ['dump', 'step', 'run'].map(name => [name, notHere(name)]);
  const endowments = { ...Object.fromEntries(commands), console, E, Far, makePromiseKit };
  const compartment = new Compartment(endowments);
  const { globalThis: globals } = compartment;

  return Far('shell', {
    /** Makes the vats visible to all later sources: each by its name, and all of them as `vats`. */
    introduce: (argv, vats, devices) => {
      Object.assign(globals, { argv, vats, devices });
      for (const [name, root] of Object.entries(vats)) {
        if (isName(name) && !(name in globals)) {
          globals[name] = root;
        }
      }
    },

    /**
     * Evaluates `source`, an expression for a promise, and awaits it. `names` are the names that it declares.
     * Returns the value, or what was thrown, as text.
     */
    evaluate: async (source, names) => {
      for (const name of names) {
        if (!Object.hasOwn(globals, name)) {
          globals[name] = undefined;
        }
      }
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
