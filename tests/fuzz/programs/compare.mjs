// Compares the JavaScript worker with Node on random programs.
//
// Usage: compare.mjs WORKER.wasm [--seed N] [--count N | --seconds N] [--differences N] [--note FILE] [--write FILE]
// The seed is that of the first program; each further one has the next. Ends with 1 at the first difference (or the
// N-th), which it makes small before it prints it. `--note` keeps the seeds of the programs that run now, for those that
// do not end; `--write` the scripts and what the worker printed, for another host of the worker.
//
// `known.mjs` lists what is not compared, and why.

import fs from 'node:fs';
import { loadWorker } from './engine.mjs';
import { makeProgram } from './statements.mjs';
import { agree, runOnNode, scriptsFor, sourceOf } from './realm.mjs';

const BATCH = 40;

const runOnWorker = (start, programs) => {
  const engine = start();
  let printed = [];
  for (const script of scriptsFor(programs)) printed = engine.run(script);
  return printed.map(line => JSON.parse(line));
};

/** What both sides print for one program, if that differs. */
const differenceOf = async (start, program) => {
  const [expected] = await runOnNode([program]);
  let found;
  try {
    [found] = runOnWorker(start, [program]);
  } catch (error) {
    found = [`${error}`];
  }
  return isSame(expected, found) ? undefined : { expected, found };
};

const isSame = (expected, found) => agree(expected.join('\n'), (found || ['nothing']).join('\n'));

/** Leaves out statements as long as the sides still differ. */
const shrink = async (start, program) => {
  let smallest = program;
  for (let i = smallest.statements.length - 1; i >= 0; i--) {
    const statements = smallest.statements.toSpliced(i, 1);
    if (await differenceOf(start, { ...smallest, statements })) smallest = { ...smallest, statements };
  }
  return smallest;
};

/** Compares the programs of some seeds: a report of the first that differs, and how many Node refused. */
const compareBatch = async (start, seeds) => {
  const programs = seeds.map(makeProgram);
  const expected = await runOnNode(programs);
  let found = [];
  try {
    found = runOnWorker(start, programs);
  } catch {
    // One of them ended the engine: each is looked at by itself.
  }
  for (const [i, program] of programs.entries()) {
    if (isSame(expected[i], found[i])) continue;
    if (!(await differenceOf(start, program))) continue;
    const smallest = await shrink(start, program);
    const difference = await differenceOf(start, smallest);
    return { seed: seeds[i], smallest, difference, programs, expected, found };
  }
  return { programs, expected, found };
};

const report = ({ seed, smallest, difference: { expected, found } }) => {
  const lines = Array.from({ length: Math.max(expected.length, found.length) }, (_, i) => [expected[i], found[i]]);
  const different = lines.filter(([one, other]) => !agree(`${one}`, `${other}`)).slice(0, 3);
  return [
    `seed ${seed}: Node and the worker differ on`,
    sourceOf(smallest),
    ...different.flatMap(([one, other]) => [`  Node:   ${one}`, `  worker: ${other}`]),
  ].join('\n');
};

const option = name => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};

const main = async () => {
  const start = loadWorker(fs.readFileSync(process.argv[2]));
  const first = Number(option('--seed') ?? 1);
  const count = Number(option('--count') ?? Infinity);
  const end = Date.now() + 1000 * Number(option('--seconds') ?? Infinity);
  let differences = Number(option('--differences') ?? 1);
  const kept = [];
  let done = 0;
  let refused = 0;
  while (done < count && Date.now() < end) {
    const size = Math.min(BATCH, count - done);
    if (option('--note')) fs.writeFileSync(option('--note'), `${first + done} to ${first + done + size - 1}\n`);
    const batch = await compareBatch(start, Array.from({ length: size }, (_, i) => first + done + i));
    refused += batch.expected.filter(lines => lines.includes('ended by error SyntaxError')).length;
    kept.push({ scripts: scriptsFor(batch.programs), printed: batch.found });
    if (batch.difference) console.error(report(batch));
    if (batch.difference && (differences -= 1) === 0) process.exit(1);
    if (!option('--write')) kept.pop();
    done += size;
  }
  if (option('--write')) fs.writeFileSync(option('--write'), JSON.stringify(kept));
  console.log(`${done} programs from seed ${first} on, ${refused} of them refused by both`);
};

// What a program's promises reject with is compared like all that it does.
process.on('unhandledRejection', () => {});
await main();
