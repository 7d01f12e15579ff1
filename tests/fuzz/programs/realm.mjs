// What runs in both engines: programs, and how the values that they hand over are printed.

// The source of a function that both engines evaluate: the same printing on both sides. It uses as little of the
// engine as it can.
const REALM = String.raw`(() => {
  const hex = code => '\\u' + ('000' + code.toString(16)).slice(-4);
  const showString = text => {
    let shown = '"';
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      shown += code < 32 || code > 126 ? hex(code) : text[i];
    }
    return shown + '"';
  };
  const showNumber = x => (Object.is(x, -0) ? '-0' : '' + x);
  const showKey = key => (typeof key === 'symbol' ? String(key) : showString(key));
  // A number whose last bits the standard leaves open. Programs cannot look at it.
  class Near {
    #number;
    constructor(number) {
      this.#number = number;
    }
    get number() {
      return this.#number;
    }
    toString() {
      return 'near';
    }
  }
  const near = x => (typeof x === 'number' ? new Near(x) : x);
  const MAX_SHOWN = 20000;
  const showObject = (value, seen) => {
    if (seen.includes(value)) return '#' + seen.indexOf(value);
    if (seen.length > 12) return '...';
    const inner = [...seen, value];
    if (value instanceof Near) return '~' + showNumber(value.number) + '~';
    if (value instanceof Error) return 'error ' + value.name;
    if (value instanceof RegExp) return String(value) + ' ' + value.lastIndex;
    if (value instanceof Promise) return 'promise';
    const properties = Reflect.ownKeys(value).map(key => {
      const { get, set, value: inside, writable, enumerable, configurable } = Reflect.getOwnPropertyDescriptor(value, key);
      const flags = (writable ? 'w' : '') + (enumerable ? 'e' : '') + (configurable ? 'c' : '');
      return showKey(key) + (flags === 'wec' ? '' : flags) + ':' + (get || set ? 'accessor' : show(inside, inner));
    });
    const items = value instanceof Map || value instanceof Set ? [...value].map(item => show(item, inner)) : [];
    return Object.prototype.toString.call(value) + '{' + properties.concat(items).join(',') + '}';
  };
  const show = (value, seen = []) => {
    switch (typeof value) {
      case 'number': return showNumber(value);
      case 'bigint': return value + 'n';
      case 'string': return showString(value);
      case 'symbol': return String(value);
      case 'function': return 'function ' + value.name + ' ' + value.length;
      case 'object': return value === null ? 'null' : showObject(value, seen);
      default: return '' + value;
    }
  };
  const cut = text => (text.length > MAX_SHOWN ? text.slice(0, MAX_SHOWN) + '...' + text.length : text);
  return source => {
    const lines = [];
    const out = value => {
      if (lines.length < 200) lines.push(cut(show(value)));
    };
    try {
      (0, eval)(source)(out, near, show);
    } catch (e) {
      lines.push('ended by ' + show(e));
    }
    return lines;
  };
})()`;

/** The source of a program: a function of `out`, `near` and `show`. */
export const sourceOf = ({ isStrict, statements }) =>
  `((out, near, show) => {${isStrict ? " 'use strict';" : ''}\n${statements.join('\n')}\n})`;

/** Runs programs in this process: the lines of each. */
export const runOnNode = async programs => {
  const run = (0, eval)(REALM);
  const lines = programs.map(program => run(sourceOf(program)));
  await new Promise(resolve => setImmediate(resolve));
  return lines;
};

/** The scripts that run programs on the worker; the last prints the lines of each as JSON. */
export const scriptsFor = programs => [
  `globalThis.run = ${REALM}; globalThis.results = [];`,
  ...programs.map(program => `results.push(run(${JSON.stringify(sourceOf(program))}));`),
  'results.forEach(lines => print(JSON.stringify(lines)));',
];

const NEAR = /~([-+.\dA-Za-z]+)~/g;

// Eight units in the last place: each side is at most a few off.
const isNear = (one, other) =>
  Object.is(one, other) || Math.abs(one - other) <= Math.max(Math.abs(one) * 2 ** -49, Number.MIN_VALUE * 8);

/** Whether two results say the same, but for the last bits of marked numbers. */
export const agree = (one, other) => {
  if (one === other) return true;
  const [numbers, others] = [one, other].map(text => [...text.matchAll(NEAR)].map(match => Number(match[1])));
  return (
    one.replace(NEAR, '~') === other.replace(NEAR, '~') && numbers.every((number, i) => isNear(number, others[i]))
  );
};
