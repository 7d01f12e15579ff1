// Connects the comms vat to vattp and this machine to a peer, gives the peer an object, and sends to one of its own.
import { E } from '@endo/eventual-send';
import { Far } from '@endo/far';

export const buildRootObject = ({ D }) => {
  const heard = [];
  let service;
  let theirs;
  return Far('root', {
    bootstrap: async ({ comms, vattp }, { mailbox }) => {
      D(mailbox).registerInboundHandler(vattp);
      await E(vattp).registerMailboxDevice(mailbox);
      service = comms;
      const name = 'peer';
      const { transmitter, setReceiver } = await E(vattp).addRemote(name);
      await E(comms).addRemote(name, transmitter, setReceiver);
      const ours = Far('ours', {
        hello: (...args) => {
          heard.push(args.length);
          return ['hello back', ...args];
        },
      });
      await E(comms).addEgress(name, 1, ours);
      theirs = await E(comms).addIngress(name, 2);
      return 'connected';
    },
    send: (...args) => E(theirs).work(...args),
    heard: () => heard.splice(0),
  });
};
