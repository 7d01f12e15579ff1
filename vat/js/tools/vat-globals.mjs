// The globals that vats have, and what to say of a module that uses others.

/** The globals of a vat's compartment. */
export const VAT_GLOBALS = new Set(
  `AggregateError Array ArrayBuffer Base64 BigInt BigInt64Array BigUint64Array Boolean Compartment DataView Date Error
  EvalError Float16Array Float32Array Float64Array Function HandledPromise Infinity Int16Array Int32Array Int8Array
  Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set String Symbol
  SyntaxError TextDecoder TextEncoder TypeError URIError URL Uint16Array Uint32Array Uint8Array Uint8ClampedArray
  VatData WeakMap WeakSet assert atob btoa console decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval
  globalThis harden isFinite isNaN lockdown parseFloat parseInt undefined unescape`.split(/\s+/),
);

/** The most that is said of one module. */
const MAX_NOTES = 20;

const TIMER = "Vats have no clock. A chain's timer service wakes them: E(timer).delay(…), E(timer).setWakeup(…).";
const CLOCK = 'Vats have no clock. Ask the timer service of the chain: E(timer).getCurrentTimestamp().';
const MODULE = 'A vat is an ES module: use import and export.';
const MESSAGES = 'A vat reaches nothing but other objects, by messages: E(object).method(…).';
const BYTES = 'Use Uint8Array, TextEncoder and TextDecoder.';
const RANDOM = 'Every validator must come to the same result, so vats have no randomness. Pass it in a message.';

const ADVICE = {
  Buffer: BYTES,
  'Date.now()': CLOCK,
  'Date()': CLOCK,
  'Math.random()': RANDOM,
  'new Date()': CLOCK,
  WebSocket: MESSAGES,
  XMLHttpRequest: MESSAGES,
  __dirname: MODULE,
  __filename: MODULE,
  clearImmediate: TIMER,
  clearInterval: TIMER,
  clearTimeout: TIMER,
  crypto: RANDOM,
  exports: MODULE,
  fetch: MESSAGES,
  global: 'Use globalThis.',
  localStorage: 'Keep state in baggage.',
  module: MODULE,
  performance: CLOCK,
  process:
    'A vat has no environment. Pass what process.env would hold as vatParameters (--params), the second argument of buildRootObject.',
  queueMicrotask: 'Use Promise.resolve().then(…).',
  require: MODULE,
  self: 'Use globalThis.',
  setImmediate: TIMER,
  setInterval: TIMER,
  setTimeout: TIMER,
  structuredClone: 'Copy the data, or harden it and share it.',
  window: 'Use globalThis.',
};

/** The names of a CommonJS module, which are given to it. */
const COMMON_JS = ['require', 'exports', 'module', '__filename', '__dirname'];

/** The name of a call that a vat's globals refuse, or undefined. */
const refusedCall = ({ type, callee, arguments: args }) => {
  if (type === 'NewExpression') {
    return callee.name === 'Date' && args.length === 0 ? 'new Date()' : undefined;
  }
  if (type !== 'CallExpression') {
    return undefined;
  }
  if (callee.type === 'Identifier') {
    return callee.name === 'Date' ? 'Date()' : undefined;
  }
  const { object, property, computed } = callee;
  const name = !computed && object?.type === 'Identifier' && `${object.name}.${property.name}()`;
  return name === 'Date.now()' || name === 'Math.random()' ? name : undefined;
};

/**
 * Looks for globals that vats do not have while a module is traversed.
 *
 * A module that asks for a global's type can do without it, so nothing is said of that global.
 *
 * @param {'module' | 'script'} sourceType
 */
export const makeGlobalsFinder = sourceType => {
  const given = new Set(['arguments', ...(sourceType === 'script' ? COMMON_JS : [])]);
  const found = new Map(); // name -> { name, line, column }
  const probed = new Set();
  let unknown = new Set();
  const note = (name, { start }) => {
    if (!found.has(name)) found.set(name, { name, line: start.line, column: start.column + 1 });
  };
  const isFree = (path, name) => !path.scope.hasBinding(name, true);
  const onIdentifier = path => {
    const { node, parent } = path;
    if (!unknown.has(node.name) || !isFree(path, node.name)) {
      return;
    }
    if (parent.type === 'UnaryExpression' && parent.operator === 'typeof') {
      probed.add(node.name);
    } else if (path.isReferencedIdentifier() || parent.type === 'AssignmentExpression') {
      note(node.name, node.loc);
    }
  };
  const visit = path => {
    const { node } = path;
    if (node.type === 'Program') {
      const names = Object.keys(path.scope.globals);
      unknown = new Set(names.filter(name => !VAT_GLOBALS.has(name) && !given.has(name)));
    } else if (node.type === 'Identifier') {
      onIdentifier(path);
    } else {
      const name = refusedCall(node);
      if (name !== undefined && isFree(path, /(Date|Math)/.exec(name)[0])) note(name, node.loc);
    }
  };
  const notes = () => [...found.values()].filter(({ name }) => !probed.has(name)).slice(0, MAX_NOTES);
  return { visit, notes };
};

/**
 * What is wrong with a use of a global, and what to do instead.
 *
 * @param {string} name
 */
export const explainGlobal = name => {
  const what = name.endsWith(')') ? `vats refuse ${name}` : `${name} is no global of a vat`;
  return Object.hasOwn(ADVICE, name) ? `${what}. ${ADVICE[name]}` : `${what}. Declare or import it.`;
};
