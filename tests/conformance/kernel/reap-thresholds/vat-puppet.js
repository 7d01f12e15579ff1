
export default function setup(syscall, _state, _helpers, _vatPowers, _params) {
  const und = { body: '#"#undefined"', slots: [] };
  return vdo => {
    const [type, ...rest] = vdo;
    if (type !== 'message') return;
    const [, { methargs, result }] = rest;
    let method, args;
    try { [method, args] = JSON.parse(methargs.body.replace(/^#/, '')); } catch (e) { return; }
    if (method === 'bootstrap' || method === 'answer') syscall.resolve([[result, false, und]]);
    if (method === 'give') syscall.resolve([[result, false, { body: '#"$0.Alleged: given"', slots: ['o+77'] }]]);
    if (method === 'do') {
      for (const [op, ...a] of JSON.parse(args[0])) {
        const b = a.map(x => (x === '$result' ? result : x));
        try { syscall[op](...b); } catch (e) { }
      }
    }
    if (method === 'boom') throw Error('boom');
  };
}
