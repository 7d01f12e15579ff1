// A device with a root node and a state that survives a restart.
import { Far } from '@endo/far';

export const buildRootDeviceNode = ({ SO, getDeviceState, setDeviceState, deviceParameters }) => {
  let { count, listener } = getDeviceState() || { count: 0, listener: undefined };
  const save = () => setDeviceState(harden({ count, listener }));
  const inner = Far('inner', { name: () => 'inner' });
  return Far('root', {
    add: n => {
      count += n;
      save();
      return count;
    },
    listen: who => {
      listener = who;
      save();
    },
    tell: (...args) => SO(listener).heard(...args),
    inner: () => inner,
    parameters: () => harden({ ...deviceParameters }),
    boom: () => {
      throw Error('boom');
    },
  });
};
