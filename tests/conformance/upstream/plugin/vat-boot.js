// Speaks CapTP to a plugin by hand, and writes down what comes back.
import { Far } from '@endo/far';

export const buildRootObject = ({ D }) => {
  const got = [];
  let plugin;
  const receiver = Far('receiver', {
    dispatch: (index, message) => got.push([index, message.type, message.epoch ?? 'none']),
    reset: (index, epoch) => got.push([index, 'reset', epoch]),
  });
  return Far('root', {
    bootstrap: (_vats, devices) => {
      plugin = devices.plugin;
      D(plugin).registerReceiver(receiver);
      return D(plugin).getPluginDir();
    },
    connect: file => D(plugin).connect(file),
    send: (index, message) => D(plugin).send(index, message),
    got: () => harden(got.splice(0)),
  });
};
