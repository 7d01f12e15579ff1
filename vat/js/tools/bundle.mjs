// Bundles a vat's source: node bundle.mjs SRC.js OUT.json
//
// OUT.json is an Endo bundle, {moduleFormat: "endoZipBase64", endoZipBase64, endoZipBase64Sha512}, with
// the id that Agoric's own tools give. Prints the bundle's id.
//
// Vats import libraries (@endo/far, @agoric/vat-data, …). Where a source's own package has not
// installed them, ours are used; and if no package.json says what the source depends on, it may
// import any of them.
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const OUR_PACKAGE = new URL('../package.json', import.meta.url);
const OUR_MODULES = new URL('../node_modules/', import.meta.url);

/** Our dependencies that are tools, not libraries for vats. */
const TOOLS = [
  '@agoric/swingset-xsnap-supervisor',
  '@agoric/xsnap-lockdown',
  '@endo/bundle-source',
  '@endo/init',
];

const readJson = location => {
  try {
    return JSON.parse(fs.readFileSync(location, 'utf8'));
  } catch (error) {
    throw Error(`${location}: ${error.message}`);
  }
};

/** The libraries that we lend, with their versions: a `dependencies` record. */
const libraries = () => {
  const { dependencies } = readJson(OUR_PACKAGE);
  const entries = Object.entries(dependencies);
  return Object.fromEntries(entries.filter(([name]) => !TOOLS.includes(name)));
};

/** The location of the package.json that governs `source`, or undefined. */
const findPackage = source => {
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
const maybeRead = async location => {
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
    const ours = name && new URL(`${name}/`, OUR_MODULES);
    return ours && fs.existsSync(ours) ? `${await real(ours)}${slash}` : location;
  }
};

/** Powers for the bundler that see `descriptor` as the contents of the package.json at `file`. */
const powersWith = (file, descriptor) => {
  const place = pathToFileURL(file).href;
  const bytes = new TextEncoder().encode(JSON.stringify(descriptor));
  const maybeReadWith = async location => (location === place ? bytes : maybeRead(location));
  return { canonical, maybeRead: maybeReadWith };
};

/**
 * What the bundler is to see of the file system, in the order of what to try: the package as it is;
 * and only if that fails, a package that depends on all our libraries too. (What a package declares
 * to depend on is part of the bundle's id.)
 */
const views = source => {
  const file = findPackage(source);
  if (file === undefined) {
    const folder = path.dirname(source);
    const name = path.basename(source, path.extname(source));
    const descriptor = { name, version: '0.0.0', type: 'module', dependencies: libraries() };
    return [powersWith(path.join(folder, 'package.json'), descriptor)];
  }
  const descriptor = readJson(file);
  const dependencies = { ...libraries(), ...descriptor.dependencies };
  return [{ canonical, maybeRead }, powersWith(file, { ...descriptor, dependencies })];
};

/** Endo's bundler, or an error that says how to install it. */
const loadBundler = async () => {
  try {
    await import('@endo/init');
    const { default: bundleSource } = await import('@endo/bundle-source');
    return bundleSource;
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') {
      throw error;
    }
    const folder = fileURLToPath(new URL('..', import.meta.url));
    throw Error(`the bundler is not installed: run npm ci --ignore-scripts in ${folder}`);
  }
};

const bundle = async source => {
  const bundleSource = await loadBundler();
  let lastError;
  for (const powers of views(source)) {
    try {
      // eslint-disable-next-line no-await-in-loop
      return await bundleSource(source, { format: 'endoZipBase64' }, powers);
    } catch (error) {
      lastError = error;
    }
  }
  throw lastError;
};

const main = async ([source, out, ...rest]) => {
  if (!source || !out || rest.length) {
    throw Error('usage: node bundle.mjs SRC.js OUT.json');
  }
  if (!fs.statSync(source, { throwIfNoEntry: false })?.isFile()) {
    throw Error(`there is no file ${source}`);
  }
  const result = await bundle(fs.realpathSync(source));
  fs.writeFileSync(out, `${JSON.stringify(result)}\n`);
  console.log(`b1-${result.endoZipBase64Sha512}`);
};

main(process.argv.slice(2)).catch(error => {
  const isScript = /sourceType: "module"/.test(error.message);
  const hint = isScript ? '\nA vat is an ES module: set "type": "module" in its package.json.' : '';
  console.error(`bundle: ${error.message}${hint}`);
  process.exitCode = 1;
});
