// The languages of modules for Endo's archiver, as Endo's bundler has them, with a cache before them.
//
// Babel is loaded for a module that the cache does not have, and TypeScript for a module in that language.
import { importKit, importPart } from './endo.mjs';
import { makeImportsFinder } from './imports.mjs';
import { makeGlobalsFinder } from './vat-globals.mjs';

/** The languages that vats' modules are written in, with what a bundle holds of them. */
const PREPARED = { mjs: 'pre-mjs-json', cjs: 'pre-cjs-json', mts: 'pre-mjs-json', cts: 'pre-cjs-json' };

const cachedName = language => `cached-${language}`;

const once = make => {
  let made;
  return () => (made ??= make());
};

const loadParsers = once(async () => {
  const { defaultParserForLanguage } = await importPart('@endo/compartment-mapper/archive-parsers.js');
  return defaultParserForLanguage;
});

const loadPlainParsers = once(async () => {
  const { defaultParserForLanguage } = await importPart('@endo/compartment-mapper/import-archive-parsers.js');
  return defaultParserForLanguage;
});

const loadEvade = once(async () => (await importPart('@endo/evasive-transform')).evadeCensorSync);

const loadTypeScriptParsers = once(async () => {
  const { makeBundlingKit } = await importKit();
  const io = { pathResolve: () => '', userInfo: () => ({}), platform: '', env: {}, computeSha512: undefined };
  return makeBundlingKit(io, {}).parserForLanguage;
});

const decode = bytes => new TextDecoder().decode(bytes);

/** What SES is to know of a module whose prepared form is in the cache. */
const recordOf = (language, bytes) => {
  const prepared = JSON.parse(decode(bytes));
  if (PREPARED[language] === 'pre-mjs-json') {
    return Object.freeze(prepared);
  }
  const { imports, exports, reexports } = prepared;
  return Object.freeze({ imports, exports, reexports, execute: () => {} });
};

/** Parses what the cache gave instead of a source. */
const cachedParser = (language, heuristicImports, onModule) => ({
  parse: (bytes, _specifier, location) => {
    const record = recordOf(language, bytes);
    onModule(location, { record });
    return { parser: PREPARED[language], bytes, record };
  },
  heuristicImports,
  synchronous: true,
});

/** Removes what SES's censor would take for a dynamic import. Looks for imported names and globals that vats do not have. */
const transform = async (language, bytes) => {
  const evade = await loadEvade();
  const sourceType = language === 'mjs' ? 'module' : 'script';
  const finders = [makeGlobalsFinder(sourceType), makeImportsFinder()];
  const customVisitor = path => finders.forEach(finder => finder.visit(path));
  const { code } = evade(decode(bytes), { sourceType, customVisitor });
  return { bytes: new TextEncoder().encode(code), notes: finders.flatMap(finder => finder.notes()) };
};

/** The globals that a source in TypeScript uses. Its transform is not needed, as in Endo's bundler. */
const typeScriptNotes = async (language, { record }, bytes) => {
  const { default: blank } = await importPart('ts-blank-space');
  const plain = new TextEncoder().encode(blank(decode(bytes)));
  return record && (await transform(language === 'mts' ? 'mjs' : 'cjs', plain)).notes;
};

/** Names the module that is not to be parsed, as the archiver does for those that it has transformed. */
const naming = async (language, location, parse) => {
  try {
    return await parse();
  } catch (error) {
    if (language !== 'mts' && language !== 'cts') {
      throw error;
    }
    const reason = error.message.replace(/^Error transforming source in <unknown>: /, '');
    throw Error(`Error transforming "${language}" source in ${JSON.stringify(location)}: ${reason}`);
  }
};

/**
 * What Endo's archiver is to be given: parsers and transforms that look into a cache first.
 *
 * @param {ReturnType<typeof import('./module-cache.mjs').openCache>} cache
 * @param {(location: string, known: { record?: object, notes?: object[] }) => void} onModule is told of each module
 */
export const makeModuleKit = (cache, onModule) => {
  // What the archiver brings from a transform to a parser is the bytes.
  const misses = new WeakMap(); // bytes -> { key, notes }

  const transformer = language => async (source, _specifier, location) => {
    const key = cache.key(language, source);
    const hit = key && cache.get(key);
    if (hit) {
      onModule(location, { notes: hit.notes });
      return { bytes: hit.bytes, parser: cachedName(language) };
    }
    const isTyped = language.endsWith('ts');
    const made = isTyped ? { bytes: source } : await transform(language, source);
    misses.set(made.bytes, { key, notes: made.notes });
    return { bytes: made.bytes, parser: language };
  };

  const parser = (language, load, heuristicImports) => ({
    parse: async (bytes, specifier, location, packageLocation, options) => {
      const { parse } = (await load())[language];
      // Source maps are for nobody, and dear.
      const plain = { ...options, sourceMapHook: undefined };
      const parsed = await naming(language, location, () => parse(bytes, specifier, location, packageLocation, plain));
      const miss = misses.get(bytes);
      if (miss) {
        const notes = miss.notes ?? (await typeScriptNotes(language, parsed, bytes));
        onModule(location, { notes, record: parsed.record });
        if (miss.key) cache.put(miss.key, { notes, bytes: parsed.bytes });
      }
      return parsed;
    },
    heuristicImports,
    synchronous: false,
  });

  const moduleTransforms = {};
  const parserForLanguage = {};
  for (const language of Object.keys(PREPARED)) {
    const isCommonJs = language.startsWith('c');
    moduleTransforms[language] = transformer(language);
    const load = language.endsWith('ts') ? loadTypeScriptParsers : loadParsers;
    parserForLanguage[language] = parser(language, load, isCommonJs);
    parserForLanguage[cachedName(language)] = cachedParser(language, isCommonJs, onModule);
  }
  for (const language of ['json', 'text', 'bytes']) {
    parserForLanguage[language] = parser(language, loadPlainParsers, false);
  }
  for (const language of ['pre-mjs-json', 'pre-cjs-json']) {
    parserForLanguage[language] = parser(language, loadParsers, language === 'pre-cjs-json');
  }
  return { moduleTransforms, parserForLanguage };
};
