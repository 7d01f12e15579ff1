// Records what SwingSet does in scenarios: `node record.mjs FOLDER…` writes each `expected.json`.
import '@endo/init/pre-bundle-source.js';
import '@endo/init';

import bundleSource from '@endo/bundle-source';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { openMachine } from './machine.mjs';
import { makeRecording, plain } from './slog.mjs';
import { makeSteps } from './steps.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));

const lines = rows => (rows.length ? `\n${rows.map(row => `  ${JSON.stringify(row)}`).join(',\n')}\n` : '');

const write = (folder, { name, scenario, steps, recording, deviceCalls, dump, bundleIDs }) => {
  const { description, worker = 'local' } = scenario;
  const head = { scenario: name, description, worker };
  let text = `{\n${JSON.stringify(head).slice(1, -1)},\n"steps": [${lines(steps)}],\n"cranks": [${lines(recording.cranks)}]`;
  if (deviceCalls.length) text += `,\n"deviceCalls": [${lines(deviceCalls)}]`;
  text += `,\n"other": [${lines(recording.other)}],\n"final": {"dump": ${JSON.stringify(dump)}}\n}\n`;
  for (const [bundle, id] of Object.entries(bundleIDs)) text = text.replaceAll(id, `b1-<${bundle}>`);
  fs.writeFileSync(path.join(folder, 'expected.json'), text);
};

/** Copies the sources to where their imports are found, and bundles them. */
const prepare = (folder, name) => {
  const work = path.join(here, 'work', name);
  fs.rmSync(work, { recursive: true, force: true });
  fs.cpSync(folder, work, { recursive: true });
  const made = new Map();
  return async file => {
    const source = file.startsWith('@') ? path.join(here, 'node_modules', file) : path.join(work, file);
    if (!made.has(source)) made.set(source, await bundleSource(source, { format: 'endoZipBase64' }));
    return made.get(source);
  };
};

const record = async folder => {
  const name = path.basename(path.resolve(folder));
  const scenario = JSON.parse(fs.readFileSync(path.join(folder, 'scenario.json'), 'utf8'));
  const store = fs.mkdtempSync(path.join(os.tmpdir(), 'record-'));
  let machine;
  const recording = makeRecording(() => machine?.log() ?? []);
  const bundle = prepare(folder, name);
  machine = await openMachine({ scenario, store, bundle, recording, folder: path.join(here, 'work', name) });
  const ops = makeSteps(machine);
  const steps = [];
  for (const [index, step] of scenario.steps.entries()) {
    recording.beginStep(index);
    if (!ops[step.op]) throw Error(`step ${index}: ${step.op} is none of ${Object.keys(ops)}`);
    const outcome = await ops[step.op](step);
    if (outcome.threw === undefined) machine.commit();
    steps.push({ op: step.op, ...plain(outcome) });
  }
  let dump = {};
  try {
    dump = machine.dump();
  } catch (error) {
    console.error(`${name}: no final dump: ${error.message}`);
  }
  await machine.close();
  fs.rmSync(store, { recursive: true });
  fs.rmSync(path.join(here, 'work', name), { recursive: true });
  const { bundleIDs, outside } = machine;
  write(folder, { name, scenario, steps, recording, deviceCalls: outside.deviceCalls, dump, bundleIDs });
};

for (const folder of process.argv.slice(2)) await record(folder);
// Workers of a kernel that panicked keep the process alive.
process.exit(0);
