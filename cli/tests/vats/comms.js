// The vat's side of a mailbox and of a bridge: keeps what comes in, acknowledges it, answers.
import { E, Far } from '@endo/far';

export const buildRootObject = () => {
  const heard = [];
  let mailbox;
  const handler = Far('handler', {
    deliverInboundMessages(peer, messages) {
      for (const [number, body] of messages) {
        heard.push(`${peer} ${number} ${body}`);
        E(mailbox).ackInbound(peer, number);
        E(mailbox).add(peer, number, `echo of ${body}`);
      }
    },
    deliverInboundAck(peer, ack) {
      heard.push(`${peer} has taken ${ack}`);
      if (ack > 0) {
        E(mailbox).remove(peer, ack);
      }
    },
    inbound(...args) {
      heard.push(JSON.stringify(args));
    },
  });
  return Far('comms', {
    async useMailbox(theMailbox) {
      mailbox = theMailbox;
      await E(mailbox).registerInboundHandler(handler);
    },
    useBridge: bridge => E(bridge).registerInboundHandler(handler),
    heard: () => harden([...heard]),
  });
};
