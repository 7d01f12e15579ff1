// A vat without liveslots that makes the syscalls that a message names, and answers what each gave or threw.
// In smallcaps a text may have a `!` before it.
export default function setup(syscall) {
  const spliced = (value, result) => (value === '$result' ? result : value);
  const call = (name, args) => {
    try {
      return { gave: syscall[name](...args) ?? null };
    } catch (error) {
      return { threw: `!${error.message}` };
    }
  };
  return ([type, _target, message]) => {
    if (type !== 'message') return;
    const [, args] = JSON.parse(message.methargs.body.slice(1));
    const deep = value => {
      if (Array.isArray(value)) return value.map(deep);
      if (value && typeof value === 'object')
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, deep(inner)]));
      return spliced(value, message.result);
    };
    const answers = args.map(([name, rest]) => call(name, deep(JSON.parse(rest))));
    call('resolve', [[[message.result, false, { body: `#${JSON.stringify(answers)}`, slots: [] }]]]);
  };
}
