// The modules of a vat's own package, and how the reader knows a file.
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

import { findPackage } from './bundler.mjs';

/** A file as the reader knows it: from where one stands, if it is below. */
export const displayed = file => {
  const way = path.relative(process.cwd(), file);
  return way.startsWith('..') || path.isAbsolute(way) ? file : way;
};

/**
 * The modules of the vat's own package: an installed one's author knows what it asks for.
 *
 * @param {string} source
 * @param {Map<string, object>} modules
 */
export const ownModules = (source, modules) => {
  const governing = findPackage(source);
  const files = [...modules].filter(([location]) => location.startsWith('file:') && !location.includes('/node_modules/'));
  return files
    .map(([location, known]) => ({ file: fileURLToPath(location), ...known }))
    .filter(({ file }) => findPackage(file) === governing)
    .sort((a, b) => (a.file < b.file ? -1 : 1));
};
