// A vat without liveslots, which makes the syscalls that it is told.
// Smallcaps marks strings that look like something else.
const escaped = (_, value) =>
  typeof value === 'string' && /^[!"#$%&'()*+,-]/.test(value) ? `!${value}` : value;
const unescaped = (_, value) =>
  typeof value === 'string' && value.startsWith('!') ? value.slice(1) : value;
const read = ({ body }) => JSON.parse(body.slice(1), unescaped);
const write = value => ({ body: `#${JSON.stringify(value, escaped)}`, slots: [] });

export default function setup(syscall, state, helpers, vatPowers) {
  // What setup was given, and all deliveries so far.
  const given = [state, Object.keys(helpers), Object.keys(vatPowers), Object.keys(syscall).sort()];
  const heard = [];
  let parameters;

  const methods = {
    setupArguments: () => given,
    parameters: () => parameters,
    heard: () => heard,
    message: (...args) => args,
    count: () => heard.length,
    // Counts in the store, which is all that a vat without a transcript has.
    increment: () => {
      const next = Number(syscall.vatstoreGet('count') ?? '0') + 1;
      syscall.vatstoreSet('count', `${next}`);
      return next;
    },
    // `[[METHOD, …ARGS], …]`: what each syscall gave or threw.
    do: calls =>
      calls.map(([method, ...args]) => {
        try {
          return ['returned', syscall[method](...args) ?? null];
        } catch (error) {
          return ['threw', error.message];
        }
      }),
    boom: () => {
      throw RangeError('boom');
    },
    spin: () => {
      for (;;);
    },
  };

  return async delivery => {
    const [type, ...rest] = delivery;
    heard.push(type);
    if (type === 'startVat') {
      parameters = read(rest[0]);
    }
    if (type !== 'message') {
      return;
    }
    const [target, { methargs, result }] = rest;
    const [method, args] = read(methargs);
    const answer = methods[method](...args, { target, slots: methargs.slots, result });
    if (result) {
      syscall.resolve([[result, false, write(answer)]]);
    }
  };
}
