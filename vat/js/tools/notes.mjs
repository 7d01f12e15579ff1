// What to say of a vat that can be bundled, and yet will not do what its author means.
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { findPackage } from './bundler.mjs';
import { explainGlobal } from './vat-globals.mjs';

/** A file as the reader knows it: from where one stands, if it is below. */
const displayed = file => {
  const way = path.relative(process.cwd(), file);
  return way.startsWith('..') || path.isAbsolute(way) ? file : way;
};

/** The modules of the vat's own package: an installed one's author knows what it asks for. */
const ownModules = (source, modules) => {
  const governing = findPackage(source);
  const files = [...modules].filter(([location]) => location.startsWith('file:') && !location.includes('/node_modules/'));
  return files
    .map(([location, known]) => ({ file: fileURLToPath(location), ...known }))
    .filter(({ file }) => findPackage(file) === governing)
    .sort((a, b) => (a.file < b.file ? -1 : 1));
};

/**
 * The uses of globals that no vat has, in the vat's own modules, by file and line.
 *
 * @param {string} source
 * @param {Map<string, { notes?: { name: string, line: number, column: number }[] }>} modules
 */
export const globalNotes = (source, modules) =>
  ownModules(source, modules).flatMap(({ file, notes = [] }) =>
    notes.map(({ name, line, column }) => `${displayed(file)}:${line}:${column}: ${explainGlobal(name)}`),
  );

/**
 * Says of a source that exports nothing a vat begins with that no vat can be made of it, or undefined.
 *
 * @param {string} source
 * @param {Map<string, { record?: { exports?: string[], reexports?: string[] } }>} modules
 */
export const entryNote = (source, modules) => {
  const { record } = modules.get(pathToFileURL(source).href) ?? {};
  const { exports = [], reexports = [] } = record ?? {};
  if (record === undefined || reexports.length > 0 || exports.some(name => name === 'buildRootObject' || name === 'default')) {
    return undefined;
  }
  const has = exports.length > 0 ? `It exports ${exports.join(', ')}` : 'It exports nothing';
  return `${displayed(source)}: no vat can be created from a module that does not export buildRootObject. ${has}.`;
};
