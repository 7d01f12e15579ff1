import { Fail } from '@endo/errors';

/** Upper bound of the calls of one iterator that wait for their turn. Each takes memory of the producing vat. */
const MAX_WAITING = 100;

/**
 * Returns a function that runs tasks one after the other, whether the task before succeeded or failed.
 *
 * @returns {<T>(task: () => T | Promise<T>) => Promise<T>}
 */
export const makeSerial = () => {
  let last = Promise.resolve();
  let waiting = 0;
  return async task => {
    waiting < MAX_WAITING || Fail`${MAX_WAITING} calls of this iterator wait already`;
    waiting += 1;
    const result = last.then(task);
    const leave = () => {
      waiting -= 1;
    };
    // A failure is the caller's to hear, and no reason for the next task to wait.
    last = result.then(leave, leave);
    return result;
  };
};
