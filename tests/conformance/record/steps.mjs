// What each step of a scenario does with a machine.
import { kser, kslot, kunser } from '@agoric/kmarshal';

import { plain } from './slog.mjs';
import { makePolicy } from './policy.mjs';

const withThrown = async act => {
  try {
    return await act();
  } catch (error) {
    return { threw: error.message };
  }
};

/**
 * The steps by their `op`. `machine` has the controller, and what the steps share.
 */
export const makeSteps = machine => {
  const { results, slots, outside } = machine;
  const slot = text => {
    const [name, index] = text.split('.');
    return index === undefined ? text : slots[name][index];
  };
  const named = value => {
    const name = typeof value === 'string' && value.startsWith('bundle:') && value.slice(7);
    return name ? machine.bundleIDs[name] : value;
  };
  const argsOf = step => {
    const body = `#${JSON.stringify((step.args || []).map(named))}`;
    return kunser({ body, slots: (step.slots || []).map(slot) });
  };
  const remember = (step, kpid) => {
    if (step.as) results[step.as] = kpid;
    return kpid ? { kpid } : {};
  };

  return {
    run: async step => {
      try {
        return { cranks: await machine.controller.run(makePolicy(step)) };
      } catch (error) {
        return { threw: typeof error === 'string' ? error : error.message };
      }
    },
    step: async ({ n = 1 }) => {
      let cranks = 0;
      for (let i = 0; i < n; i += 1) cranks += await machine.controller.step();
      return { cranks };
    },
    send: step =>
      withThrown(() =>
        remember(step, machine.controller.queueToVatRoot(step.vat, step.method, argsOf(step), step.policy || 'ignore')),
      ),
    sendTo: step =>
      withThrown(() => {
        const target = kslot(slot(step.target));
        const { method, policy = 'ignore' } = step;
        return remember(step, machine.controller.queueToVatObject(target, method, argsOf(step), policy));
      }),
    result: ({ of }) => {
      const kpid = results[of];
      if (!kpid) throw Error(`no result ${of}`);
      const status = machine.controller.kpStatus(kpid);
      if (status === 'unresolved') return { kpid, status };
      const data = machine.controller.kpResolution(kpid);
      slots[of] = data.slots;
      return { kpid, status, data: plain(data) };
    },
    dump: () => withThrown(() => ({ dump: machine.dump() })),
    restart: async () => {
      await machine.restart();
      return {};
    },
    pinRoot: ({ vat }) => withThrown(() => ({ kref: machine.controller.pinVatRoot(vat) })),
    installBundle: async ({ file, as }) => {
      await machine.install(as, file);
      return {};
    },
    upgradeStatic: step =>
      withThrown(() => {
        const { vat, bundle, pause = false, options = {} } = step;
        const id = machine.bundleIDs[bundle] || bundle;
        const given = kunser({ body: `#${JSON.stringify(options)}`, slots: [] });
        return remember(step, machine.controller.upgradeStaticVat(vat, pause, id, { ...given }));
      }),
    terminateVat: ({ vat, reason }) =>
      withThrown(() => {
        const vatID = /^v\d+$/.test(vat) ? vat : machine.controller.vatNameToID(vat);
        const data = kser(kunser({ body: `#${JSON.stringify(reason)}`, slots: [] }));
        machine.controller.terminateVat(vatID, data);
        return {};
      }),
    reapAll: ({ prev = {} }) => ({ pos: plain(machine.controller.reapAllVats(prev)) }),
    snapshotAll: async () => ({ vats: await machine.controller.snapshotAllVats() }),
    kernelOptions: ({ options }) =>
      withThrown(() => {
        machine.controller.changeKernelOptions(options);
        return {};
      }),
    bridgeInbound: ({ args }) =>
      withThrown(() => {
        outside.bridgeInbound(...args);
        return {};
      }),
    deliverInbound: ({ peer, messages, ack }) =>
      withThrown(() => ({ answer: outside.deliverInbound(peer, messages, ack) })),
    pollTimer: ({ time }) => withThrown(() => ({ answer: outside.pollTimer(BigInt(time)) })),
    callOutside: async ({ device, call, args = [] }) => {
      outside.acts.length = 0;
      await outside.functions[device][call](...args);
      return { syscalls: outside.acts.splice(0) };
    },
    mailbox: () => ({ mailbox: plain(outside.mailboxes()) }),
    outbound: () => ({ outbound: plain(outside.calls) }),
    commit: () => ({}),
    status: () => ({}),
  };
};
