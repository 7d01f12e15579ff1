// The parts of Endo's bundler: the very ones that it uses, which another package may have in another version.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const HERE = new URL('../package.json', import.meta.url);

/** Finds a module as another package would import it. */
const resolveFrom = (place, specifier) => pathToFileURL(createRequire(place).resolve(specifier));

const packageFrom = (place, name) => resolveFrom(place, `${name}/package.json`);

const bundler = () => packageFrom(HERE, '@endo/bundle-source');

/**
 * Imports a module as Endo's bundler does.
 *
 * @param {string} specifier
 */
export const importPart = specifier => import(resolveFrom(bundler(), specifier).href);

/** Imports the bundler's own module that knows all languages, which its package does not export. It loads TypeScript. */
export const importKit = () => import(new URL('src/endo.js', bundler()).href);

/** Imports the class that the archiver's zip writer writes with, which its package does not export. */
export const importBufferWriter = async () => {
  const zip = packageFrom(packageFrom(bundler(), '@endo/compartment-mapper'), '@endo/zip');
  const { BufferWriter } = await import(new URL('src/buffer-writer.js', zip).href);
  return BufferWriter;
};

/** Imports Babel's walk over syntax trees, which knows the scopes of names. */
export const importTraverse = async () => {
  const evader = packageFrom(bundler(), '@endo/evasive-transform');
  const { default: traverse } = await import(resolveFrom(evader, '@babel/traverse').href);
  return traverse.default ?? traverse;
};
