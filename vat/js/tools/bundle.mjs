// Bundles a vat's source: node bundle.mjs SRC.js OUT.json
//
// OUT.json is an Endo bundle, {moduleFormat: "endoZipBase64", endoZipBase64, endoZipBase64Sha512}, with
// the id that Agoric's own tools give. Prints the bundle's id. Warns on stderr about modules that the bundle lacks, about
// globals that no vat has, and about a source that is no vat's.
//
// The bundler runs in a worker thread, so that running out of memory is an error that can be told.
import fs from 'node:fs';
import process from 'node:process';
import v8 from 'node:v8';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

import { bundle, views } from './bundler.mjs';
import { packageLabel } from './causes.mjs';
import { bundleNotes, entryNote } from './notes.mjs';
import { tellProblem } from './problems.mjs';

/** Powers that report every file which they read to the main thread. */
const reporting = powers => {
  const report = read => location => {
    parentPort.postMessage({ read: location });
    return read(location);
  };
  const { maybeRead, read = maybeRead } = powers;
  return { ...powers, maybeRead: report(maybeRead), read: report(read) };
};

/** Writes the bundle, or says that it is the output which cannot be written. */
const write = (out, text) => {
  try {
    fs.writeFileSync(out, text);
  } catch (error) {
    throw Error(`cannot write ${out}: ${error.message}`);
  }
};

const work = async ({ source, out }) => {
  const made = await bundle(source, views(source).map(reporting));
  write(out, `${JSON.stringify(made.bundle)}\n`);
  const notes = [entryNote(source, made.modules), ...(await bundleNotes(source, made))];
  const told = notes.filter(note => note !== undefined);
  parentPort.postMessage({ id: `b1-${made.bundle.endoZipBase64Sha512}`, notes: told });
};

/** The package most of whose files were read, for a bundler that ran out of memory. */
const largest = locations => {
  const counts = new Map();
  for (const location of locations) {
    const label = location.startsWith('file:') && packageLabel(fileURLToPath(location));
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  counts.delete(false);
  const [first] = [...counts].sort(([, a], [, b]) => b - a);
  return first && ` Most of the files that it had read (${first[1]}) belong to ${first[0]}.`;
};

const outOfMemory = (limitMb, locations) =>
  Error(
    `the bundler ran out of memory (${limitMb} MB).${largest(locations) ?? ''}\n` +
      'Import only the modules that the vat needs, make the package one file of plain JavaScript first (with esbuild, ' +
      'for example), or give Node more memory: NODE_OPTIONS=--max-old-space-size=8192.',
  );

/** Runs the bundler in a worker thread, whose memory is bounded as this thread's is. */
const inWorker = (source, out) =>
  new Promise((resolve, reject) => {
    const limitMb = Math.floor(v8.getHeapStatistics().heap_size_limit / 2 ** 20);
    const worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: { source, out },
      resourceLimits: { maxOldGenerationSizeMb: limitMb },
    });
    const locations = new Set();
    worker.on('message', message => {
      if (message.read !== undefined) {
        locations.add(message.read);
      } else if (message.error !== undefined) {
        reject(Error(message.error));
      } else {
        resolve(message);
      }
    });
    worker.on('error', error =>
      reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? outOfMemory(limitMb, locations) : error),
    );
    worker.on('exit', code => reject(Error(`the bundler ended with ${code}`)));
  });

const main = async ([given, out, ...rest]) => {
  if (!given || !out || rest.length) {
    throw Error('usage: node bundle.mjs SRC.js OUT.json');
  }
  if (!fs.statSync(given, { throwIfNoEntry: false })?.isFile()) {
    throw Error(`there is no file ${given}`);
  }
  const source = fs.realpathSync(given);
  const { id, notes } = await inWorker(source, out);
  for (const note of notes) {
    console.error(`bundle: warning: ${note}`);
  }
  console.log(id);
};

const fail = message => {
  console.error(`bundle: ${message}`);
  process.exitCode = 1;
};

if (isMainThread) {
  main(process.argv.slice(2)).catch(error => fail(error.message));
} else {
  work(workerData).catch(({ message }) => {
    parentPort.postMessage({ error: tellProblem(message, workerData.source) });
  });
}
