// A vat that does on request what no vat should do.
import { Far } from '@endo/far';

export const buildRootObject = () =>
  Far('hostile', {
    ping: () => 'pong',
    loop() {
      for (;;);
    },
    recurse() {
      const down = n => 1 + down(n + 1);
      return down(0);
    },
    recurseInJson() {
      let nest = [];
      for (let i = 0; i < 300_000; i += 1) {
        nest = [nest];
      }
      return JSON.stringify(nest).length;
    },
    allocate() {
      const kept = [];
      for (;;) {
        kept.push(new Uint8Array(1_000_000));
      }
    },
    backtrack: () => /^(a+)+$/.test(`${'a'.repeat(200)}!`),
    growBigInt() {
      let n = 3n;
      for (;;) {
        n *= n;
      }
    },
    growString() {
      let s = 'x';
      for (;;) {
        s += s;
      }
    },
    async spinPromises() {
      for (;;) {
        await null;
      }
    },
  });
