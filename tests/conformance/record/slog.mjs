// Writes down what SwingSet's kernel does, crank by crank.
import { createHash } from 'node:crypto';

// Longer strings are given by their length and hash.
const MAX_STRING = 3_000;

const shorten = (_key, value) => {
  if (typeof value === 'bigint') return Number(value);
  if (typeof value !== 'string' || value.length <= MAX_STRING) return value;
  const sha256 = createHash('sha256').update(value).digest('hex');
  return { length: value.length, sha256 };
};

/** JSON without times and without anything that `JSON.stringify` leaves out. */
export const plain = value =>
  value === undefined ? null : JSON.parse(JSON.stringify(value, shorten));

// What a delivery used: times and the sizes of heaps differ from run to run.
const result = ([status, detail, usage]) => {
  const row = [status, status === 'error' ? detail : null];
  return typeof usage?.compute === 'number' ? [...row, { compute: usage.compute }] : row;
};

/**
 * A `slogSender` and what it has seen so far.
 *
 * @param {() => string[]} readLog all lines that vats logged for tests
 */
export const makeRecording = readLog => {
  const cranks = [];
  const other = [];
  let step = 0;
  let crank;
  let delivery;
  let logged = 0;

  const onResult = event => {
    if (!delivery) return;
    delivery.dr = plain(result(event.dr));
    const lines = readLog();
    if (lines.length > logged) delivery.log = plain(lines.slice(logged));
    logged = lines.length;
    delivery = undefined;
  };

  const handlers = {
    'crank-start': ({ crankNum, crankType, message }) => {
      crank = { crankNum: Number(crankNum), step, crankType, message: plain(message) };
      cranks.push(crank);
    },
    'crank-finish': () => {
      crank = undefined;
    },
    deliver: ({ vatID, deliveryNum, kd, vd, replay }) => {
      if (replay) return;
      delivery = { vatID, deliveryNum: Number(deliveryNum), kd: plain(kd), vd: plain(vd), syscalls: [] };
      // Before a snapshot the kernel delivers without a crank.
      if (crank) (crank.deliveries ||= []).push(delivery);
      else other.push(delivery);
    },
    syscall: ({ vsc, replay }) => {
      if (!replay && delivery) delivery.syscalls.push({ vsc: plain(vsc) });
    },
    'syscall-result': ({ vsr, replay }) => {
      if (!replay && delivery) delivery.syscalls.at(-1).vsr = plain(vsr);
    },
    'deliver-result': event => {
      if (!event.replay) onResult(event);
    },
    terminate: ({ vatID, shouldReject, info }) => {
      if (crank) crank.terminate = plain({ vatID, shouldReject, info });
    },
  };

  return {
    slogSender: event => handlers[event.type]?.(event),
    /** The number of the step to which what follows belongs. */
    beginStep: number => {
      step = number;
    },
    /** A new kernel's log of tests is empty. */
    restarted: () => {
      [logged, crank, delivery] = [0, undefined, undefined];
    },
    cranks,
    other,
  };
};
