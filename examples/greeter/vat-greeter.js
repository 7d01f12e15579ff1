// Objects that hold objects: a greeter asks a guest for its name. The guest may live in this vat, in
// another one or be an account's; `E` sends the message to wherever it is.
import { E, Far } from '@endo/far';

export const buildRootObject = () => {
  const greeter = Far('greeter', {
    async greet(guest) {
      const name = await E(guest).getName();
      return `hello, ${name}`;
    },
  });

  return Far('host', {
    getGreeter: () => greeter,
    makeGuest: name => Far('guest', { getName: () => name }),
  });
};
