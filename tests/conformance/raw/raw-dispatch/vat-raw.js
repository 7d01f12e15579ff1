// A vat without liveslots whose dispatch throws, gives a promise that is rejected, or never answers.
export default function setup(syscall, state, helpers, vatPowers) {
  const seen = [];
  const answer = (result, value, isRejection = false) =>
    syscall.resolve([[result, isRejection, { body: `#${JSON.stringify(value)}`, slots: [] }]]);
  const methods = {
    bootstrap: result => answer(result, [typeof state, typeof helpers, typeof vatPowers]),
    echo: (result, args) => answer(result, args),
    refuse: result => answer(result, { '#error': 'refused', name: 'Error' }, true),
    silent: () => undefined,
    boom: result => {
      syscall.vatstoreSet('boom', 'seen');
      answer(result, 'before');
      throw Error('boom');
    },
    later: async result => {
      await null;
      answer(result, 'late');
      throw Error('later');
    },
    seen: result => answer(result, [seen, syscall.vatstoreGet('boom') ?? 'nothing']),
    subscribe: (result, _args, slots) => {
      syscall.subscribe(slots[0]);
      answer(result, slots);
    },
  };
  return delivery => {
    const [type, target, message] = delivery;
    seen.push(type === 'message' ? `message ${target}` : type);
    if (type !== 'message') return undefined;
    const [method, args] = JSON.parse(message.methargs.body.slice(1));
    return methods[method](message.result, args, message.methargs.slots);
  };
}
