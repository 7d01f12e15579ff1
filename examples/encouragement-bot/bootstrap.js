// Introduces the user to the bot: bootstrap is the only vat that is given the others.
import { E, Far } from '@endo/far';

export const buildRootObject = () =>
  Far('bootstrap', {
    bootstrap: async ([name = 'friend'], vats) => {
      console.log(`introducing ${name}`);
      const bot = E(vats.bot).encouragerFor(name);
      // Sent before the bot has answered: the user talks to the answer that is still to come.
      return E(vats.user).talkTo(bot, name);
    },
  });
