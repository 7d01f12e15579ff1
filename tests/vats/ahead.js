// A vat without liveslots, which makes the syscalls that it is told, keeps a record of their results in its heap, and can
// take its time.
const marked = (_, value) =>
  typeof value === 'string' && /^[!"#$%&'()*+,-]/.test(value) ? `!${value}` : value;
const unmarked = (_, value) =>
  typeof value === 'string' && value.startsWith('!') ? value.slice(1) : value;

export default function setup(syscall) {
  const heard = [];
  let turns = 0;
  let last = [];

  // What a syscall gave or threw.
  const make = ([method, ...args]) => {
    try {
      return ['returned', syscall[method](...args) ?? null];
    } catch (error) {
      return ['threw', error.message];
    }
  };
  const methods = {
    work: times => {
      for (let i = 0; i < times; i += 1) {
        turns += 1;
      }
      return turns;
    },
    do: calls => calls.map(make),
    // As many bytes in the store as no other vat needs.
    fill: (count, kilobytes) => {
      for (let i = 0; i < count; i += 1) {
        make(['vatstoreSet', `fill.${i}`, `${i}`.repeat(kilobytes << 10)]);
      }
      return make(['vatstoreGet', 'fill.0'])[1].length;
    },
    clear: count => {
      for (let i = 0; i < count; i += 1) {
        make(['vatstoreSet', `many.${1000 + i}`, 'x']);
      }
      for (let i = 0; i < count; i += 1) {
        make(['vatstoreDelete', `many.${1000 + i}`]);
      }
      return make(['vatstoreGetNextKey', 'many.']);
    },
    chat: (lines, length) => {
      for (let i = 0; i < lines; i += 1) {
        console.log(i, 'x'.repeat(length));
      }
    },
    // The store remembers what the heap has heard: a vat that comes back wrongly writes something else.
    remember: key => {
      const before = make(['vatstoreGet', key])[1];
      make(['vatstoreSet', key, `${before} ${heard.length} ${turns}`]);
      return make(['vatstoreGetNextKey', ''])[1];
    },
    // What it does whenever it brings out its dead.
    whenCollected: calls => {
      last = calls;
    },
    boom: () => {
      throw RangeError('boom');
    },
    spin: () => {
      for (;;);
    },
  };

  return async delivery => {
    const [type, ...rest] = delivery;
    heard.push(JSON.stringify(delivery));
    if (type === 'bringOutYourDead') {
      last.forEach(make);
    }
    if (type !== 'message') {
      return;
    }
    const [, { methargs, result }] = rest;
    const [method, args] = JSON.parse(methargs.body.slice(1), unmarked);
    const answer = methods[method]?.(...args) ?? null;
    if (result) {
      syscall.resolve([[result, false, { body: `#${JSON.stringify(answer, marked)}`, slots: [] }]]);
    }
  };
}
