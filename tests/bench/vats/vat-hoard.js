import { Far } from '@endo/far';

// Keeps bytes of which no page is like a page of another vat.
export const buildRootObject = () => {
  let kept = new Uint32Array(0);
  return Far('hoard', {
    keep: (seed, bytes) => {
      kept = new Uint32Array(bytes / 4);
      let x = (seed + 1) * 2654435761;
      // A little of each kilobyte suffices: a page is four of them.
      for (let i = 0; i < kept.length; i += 256) {
        x = (Math.imul(x, 1664525) + 1013904223) % 4294967296;
        kept[i] = x;
        kept[i + 1] = seed;
        kept[i + 2] = i;
      }
    },
    hello: () => kept.length,
  });
};
