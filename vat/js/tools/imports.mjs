// Names that a vat's own modules import from modules that do not export them. Endo's bundler does not look, and the
// vat would not start.
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { ZipReader } from '@endo/zip';

import { displayed, ownModules } from './own-modules.mjs';

/** The most names of one module that are looked at. */
const MAX_IMPORTS = 1000;

/** The most packages that a name is followed through. */
const MAX_STEPS = 100;

/** The most exported names that are listed. */
const MAX_LISTED = 20;

/** The one language whose exports are known before it runs. */
const ES_MODULE = 'pre-mjs-json';

/** The types of nodes that import by name. */
const IMPORTS = ['ImportDeclaration', 'ExportNamedDeclaration', 'ExportAllDeclaration'];

const isNodeModule = specifier => specifier.startsWith('node:') && isBuiltin(specifier);

const importedName = ({ type, imported, local }) => {
  switch (type) {
    case 'ImportDefaultSpecifier':
      return 'default';
    case 'ImportSpecifier':
      return imported.name ?? imported.value;
    case 'ExportSpecifier':
      return local.name ?? local.value;
    default:
      return undefined;
  }
};

/** Gathers what a module imports by name while it is traversed. */
export const makeImportsFinder = () => {
  const found = []; // { from, name, line, column }
  const visit = ({ node: { type, source, specifiers = [] } }) => {
    if (!IMPORTS.includes(type) || !source || found.length >= MAX_IMPORTS) {
      return;
    }
    // The vat could not have it under any name.
    if (isNodeModule(source.value)) {
      const { line, column } = source.loc.start;
      found.push({ from: source.value, name: undefined, line, column: column + 1 });
      return;
    }
    for (const specifier of specifiers.slice(0, MAX_IMPORTS - found.length)) {
      const name = importedName(specifier);
      const { line, column } = specifier.loc.start;
      if (name !== undefined) found.push({ from: source.value, name, line, column: column + 1 });
    }
  };
  return { visit, notes: () => found };
};

/** A view of the modules of a bundle: which one a specifier means, and what it exports. */
const openBundle = endoZipBase64 => {
  const zip = new ZipReader(new Uint8Array(Buffer.from(endoZipBase64, 'base64')));
  const read = name => JSON.parse(new TextDecoder().decode(zip.read(name)));
  const { entry, compartments } = read('compartment-map.json');
  const resolve = (compartment, importer, specifier) => {
    const isRelative = /^\.\.?\//.test(specifier);
    const key = isRelative ? `./${path.posix.join(path.posix.dirname(importer), specifier)}` : specifier;
    let at = { compartment, module: key };
    for (let step = 0; step < MAX_STEPS && at?.module !== undefined; step += 1) {
      const { compartment: name } = at;
      const next = compartments[name]?.modules[at.module];
      at = next && { compartment: name, ...next };
    }
    return at;
  };
  /** The names that a module exports, or undefined if they are not known. */
  const exportsOf = (found, seen = new Set()) => {
    if (found?.parser !== ES_MODULE) return undefined;
    const file = `${compartments[found.compartment].location}/${found.location}`;
    if (seen.has(file)) return new Set();
    seen.add(file);
    const { exports = [], reexports = [] } = read(file);
    const names = new Set(exports);
    for (const specifier of reexports) {
      const more = exportsOf(resolve(found.compartment, found.location, specifier), seen);
      if (more === undefined) return undefined;
      more.forEach(name => name === 'default' || names.add(name));
    }
    return names;
  };
  const first = compartments[entry.compartment].modules[entry.module];
  return { own: entry.compartment, entry: first.location, resolve, exportsOf };
};

const listed = names => {
  const sorted = [...names].sort();
  const more = sorted.length > MAX_LISTED ? ', …' : '';
  return sorted.length > 0 ? `It exports ${sorted.slice(0, MAX_LISTED).join(', ')}${more}.` : 'It exports nothing.';
};

/**
 * The imports of the vat's own modules that cannot be met, by file and line.
 *
 * @param {string} source
 * @param {{ bundle: { endoZipBase64: string }, modules: Map<string, { notes?: object[] }> }} made
 */
export const importNotes = (source, { bundle, modules }) => {
  const { own, entry, resolve, exportsOf } = openBundle(bundle.endoZipBase64);
  const root = pathToFileURL(source).href.slice(0, -entry.length);
  const known = new Map(); // file and specifier -> names
  return ownModules(source, modules).flatMap(({ file, notes = [] }) => {
    const importer = pathToFileURL(file).href.slice(root.length);
    return notes.flatMap(({ from, name, line, column }) => {
      if (from === undefined) return [];
      const place = `${displayed(file)}:${line}:${column}`;
      if (isNodeModule(from)) {
        return [`${place}: the vat will not start: "${from}" is a module of Node.js, which vats do not have.`];
      }
      const key = `${importer} ${from}`;
      if (!known.has(key)) known.set(key, exportsOf(resolve(own, importer, from)));
      const names = known.get(key);
      if (names === undefined || names.has(name)) return [];
      const what = name === 'default' ? 'has no default export' : `does not export ${name}`;
      return [`${place}: the vat will not start: "${from}" ${what}. ${listed(names)}`];
    });
  });
};
