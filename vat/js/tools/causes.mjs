// The causes for which a module cannot be bundled, told by package and module, with what helps.
import fs from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { findPackage } from './bundler.mjs';

const OWN_HINT = 'A vat is an ES module: set "type": "module" in its package.json.';
const BUNDLE_FIRST =
  'or make it one file of plain JavaScript first (with esbuild, for example) and import that';

const COMPILE_FIRST = 'Do without, or compile it to JavaScript first (with tsc or esbuild).';

const readDescriptor = file => {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return {};
  }
};

/**
 * The package that a file belongs to: the nearest package.json that has a name. Those below it, which have none,
 * change only how a folder's modules are read.
 *
 * @param {string} file
 */
const packageOf = file => {
  let nested;
  let found = findPackage(file);
  while (found !== undefined) {
    const descriptor = readDescriptor(found);
    const folder = path.dirname(found);
    if (typeof descriptor.name === 'string') {
      const { name, version } = descriptor;
      const label = version === undefined ? name : `${name}@${version}`;
      return { file: found, folder, nested, label, descriptor };
    }
    nested ??= { folder, descriptor };
    found = folder === path.dirname(folder) ? undefined : findPackage(folder);
  }
  return undefined;
};

/**
 * The name and version of the package that a file belongs to, or undefined.
 *
 * @param {string} file
 */
export const packageLabel = file => packageOf(file)?.label;

/** The package that governs the source, and so is the vat's own. */
const isOwn = (found, source) => found === undefined || found.file === packageOf(source)?.file;

/** A module as the reader knows it: by its package, unless that is the vat's own. */
const moduleIn = (found, file) => `${path.relative(found.folder, file)} of ${found.label}`;

/** A module in the syntax of ES modules that is read as CommonJS. */
const readAsCommonJs = (file, source) => {
  const found = packageOf(file);
  if (isOwn(found, source)) {
    return OWN_HINT;
  }
  const { label, nested } = found;
  const other = `Use another version of ${label}, ${BUNDLE_FIRST}.`;
  if (nested?.descriptor.type === 'module') {
    const folder = path.relative(found.folder, nested.folder);
    return (
      `The package ${label} says "type": "module" in a package.json of its folder ${folder} alone, ` +
      `which the bundler does not read. ${other}`
    );
  }
  return `The package ${label} has an ES module, ${path.relative(found.folder, file)}, but does not say "type": "module". ${other}`;
};

/** A module that is not JavaScript as vats have it. */
const notParsed = (file, source) => {
  const found = packageOf(file);
  if (/\.[mc]?ts$/.test(file)) {
    return `Types are erased from TypeScript, and nothing else: ${path.basename(file)} can have no enum, namespace or parameter property. ${COMPILE_FIRST}`;
  }
  if (isOwn(found, source)) {
    return undefined;
  }
  return `The module ${moduleIn(found, file)} is not plain JavaScript. Use another version of ${found.label}, ${BUNDLE_FIRST}.`;
};

/** A module in a language that has no parser: a native addon, WebAssembly, TypeScript. */
const noParser = (file, language, source) => {
  const found = packageOf(file);
  const named = isOwn(found, source)
    ? `The module ${path.basename(file)}`
    : `The module ${moduleIn(found, file)}`;
  if (language === 'node') {
    return `${named} is a native addon, which vats cannot have. Use a package that is JavaScript alone.`;
  }
  return `${named} is no JavaScript module (.${language}). Vats are JavaScript alone: compile it first, or use another package.`;
};

/** The package that `folder` would import by this name, if it is installed. */
const installed = (name, folder) => {
  for (let at = folder; ; at = path.dirname(at)) {
    const file = path.join(at, 'node_modules', name, 'package.json');
    if (fs.existsSync(file)) {
      return { file, ...packageOf(path.join(path.dirname(file), 'index.js')) };
    }
    if (at === path.dirname(at)) {
      return undefined;
    }
  }
};

/** A package or a module of Node.js that is not found. */
const notFound = (specifier, folder, source, importSite) => {
  const importer = packageOf(path.join(folder, 'index.js'));
  const own = isOwn(importer, source);
  const site = own ? importSite(source, imported => imported === specifier) : '';
  const who = own ? `${site}${site ? 'the' : 'The'} vat` : `The package ${importer.label}`;
  if (isBuiltin(specifier)) {
    const helps = own ? 'Do without it.' : `Use a version of ${importer.label} for browsers, or another package.`;
    return `${who} imports "${specifier}", a module of Node.js, which vats do not have. ${helps}`;
  }
  const [, name] = /^((?:@[^/]+\/)?[^/]+)/.exec(specifier) ?? [];
  const found = name && installed(name, folder);
  if (!found) {
    return `${who} imports "${specifier}", which is not installed: npm install ${name ?? specifier}.`;
  }
  const { dependencies = {}, peerDependencies = {}, optionalDependencies = {} } = importer?.descriptor ?? {};
  if (name in { ...dependencies, ...peerDependencies, ...optionalDependencies }) {
    const how = found.descriptor.exports === undefined ? 'has no such module' : 'does not export it';
    return `${who} imports "${specifier}", but ${found.label} ${how}. Import a module that it exports, or use another version.`;
  }
  const place = own ? 'its package.json' : `the package.json of ${importer.label}`;
  return `${who} imports "${specifier}", but "${name}" is not among the dependencies in ${place}.`;
};

/** A file of a package that is not there. */
const noFile = (specifier, folder, source, importSite) => {
  const found = packageOf(path.join(folder, 'index.js'));
  const file = path.join(folder, specifier);
  const typed = file.replace(/\.([mc]?)js$/, '.$1ts');
  if (isOwn(found, source)) {
    const site = importSite(source, (_, resolved) => resolved === file);
    const missing = `${site}${site ? 'there' : 'There'} is no file "${specifier}" in ${folder}, and the vat imports it.`;
    return typed !== file && fs.existsSync(typed)
      ? `${missing} There is ${path.basename(typed)}. Modules in TypeScript are imported by the names of their files.`
      : missing;
  }
  return `The package ${found.label} has no file "${specifier}", which it names. Install it again, or use another version.`;
};

/**
 * What the bundler's failures mean: a pattern, and a function of its match, the vat's source file, and a search for
 * the place where the vat imports a module.
 */
export const CAUSES = [
  [
    /Error transforming "[^"]*" source in "(file:[^"]*)": (.*)/,
    ([, url, reason], source) =>
      /sourceType: "module"/.test(reason)
        ? readAsCommonJs(fileURLToPath(url), source)
        : notParsed(fileURLToPath(url), source),
  ],
  [
    /Cannot parse module \S+ at (file:.*), no parser configured for the language (\S+)/,
    ([, url, language], source) => noParser(fileURLToPath(url), language, source),
  ],
  [
    /Cannot find external module "([^"]*)" in package (file:\S*)/,
    ([, specifier, url], source, importSite) => notFound(specifier, fileURLToPath(url), source, importSite),
  ],
  [
    /Cannot find file for internal module "([^"]*)".*? in package (file:\S*)/,
    ([, specifier, url], source, importSite) => noFile(specifier, fileURLToPath(url), source, importSite),
  ],
];
