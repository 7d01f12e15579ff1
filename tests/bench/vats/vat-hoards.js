import { E, Far } from '@endo/far';

// Fills the other vats of its subcluster, of which each stores its heap.
export const buildRootObject = (_powers, { bytes, first }) =>
  Far('hoards', {
    bootstrap: async vats => {
      const hoards = Object.keys(vats).filter(name => name !== 'hoards');
      for (const [number, name] of hoards.entries()) {
        await E(vats[name]).keep(first + number, bytes);
        for (let turn = 0; turn < 4; turn += 1) await E(vats[name]).hello();
      }
    },
  });
