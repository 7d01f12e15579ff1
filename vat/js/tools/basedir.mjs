// Bundles the vats of a base directory: node basedir.mjs DIR OUT
//
// Each vat-NAME.js and each vat-NAME/index.js in DIR is the vat NAME; bootstrap.js is the vat
// "bootstrap". Writes OUT/NAME.json, an Endo bundle, for each, and prints the names, a line each.
// The wavy dot and `export default function setup` are understood. Warns on stderr about globals that no vat has.
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { basedirView, bundle, maybeRead } from './bundler.mjs';
import { outline, withoutWavyDot } from './dialect.mjs';
import { bundleNotes } from './notes.mjs';
import { tellParseError, tellProblem } from './problems.mjs';

const SUPPORT = new URL('./setup-support.js', import.meta.url);

/** Names that a base directory's vats cannot have: they are the system's. */
const RESERVED = ['bootstrap', 'vatAdmin', 'shell'];

const isFile = file => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;

/** The vats of a base directory: pairs of name and source, bootstrap first, the others sorted. */
const findVats = folder => {
  const first = path.join(folder, 'bootstrap.js');
  if (!isFile(first)) {
    throw Error(`${folder} has no bootstrap.js: a base directory needs one`);
  }
  const vats = new Map();
  for (const entry of fs.readdirSync(folder).sort()) {
    const source = path.join(folder, entry);
    const index = path.join(source, 'index.js');
    const [, name] = (isFile(source) ? /^vat-(.+)\.js$/ : /^vat-(.+)$/).exec(entry) || [];
    const start = [source, index].find(isFile);
    if (name && start) {
      if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
        throw Error(`${entry}: a vat's name is 1 to 64 letters, digits, _ or -`);
      }
      if (RESERVED.includes(name)) {
        throw Error(`${entry}: the name ${name} is the system's; choose another`);
      }
      if (vats.has(name)) {
        throw Error(`vat ${name} stands twice: ${vats.get(name)} and ${start}`);
      }
      vats.set(name, start);
    }
  }
  return [['bootstrap', first], ...vats];
};

/** The wrapper that makes a vat with `setup` one with `buildRootObject`. */
const wrapper = (name, source, support) => `\
import * as source from ${JSON.stringify(`./${path.basename(source)}`)};
import { buildFromSetup } from ${JSON.stringify(`./${support}`)};
export const buildRootObject = vatPowers =>
  buildFromSetup(${JSON.stringify(name)}, source.default, vatPowers);
`;

/** Whether this is a source of ours to adapt, not one of a library. */
const isOwnSource = (folder, location) => {
  const own = location.startsWith(`${pathToFileURL(folder).href}/`);
  return own && /\.m?js$/.test(location) && !location.includes('/node_modules/');
};

/** Reads a text as plain JavaScript by `read`. Names the place of a mistake in it. */
const plainly = (file, text, read) => {
  try {
    return read(withoutWavyDot(text));
  } catch (error) {
    throw Error(tellParseError(file, text, error));
  }
};

/** Bundles one vat. */
const bundleVat = async (folder, name, source) => {
  const { exports, reexports } = plainly(source, fs.readFileSync(source, 'utf8'), outline);
  const isOld = exports.has('default') && !exports.has('buildRootObject') && !reexports;
  if (!isOld && !reexports && !exports.has('buildRootObject')) {
    throw Error(`${source} exports neither buildRootObject nor, by default, setup`);
  }
  const beside = path.dirname(source);
  const support = path.join(beside, 'capstan-setup-support.js');
  const entry = path.join(beside, `capstan-setup-${name}.js`);
  const virtual = new Map();
  if (isOld) {
    virtual.set(pathToFileURL(support).href, fs.readFileSync(SUPPORT, 'utf8'));
    const text = wrapper(name, source, path.basename(support));
    virtual.set(pathToFileURL(entry).href, text);
  }
  // Where the first years' harden is to be found from a module of the vat.
  const prelude = location => {
    const way = path.relative(path.dirname(fileURLToPath(location)), support);
    const specifier = way.startsWith('.') ? way : `./${way}`;
    return `import { harden } from ${JSON.stringify(specifier)}; `;
  };
  const lens = async location => {
    const bytes = virtual.get(location) ?? (await maybeRead(location));
    if (bytes === undefined || virtual.has(location) || !isOwnSource(folder, location)) {
      return typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
    }
    const text = plainly(fileURLToPath(location), new TextDecoder().decode(bytes), plain => {
      const hardens = isOld && !outline(plain).declares.has('harden');
      return hardens ? prelude(location) + plain : plain;
    });
    return new TextEncoder().encode(text);
  };
  const start = isOld ? entry : source;
  try {
    const made = await bundle(start, [basedirView(folder, lens)]);
    return { bundle: made.bundle, notes: await bundleNotes(start, made) };
  } catch (error) {
    throw Error(tellProblem(error.message, source));
  }
};

const main = async ([given, out, ...rest]) => {
  if (!given || !out || rest.length) {
    throw Error('usage: node basedir.mjs DIR OUT');
  }
  if (!fs.statSync(given, { throwIfNoEntry: false })?.isDirectory()) {
    throw Error(`there is no directory ${given}`);
  }
  const folder = fs.realpathSync(given);
  const said = new Set(); // vats may share modules
  for (const [name, source] of findVats(folder)) {
    // eslint-disable-next-line no-await-in-loop
    const { bundle: result, notes } = await bundleVat(folder, name, source);
    fs.writeFileSync(path.join(out, `${name}.json`), JSON.stringify(result));
    notes.forEach(note => said.add(note));
    console.log(name);
  }
  said.forEach(note => console.error(`warning: ${note}`));
};

main(process.argv.slice(2)).catch(error => {
  console.error(error.message);
  process.exitCode = 1;
});
