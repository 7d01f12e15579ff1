import { E, Far } from '@endo/far';

// Two of these play ping-pong: each hit is one message to the other side.
export const buildRootObject = () => {
  const self = Far('player', {
    hello: () => 'hello',
    play: (other, rounds) => {
      E(other).hit(self, rounds);
    },
    hit: (other, rounds) => {
      if (rounds > 0) {
        E(other).hit(self, rounds - 1);
      }
    },
  });
  return self;
};
