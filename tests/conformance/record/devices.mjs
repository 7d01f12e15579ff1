// The devices of a scenario: their bundles, endowments, and what the host does with them.
import {
  buildBridge,
  buildMailbox,
  buildMailboxStateMap,
  buildTimer,
  exportMailboxData,
} from '@agoric/swingset-vat';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { plain } from './slog.mjs';

const kinds = {
  bridge: (setup, outside) => {
    const answers = [...(setup.answers || [])];
    const bridge = buildBridge((...args) => {
      outside.calls.push(args);
      const answer = answers.shift() || {};
      if ('throws' in answer) throw Error(answer.throws);
      return answer.returns;
    });
    outside.bridgeInbound = bridge.deliverInbound;
    return bridge;
  },
  mailbox: (_setup, outside) => {
    const boxes = new Map();
    const mailbox = buildMailbox(buildMailboxStateMap(boxes));
    outside.mailboxes = () => exportMailboxData(boxes);
    outside.deliverInbound = mailbox.deliverInbound;
    return mailbox;
  },
  timer: (_setup, outside) => {
    const timer = buildTimer();
    outside.pollTimer = timer.poll;
    return timer;
  },
  bundle: () => ({
    srcPath: createRequire(import.meta.url).resolve('@agoric/swingset-vat/src/devices/bundle/device-bundle.js'),
    endowments: {},
  }),
};

// A raw device around the scenario's own, that writes down calls and syscalls.
const wrapper = (source, name, parameters) => `
import * as device from ${JSON.stringify(source)};
import { record } from '@capstan/record-device';
export const buildDevice = record(device, ${JSON.stringify(name)}, ${JSON.stringify(parameters || {})});
`;

/** A device with code of its own: its wrapped source, its endowments and hooks. */
const fromSource = async (name, setup, folder, outside) => {
  const spec = setup.sourceSpec;
  const source = spec.startsWith('@') ? spec : `./${spec}`;
  const wrapped = path.join(folder, `recorded-${name}.js`);
  fs.writeFileSync(wrapped, wrapper(source, name, setup.parameters));
  const module = setup.endowmentsSpec
    ? await import(pathToFileURL(path.join(folder, setup.endowmentsSpec)).href)
    : { make: () => ({}) };
  const { endowments = {}, hooks = {}, functions = {} } = module.make();
  outside.functions[name] = functions;
  outside.hooks[name] = hooks;
  return { srcPath: wrapped, endowments: { ...endowments, recorder: outside.recorder } };
};

/**
 * SwingSet's configuration of the devices, their endowments by name, and `outside`: what the host
 * can do with them.
 */
export const makeDevices = async (setups, folder) => {
  const outside = { calls: [], functions: {}, hooks: {}, deviceCalls: [], acts: [] };
  let rows = outside.acts;
  outside.recorder = {
    begin: call => {
      const row = { ...plain(call), syscalls: [] };
      outside.deviceCalls.push(row);
      rows = row.syscalls;
      return result => {
        row.result = plain(result);
        rows = outside.acts;
      };
    },
    syscall: (dsc, dsr) => {
      rows.push({ ...plain({ dsc, dsr: dsr ?? null }), ...outside.hooked });
      outside.hooked = undefined;
    },
  };
  const config = {};
  const endowments = {};
  for (const [name, setup] of Object.entries(setups)) {
    const make = setup.kind === 'source' ? () => fromSource(name, setup, folder, outside) : kinds[setup.kind];
    if (!make) throw Error(`device ${name}: kind ${setup.kind} is none of ${Object.keys(kinds)}, source`);
    const made = await make(setup, outside);
    config[name] = { sourceSpec: made.srcPath };
    endowments[name] = { ...made.endowments };
  }
  return { config, endowments, outside };
};

/** Gives the kernel the hooks of its devices, each of which notes what passes in the kernel's references. */
export const addHooks = (controller, outside) => {
  for (const [device, hooks] of Object.entries(outside.hooks)) {
    for (const [name, hook] of Object.entries(hooks)) {
      controller.debug.addDeviceHook(device, name, kargs => {
        const kres = hook(kargs);
        outside.hooked = plain({ kargs, kres });
        return kres;
      });
    }
  }
};
