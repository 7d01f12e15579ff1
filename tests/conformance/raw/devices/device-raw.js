// A raw device: it sends, keeps what it is told, makes nodes, calls hooks of the host, and fails.
export const buildDevice = ({ syscall }, endowments) => {
  const text = value => ({ body: `#${JSON.stringify(value)}`, slots: [] });
  const methods = {
    set: ([key, value]) => {
      syscall.vatstoreSet(key, value);
      return text(null);
    },
    get: ([key]) => text(syscall.vatstoreGet(key) ?? 'nothing'),
    forget: ([key]) => {
      syscall.vatstoreDelete(key);
      return text(null);
    },
    where: (_args, slots, node) => text([node, slots]),
    node: () => ({ body: '#"$0.Alleged: node"', slots: ['d+5'] }),
    give: (_args, slots) => ({ body: '#"$0"', slots }),
    hello: (_args, slots) => {
      syscall.sendOnly(slots[0], { body: '#["heard",["from the device","$0"]]', slots: [slots[0]] });
      syscall.sendOnly(slots[0], { body: '#["heard",["again"]]', slots: [] });
      return text(null);
    },
    hook: (args, slots) => syscall.callKernelHook('swap', { body: `#${JSON.stringify(args)}`, slots }),
    noHook: () => syscall.callKernelHook('missing', text([])),
    unknown: () => {
      try {
        syscall.sendOnly('o-99', text(['x', []]));
        return text('sent');
      } catch {
        return text('could not send');
      }
    },
    throws: () => {
      throw Error('thrown by the device');
    },
  };
  endowments.connect(slot => syscall.sendOnly(slot, { body: '#["heard",["from outside"]]', slots: [] }));
  return {
    invoke: (node, method, { body, slots }) => {
      if (method === 'fails') return ['error', 'said by the device'];
      return ['ok', methods[method](JSON.parse(body.slice(1)), slots, node)];
    },
  };
};
