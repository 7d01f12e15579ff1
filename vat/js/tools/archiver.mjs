// Makes bundles with Endo's archiver.
//
// Endo's own bundler gives the archiver the languages of modules. Ours, which give the same, have a cache before them.
import crypto from 'node:crypto';
import fs from 'node:fs';
import url, { fileURLToPath, pathToFileURL } from 'node:url';

import { importPart } from './endo.mjs';
import { makeModuleKit } from './module-kit.mjs';
import { patchZipWriter } from './zip-writer.mjs';

/** Endo's archiver, or an error that says how to install it. */
export const loadArchiver = async () => {
  try {
    await import('@endo/init');
    const { mapNodeModules } = await importPart('@endo/compartment-mapper/node-modules.js');
    const { makeAndHashArchiveFromMap } = await importPart('@endo/compartment-mapper/archive-lite.js');
    const { makeReadPowers } = await importPart('@endo/compartment-mapper/node-powers.js');
    await patchZipWriter();
    return { mapNodeModules, makeAndHashArchiveFromMap, readPowers: makeReadPowers({ fs, url, crypto }) };
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' && error.code !== 'MODULE_NOT_FOUND') {
      throw error;
    }
    const folder = fileURLToPath(new URL('..', import.meta.url));
    throw Error(`the bundler is not installed: run npm ci --ignore-scripts in ${folder}`);
  }
};

/** The languages of files in packages that are not installed ones, as in Endo's bundler. */
const WORKSPACE = {
  workspaceLanguageForExtension: { mts: 'mts', cts: 'cts' },
  workspaceModuleLanguageForExtension: { ts: 'mts' },
  workspaceCommonjsLanguageForExtension: { ts: 'cts' },
};

/** What is known of the modules of a bundle: their records, and notes on globals that vats do not have. */
const makeModules = () => {
  const modules = new Map(); // location -> { record, notes }
  const onModule = (location, known) => modules.set(location, { ...modules.get(location), ...known });
  return { modules, onModule };
};

/**
 * What Endo's bundler would make of a source as `powers` see it, with `modules` besides.
 *
 * @param {string} source
 * @param {Awaited<ReturnType<typeof loadArchiver>>} archiver
 * @param {object} powers
 * @param {ReturnType<typeof import('./module-cache.mjs').openCache>} cache
 */
export const archive = async (source, { mapNodeModules, makeAndHashArchiveFromMap, readPowers }, powers, cache) => {
  const { modules, onModule } = makeModules();
  const all = { ...readPowers, ...powers };
  const entry = pathToFileURL(source).href;
  const map = await mapNodeModules(all, entry, { conditions: new Set(), ...WORKSPACE });
  const { bytes, sha512 } = await makeAndHashArchiveFromMap(all, map, makeModuleKit(cache, onModule));
  const bundle = {
    moduleFormat: 'endoZipBase64',
    endoZipBase64: Buffer.from(bytes).toString('base64'),
    endoZipBase64Sha512: sha512,
  };
  return { bundle, modules };
};
