// Makes a raw device of any, that tells `endowments.recorder` what it is asked, what it asks, and what it answers.
import { makeDeviceSlots } from '@agoric/swingset-vat/src/kernel/deviceSlots.js';

const STATE = 'state';

/** A device with a root node, on the syscalls of a raw one. Its state lies in its store. */
const cooked = (device, name, parameters) => ({ syscall }, endowments) => {
  const state = {
    get: () => {
      const text = syscall.vatstoreGet(STATE);
      return text && JSON.parse(text);
    },
    set: data => syscall.vatstoreSet(STATE, JSON.stringify(data)),
  };
  const testLog = () => undefined;
  return makeDeviceSlots(syscall, state, device.buildRootDeviceNode, name, endowments, testLog, parameters);
};

const recorded = (syscall, recorder) =>
  Object.fromEntries(
    Object.entries(syscall).map(([method, call]) => [
      method,
      (...args) => {
        try {
          const result = call(...args);
          recorder.syscall([method, ...args], result);
          return result;
        } catch (error) {
          recorder.syscall([method, ...args], { threw: error.message });
          throw error;
        }
      },
    ]),
  );

export const record = (device, name, parameters) => {
  const build = device.buildDevice || cooked(device, name, parameters);
  return (tools, { recorder, ...endowments }) => {
    const syscall = recorded(tools.syscall, recorder);
    const dispatch = build({ ...tools, syscall: Object.freeze(syscall) }, endowments);
    return Object.freeze({
      invoke: (node, method, args) => {
        const done = recorder.begin({ device: name, node, method, args });
        try {
          const result = dispatch.invoke(node, method, args);
          done(result);
          return result;
        } catch (error) {
          done(['threw', error.message]);
          throw error;
        }
      },
    });
  };
};
