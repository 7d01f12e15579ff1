// `capstanBeginning`: the part of `startVat` before a vat's own code, which is the same in every new vat. Evaluated after
// SES lockdown and before the supervisor, which uses it.
//
// The steps of the beginning run when a bundle is loaded, over an empty store. So their objects are in the image that all
// new vats of the bundle start from. Their syscalls are kept, and are made when the vat starts, in the same order.
(() => {
  const { expectAnswer, harden, JSON, TextEncoder } = globalThis;

  const encoder = new TextEncoder();
  const encode = item => encoder.encode(JSON.stringify(item)).buffer;

  /** Makes the kept syscalls. Each must be answered as when it was kept: the vat's store is empty. */
  const repeat = calls => {
    for (const { command, answer } of calls) {
      if (!expectAnswer(command, answer)) {
        throw Error('a new vat must begin with an empty store');
      }
    }
  };

  const makeRecorder = () => {
    /** What the steps have stored, while they are recorded. */
    let stored;
    let calls;

    /** Answers a syscall of a step and keeps it. */
    const answer = vso => {
      const [type, key, value] = vso;
      let data = null;
      if (type === 'vatstoreGet') {
        data = stored.has(key) ? stored.get(key) : null;
      } else if (type === 'vatstoreSet') {
        stored.set(key, value);
      } else {
        throw Error(`the beginning of a vat makes the syscall ${type}`);
      }
      const result = ['ok', data];
      calls.push({ command: encode(['syscall', vso]), answer: encode(result) });
      return result;
    };

    return harden({
      isRecording: () => stored !== undefined,
      answer,
      /** Runs the steps, and puts functions in their place that only make their syscalls. */
      record: steps => {
        stored = new Map();
        for (let i = 0; i < steps.length; i += 1) {
          calls = [];
          steps[i]();
          const made = calls;
          steps[i] = () => repeat(made);
        }
        stored = undefined;
      },
    });
  };

  globalThis.capstanBeginning = harden({ makeRecorder });
})();
