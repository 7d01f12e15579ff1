// Computes as long as it is told: what a contract that works on its own data does.
import { Far } from '@endo/far';

export const buildRootObject = () => {
  let book = new Map();
  return Far('thinker', {
    think(rounds) {
      for (let i = 0; i < rounds; i += 1) {
        const offers = Array.from({ length: 50 }, (_, at) => ({ id: `offer ${at}`, price: (at * 7919 + i) % 1000 }));
        offers.sort((one, other) => one.price - other.price);
        book = new Map(offers.map(({ id, price }) => [id, price]));
      }
      return book.size;
    },
  });
};
