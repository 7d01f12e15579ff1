// What to say of a vat that can be bundled, and yet will not do what its author means.
import { pathToFileURL } from 'node:url';

import { tellProblem } from './problems.mjs';
import { importNotes } from './imports.mjs';
import { missingModules } from './missing.mjs';
import { displayed, ownModules } from './own-modules.mjs';
import { explainGlobal } from './vat-globals.mjs';

/** The uses of globals that no vat has, in the vat's own modules, by file and line. */
const globalNotes = (source, modules) =>
  ownModules(source, modules).flatMap(({ file, notes = [] }) =>
    notes
      .filter(({ from }) => from === undefined)
      .map(({ name, line, column }) => `${displayed(file)}:${line}:${column}: ${explainGlobal(name)}`),
  );

/**
 * What is wrong with a bundle that was made, but for its entry.
 *
 * @param {string} source
 * @param {{ bundle: { endoZipBase64: string }, modules: Map<string, object> }} made
 */
export const bundleNotes = async (source, made) => {
  const errors = await missingModules(made.bundle.endoZipBase64);
  const missing = errors.map(
    error => `a module is missing, and what imports it will fail. ${tellProblem(error, source)}`,
  );
  return [...missing, ...importNotes(source, made), ...globalNotes(source, made.modules)];
};

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
