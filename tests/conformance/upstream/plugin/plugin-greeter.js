// A plugin: an object outside of the machine that greets.
import { Far } from '@endo/far';

export const bootPlugin = ({ getState, setState }) =>
  Far('greeter', {
    greet: async name => {
      await setState([...(getState() || []), name]);
      return `hello ${name}`;
    },
  });
