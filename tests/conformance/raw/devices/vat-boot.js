// Calls devices as the host says.
import { Far } from '@endo/far';

export const buildRootObject = ({ D }) => {
  const nodes = {};
  const heard = [];
  const ear = Far('ear', { heard: (...args) => heard.push(args.length, args[0]) });
  const value = text => ({ ear, ...nodes })[text] || text;
  return Far('root', {
    bootstrap: (_vats, devices) => {
      Object.assign(nodes, devices);
      return 'up';
    },
    call: (node, method, ...args) => {
      try {
        const answer = D(nodes[node])[method](...args.map(value));
        return ['returned', answer];
      } catch (error) {
        return ['threw', `${error}`];
      }
    },
    keep: (node, method, name) => {
      nodes[name] = D(nodes[node])[method]();
    },
    heard: () => heard.splice(0),
  });
};
