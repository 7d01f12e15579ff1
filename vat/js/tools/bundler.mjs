// The bundler: Endo's, with our libraries lent to vats that have not installed them.
//
// Vats import libraries (@endo/far, @agoric/vat-data, …). Where a source's own package has not
// installed them, ours are used; and if no package.json says what the source depends on, it may
// import any of them.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { archive, loadArchiver } from './archiver.mjs';
import { openCache } from './module-cache.mjs';

const OUR_PACKAGE = new URL('../package.json', import.meta.url);
const OUR_MODULES = new URL('../node_modules/', import.meta.url);

/** The libraries of our own that vats import, and where they are. */
const OUR_LIBRARIES = {
  '@capstan/remote-iterables': new URL('../remote-iterables/', import.meta.url),
};

/** Our dependencies that are tools, not libraries for vats. */
const TOOLS = [
  '@agoric/babel-parser',
  '@agoric/swingset-xsnap-supervisor',
  '@agoric/xsnap-lockdown',
  '@babel/parser',
  '@endo/bundle-source',
  '@endo/init',
  '@endo/zip',
];

const readJson = location => {
  try {
    return JSON.parse(fs.readFileSync(location, 'utf8'));
  } catch (error) {
    throw Error(`${location}: ${error.message}`);
  }
};

const versionAt = place => readJson(new URL('package.json', place)).version;

/** The libraries that we lend, with their versions: a `dependencies` record. */
const libraries = () => {
  const { dependencies } = readJson(OUR_PACKAGE);
  const entries = Object.entries(dependencies);
  const own = Object.entries(OUR_LIBRARIES).map(([name, place]) => [name, versionAt(place)]);
  return Object.fromEntries([...entries.filter(([name]) => !TOOLS.includes(name)), ...own]);
};

/** The location of the package.json that governs `source`, or undefined. */
export const findPackage = source => {
  for (let folder = path.dirname(source); ; folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json');
    if (fs.existsSync(file)) {
      return file;
    }
    if (folder === path.dirname(folder)) {
      return undefined;
    }
  }
};

const isMissing = error => error.code === 'ENOENT' || error.code === 'EISDIR';

/** The contents of the file at `location` as bytes, or undefined if there is none. */
export const maybeRead = async location => {
  await null;
  try {
    return await fs.promises.readFile(fileURLToPath(location));
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
};

/**
 * The real location of a file, or of a folder if `location` ends in a slash; `location` itself if
 * there is none. The bundler looks for a package upwards from its importer, last of all in
 * /node_modules: that is where ours stand.
 */
const canonical = async location => {
  await null;
  const real = async place => pathToFileURL(await fs.promises.realpath(fileURLToPath(place))).href;
  const slash = location.endsWith('/') ? '/' : '';
  try {
    return `${await real(location)}${slash}`;
  } catch (error) {
    const [, name] = /^file:\/\/\/node_modules\/((?:@[^/]+\/)?[^/]+)\/$/.exec(location) || [];
    const ours = name && (OUR_LIBRARIES[name] ?? new URL(`${name}/`, OUR_MODULES));
    return ours && fs.existsSync(ours) ? `${await real(ours)}${slash}` : location;
  }
};

/**
 * Powers for the bundler that see `descriptor` as the contents of the package.json at `file`.
 *
 * @param {string} file
 * @param {object} descriptor
 * @param {Lens} lens
 */
const powersWith = (file, descriptor, lens = maybeRead) => {
  const place = pathToFileURL(file).href;
  const bytes = new TextEncoder().encode(JSON.stringify(descriptor));
  const maybeReadWith = async location => (location === place ? bytes : lens(location));
  // The bundler reads packages by the one and modules by the other.
  const read = async location => {
    const found = await maybeReadWith(location);
    if (found === undefined) {
      throw Error(`there is no ${location}`);
    }
    return found;
  };
  return { canonical, maybeRead: maybeReadWith, read };
};

/** The package of a source for which no package.json speaks: it may import all our libraries. */
const looseDescriptor = name => ({
  name,
  version: '0.0.0',
  type: 'module',
  dependencies: libraries(),
});

/**
 * What the bundler is to see of the file system, in the order of what to try: the package as it is;
 * and only if that fails, a package that depends on all our libraries too. (What a package declares
 * to depend on is part of the bundle's id.)
 */
export const views = source => {
  const file = findPackage(source);
  if (file === undefined) {
    const folder = path.dirname(source);
    const name = path.basename(source, path.extname(source));
    return [powersWith(path.join(folder, 'package.json'), looseDescriptor(name))];
  }
  const descriptor = readJson(file);
  const dependencies = { ...libraries(), ...descriptor.dependencies };
  return [{ canonical, maybeRead }, powersWith(file, { ...descriptor, dependencies })];
};

/**
 * How the bundler reads files: `maybeRead`, or something before it that changes what it gives.
 *
 * @callback Lens
 * @param {string} location a file's URL
 * @returns {Promise<Uint8Array | undefined>}
 */

/**
 * The one view of a base directory that no package.json need speak for: its sources are ES modules,
 * and may import all our libraries, whatever else they depend on.
 *
 * @param {string} folder
 * @param {Lens} lens
 */
export const basedirView = (folder, lens) => {
  const file = findPackage(path.join(folder, 'bootstrap.js'));
  if (file === undefined) {
    return powersWith(path.join(folder, 'package.json'), looseDescriptor('basedir'), lens);
  }
  const descriptor = readJson(file);
  const dependencies = { ...libraries(), ...descriptor.dependencies };
  return powersWith(file, { ...descriptor, type: 'module', dependencies }, lens);
};

/**
 * Bundles `source` as the first of these views lets it be bundled.
 *
 * The bundle is the one that Endo's bundler gives. Modules that were bundled before come from a cache.
 *
 * @param {string} source
 * @param {object[]} [powersToTry]
 */
export const bundle = async (source, powersToTry = views(source)) => {
  const archiver = await loadArchiver();
  const cache = openCache();
  let lastError;
  for (const powers of powersToTry) {
    try {
      // eslint-disable-next-line no-await-in-loop
      const made = await archive(source, archiver, powers, cache);
      cache.trim();
      return made;
    } catch (error) {
      lastError = error;
    }
  }
  throw lastError;
};
