// SwingSet's run policies, as a step asks for them.
const COUNTERS_CLEANUP = 100;

/** The policy of `{ cranks?, computrons?, cleanup?, cleanupOnce? }`; none if a run has no limit. */
export const makePolicy = ({ cranks, computrons, cleanup, cleanupOnce = false }) => {
  const isCounter = cranks !== undefined || computrons !== undefined;
  if (!isCounter && cleanup === undefined) return undefined;
  const budget = () => {
    if (cleanup === undefined) return isCounter ? { default: COUNTERS_CLEANUP } : true;
    return typeof cleanup === 'number' ? { default: cleanup } : cleanup;
  };
  let isAllowed = true;
  let done = 0;
  let spent = 0n;
  const goesOn = () =>
    (cranks === undefined || done < cranks) &&
    (computrons === undefined || spent < BigInt(computrons));
  return harden({
    allowCleanup: () => isAllowed && budget(),
    vatCreated: () => {
      spent += 100_000n;
      return goesOn();
    },
    crankComplete: ({ computrons: used = 0n } = {}) => {
      done += 1;
      spent += used;
      return goesOn();
    },
    crankFailed: () => {
      done += 1;
      spent += 1_000_000n;
      return goesOn();
    },
    emptyCrank: () => {
      done += 1;
      return goesOn();
    },
    didCleanup: () => {
      if (cleanupOnce) isAllowed = false;
      return goesOn();
    },
  });
};
