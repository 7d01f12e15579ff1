// Plays the games of `capstan-bench` on SwingSet, with the same vats: `node swingset.mjs WORKER GAME`.
//
// WORKER is `local` (vats in the kernel's own process) or `xs-worker` (a process for each vat, metered, with snapshots: what Agoric's
// chain uses). Prints one line of JSON: the game's name, its count, and the CPU seconds of the kernel and of its workers.
import '@endo/init/pre-bundle-source.js';
import '@endo/init';

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import bundleSource from '@endo/bundle-source';
import { initSwingStore } from '@agoric/swing-store';
import { buildKernelBundles, initializeSwingset, makeSwingsetController } from '@agoric/swingset-vat';
import { crankCounter } from '@agoric/swingset-vat/src/lib/runPolicies.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const sources = path.join(here, '../bench/vats');
const cache = path.join(here, 'node_modules/.cache/capstan');
const CRANKS_A_COMMIT = 100;
const CLOCK_TICKS_PER_S = 100;

// The games, with the counts of `capstan-bench`.
const games = {
  pingpong: { warm: ['play', 100], run: [['play', 2_000]], counts: 'cranks' },
  deposits: { warm: ['deposit', 100], run: [['deposit', 2_000]], counts: 2_000 },
  create: { warm: ['create'], run: Array(100).fill(['create']), counts: 100 },
  loops: { warm: ['calculate', 1_000], run: Array(10).fill(['calculate', 1_000_000]), counts: 10 },
};

const cached = async (name, make) => {
  const file = path.join(cache, `${name}.json`);
  if (!fs.existsSync(file)) {
    fs.mkdirSync(cache, { recursive: true });
    fs.writeFileSync(file, JSON.stringify(await make()));
  }
  return harden(JSON.parse(fs.readFileSync(file, 'utf8')));
};

// Bundles a vat from a copy beside the packages that it imports.
const bundle = async name => {
  const source = fs.readFileSync(path.join(sources, name));
  const hash = createHash('sha256').update(source).digest('hex').slice(0, 16);
  const made = await cached(`${name}-${hash}`, async () => {
    const copy = path.join(here, 'node_modules', `capstan-${process.pid}-${name}`);
    fs.writeFileSync(copy, source);
    try {
      return await bundleSource(copy, { format: 'endoZipBase64' });
    } finally {
      fs.rmSync(copy);
    }
  });
  return { bundle: made };
};

// Reads the fields of /proc/PID/stat from `state` on.
const stat = pid => {
  const text = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
};
const seconds = (...ticks) => ticks.map(Number).reduce((a, b) => a + b) / CLOCK_TICKS_PER_S;

// Returns the CPU time of this process, its ended children and its running ones.
const cpuTime = () => {
  const own = stat('self');
  let total = seconds(own[11], own[12], own[13], own[14]);
  for (const pid of fs.readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      const fields = stat(pid);
      if (Number(fields[1]) === process.pid) total += seconds(fields[11], fields[12]);
    } catch {
      // It has ended.
    }
  }
  return total;
};

const boot = async (worker, folder) => {
  const { kernel: kernelBundle, ...kernelBundles } = await cached('kernel', buildKernelBundles);
  const [bootstrap, player, ledger] = await Promise.all(
    ['vat-bootstrap.js', 'vat-player.js', 'vat-ledger.js'].map(bundle),
  );
  const config = {
    bootstrap: 'bootstrap',
    defaultManagerType: worker,
    defaultReapInterval: 1_000,
    snapshotInitial: 3,
    snapshotInterval: 200,
    vats: { bootstrap, left: player, right: player, ledger },
    bundles: { player },
  };
  const { kernelStorage, hostStorage } = initSwingStore(folder);
  const kernelOptions = { kernelBundles, addComms: false, addVattp: false, addTimer: false };
  await initializeSwingset(config, undefined, kernelStorage, kernelOptions, {});
  const policy = { maxVatsOnline: 200 };
  const options = { kernelBundle, env: {}, warehousePolicy: policy };
  const controller = await makeSwingsetController(kernelStorage, {}, options);
  for (const name of Object.keys(config.vats)) controller.pinVatRoot(name);
  return { controller, hostStorage };
};

const play = async (worker, name) => {
  const game = games[name];
  if (!['local', 'xs-worker'].includes(worker) || !game) {
    throw Error(`usage: node swingset.mjs local|xs-worker ${Object.keys(games).join('|')}`);
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'capstan-peers-'));
  const { controller, hostStorage } = await boot(worker, folder);
  // Runs until nothing is left, with a durable commit every hundred cranks.
  const run = async () => {
    let cranks = 0;
    for (;;) {
      const ran = await controller.run(crankCounter(CRANKS_A_COMMIT, 1e9, true));
      cranks += ran;
      await hostStorage.commit();
      if (ran < CRANKS_A_COMMIT) return cranks;
    }
  };
  const call = async ([method, ...args]) => {
    const result = controller.queueToVatRoot('bootstrap', method, args);
    const cranks = await run();
    if (controller.kpStatus(result) !== 'fulfilled') throw Error(`${method} was not answered`);
    return cranks;
  };
  await run();
  await call(game.warm);
  const cpu = cpuTime();
  const began = performance.now();
  let cranks = 0;
  for (const message of game.run) cranks += await call(message);
  const result = {
    game: name,
    worker,
    count: game.counts === 'cranks' ? cranks : game.counts,
    cpu_s: cpuTime() - cpu,
    wall_s: (performance.now() - began) / 1000,
  };
  await controller.shutdown();
  await hostStorage.close();
  fs.rmSync(folder, { recursive: true });
  return result;
};

console.log(JSON.stringify(await play(...process.argv.slice(2))));
process.exit(0);
