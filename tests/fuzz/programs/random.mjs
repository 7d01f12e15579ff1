// Seeded choices. The same seed makes the same program on every machine.

/** A source of choices: mulberry32, whose 32 bits of state are the seed. */
export const makeRandom = seed => {
  let state = seed >>> 0;
  const bits = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  /** An integer from 0 to `limit - 1`. */
  const below = limit => bits() % limit;
  return {
    bits,
    below,
    /** True once in `count` times. */
    once: count => below(count) === 0,
    pick: list => list[below(list.length)],
    /** As many results of `make` as chance says, at least `min` and at most `max`. */
    several: (min, max, make) => Array.from({ length: min + below(max - min + 1) }, make),
  };
};
