// Plays each game in turn on Capstan and on SwingSet, and prints the medians and ratios: `node compare.mjs CAPSTAN_BENCH ROUNDS [--json]`.
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [bench, rounds, ...rest] = process.argv.slice(2);
const asJson = rest.includes('--json');
const swingset = path.join(path.dirname(fileURLToPath(import.meta.url)), 'swingset.mjs');

// Each with the unit of its figure, which is the better the larger it is.
const games = [
  ['pingpong', 'ping-pong of two vats, cranks'],
  ['deposits', 'messages that change a durable map'],
  ['create', 'vats of a known bundle, each with one message'],
  ['loops', 'loops of a million turns'],
];
const sides = {
  capstan: game => [bench, ['game', game]],
  local: game => [process.execPath, [swingset, 'local', game]],
  'xs-worker': game => [process.execPath, [swingset, 'xs-worker', game]],
};

const play = (side, game) => {
  const [program, args] = sides[side](game);
  const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] };
  const { count, cpu_s: cpu } = JSON.parse(execFileSync(program, args, options));
  return count / cpu;
};

const median = figures => {
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const results = [];
for (const [game, title] of games) {
  const figures = Object.fromEntries(Object.keys(sides).map(side => [side, []]));
  for (let round = 1; round <= Number(rounds); round += 1) {
    for (const side of Object.keys(sides)) {
      process.stderr.write(`${game}: round ${round} of ${rounds}, ${side}\n`);
      figures[side].push(play(side, game));
    }
  }
  // Ratios of one round, whose sides ran in the same minute.
  const over = side => median(figures.capstan.map((own, round) => own / figures[side][round]));
  results.push({
    game,
    title,
    per_cpu_s: Object.fromEntries(Object.entries(figures).map(([side, all]) => [side, median(all)])),
    all_per_cpu_s: figures,
    ratio_to_local: over('local'),
    ratio_to_xs_worker: over('xs-worker'),
  });
}

if (asJson) {
  console.log(JSON.stringify(results));
} else {
  const line = cells => console.log(cells.map((cell, i) => (i ? cell.padStart(16) : cell.padEnd(48))).join(''));
  line(['per CPU second', 'Capstan', 'local', 'xs-worker', 'over local', 'over xs-worker']);
  for (const row of results) {
    const figures = Object.values(row.per_cpu_s).map(figure => figure.toPrecision(4));
    line([row.title, ...figures, row.ratio_to_local.toFixed(2), row.ratio_to_xs_worker.toFixed(2)]);
  }
}
