// A vat without liveslots: each message names the syscalls that it makes, and is answered with what they gave.
export default function setup(syscall, _state, _helpers, vatPowers) {
  const answer = (result, value) =>
    syscall.resolve([[result, false, { body: `#${JSON.stringify(value)}`, slots: [] }]]);
  const store = {
    get: key => syscall.vatstoreGet(key) ?? 'nothing',
    set: (key, value) => syscall.vatstoreSet(key, value),
    delete: key => syscall.vatstoreDelete(key),
    next: key => syscall.vatstoreGetNextKey(key) ?? 'nothing',
    walk: prefix => {
      const keys = [];
      for (let key = syscall.vatstoreGetNextKey(prefix); key && key.startsWith(prefix); key = syscall.vatstoreGetNextKey(key)) keys.push(key);
      return keys;
    },
    powers: () => typeof vatPowers.exitVat,
  };
  return ([type, _target, message]) => {
    if (type !== 'message') return;
    const [method, args] = JSON.parse(message.methargs.body.slice(1));
    if (method === 'bootstrap') return answer(message.result, 'up');
    const answers = args.map(([name, ...rest]) => store[name](...rest) ?? null);
    answer(message.result, answers);
  };
}
