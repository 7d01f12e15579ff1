// Modules as a bundle holds them, kept on disk by what they were made from.
//
// An entry's key is a hash of the tools' versions, the language and the source. An entry that is damaged is as good as none.
// Entries are written under another name and renamed, so that bundlers may run side by side.
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';

/** What npm installed, with versions and hashes. */
const INSTALLED = new URL('../node_modules/.package-lock.json', import.meta.url);

/** Scripts that decide what an entry holds. */
const SCRIPTS = ['endo.mjs', 'imports.mjs', 'module-cache.mjs', 'module-kit.mjs', 'vat-globals.mjs'];

/** The most bytes that one of the 16 folders holds: 128 MiB in all. */
const FOLDER_BYTES = 8 * 2 ** 20;

/** The most bytes of an entry. */
const ENTRY_BYTES = FOLDER_BYTES / 4;

/** The age in milliseconds from which on a use renews an entry's time. */
const RENEWED_AFTER = 60 * 60 * 1000;

/** The age in milliseconds of a file that a bundler began to write and never renamed. */
const ABANDONED_AFTER = 60 * 60 * 1000;

const sha256 = (...parts) => {
  const hash = crypto.createHash('sha256');
  parts.forEach(part => hash.update(part));
  return hash.digest('hex');
};

const named = name => {
  const place = process.env[name];
  return place && path.isAbsolute(place) ? place : undefined;
};

/** Where the cache is: beside the compiled engines, as `capstan` finds them. Users without a home have none. */
const cacheFolder = () => {
  const user = () => path.join(named('XDG_CACHE_HOME') ?? path.join(os.homedir(), '.cache'), 'capstan');
  try {
    return path.join(named('CAPSTAN_CACHE') ?? user(), 'bundler');
  } catch {
    return undefined;
  }
};

/** A hash of all tools, or undefined if it is not known which are installed. */
const toolsHash = () => {
  try {
    const scripts = SCRIPTS.map(name => fs.readFileSync(new URL(name, import.meta.url)));
    const sizes = scripts.map(({ length }) => `${length} `);
    return sha256(...sizes, ...scripts, fs.readFileSync(INSTALLED));
  } catch {
    return undefined;
  }
};

/** An entry as it is written: a hash of its key, notes and module, a line of notes, the module. */
const encode = (key, { notes, bytes }) => {
  const line = `${JSON.stringify(notes)}\n`;
  return Buffer.concat([Buffer.from(`${sha256(key, line, bytes)}\n${line}`), bytes]);
};

/** The entry that was written, or undefined if it is not whole. */
const decode = (key, written) => {
  const first = written.indexOf(10);
  const second = written.indexOf(10, first + 1);
  if (first !== 64 || second < 0 || written.toString('latin1', 0, first) !== sha256(key, written.subarray(first + 1))) {
    return undefined;
  }
  return { notes: JSON.parse(written.toString('utf8', first + 1, second)), bytes: written.subarray(second + 1) };
};

/** Reads a file of a bounded size, and renews its time. */
const readBounded = file => {
  const descriptor = fs.openSync(file, 'r');
  try {
    const { size, mtimeMs } = fs.fstatSync(descriptor);
    const now = Date.now();
    if (now - mtimeMs > RENEWED_AFTER) {
      fs.utimesSync(file, now / 1000, now / 1000);
    }
    return size <= 2 * ENTRY_BYTES ? fs.readFileSync(descriptor) : undefined;
  } finally {
    fs.closeSync(descriptor);
  }
};

/** Removes a file if that is possible. */
const remove = file => {
  try {
    fs.rmSync(file, { force: true });
  } catch {
    // It costs room until another bundler removes it.
  }
};

/** Removes the oldest files of a folder until the rest is within its bound. */
const trim = folder => {
  const oldest = Date.now() - ABANDONED_AFTER;
  const files = [];
  for (const name of fs.readdirSync(folder)) {
    const file = path.join(folder, name);
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    const isAbandoned = name.endsWith('.new') && stat?.mtimeMs < oldest;
    if (isAbandoned) {
      remove(file);
    } else if (stat?.isFile()) {
      files.push({ file, size: stat.size, time: stat.mtimeMs });
    }
  }
  files.sort((a, b) => b.time - a.time);
  let bytes = 0;
  for (const { file, size } of files) {
    bytes += size;
    if (bytes > FOLDER_BYTES) {
      remove(file);
    }
  }
};

/** What serves in place of a cache where there can be none. */
const NO_CACHE = { key: () => undefined, get: () => undefined, put: () => {}, trim: () => {} };

/**
 * Opens the user's cache. Whatever is wrong with it costs only time.
 *
 * @param {string} [root]
 */
export const openCache = (root = cacheFolder()) => {
  const tools = toolsHash();
  if (tools === undefined || root === undefined) {
    return NO_CACHE;
  }
  const written = new Set();
  const folderOf = key => path.join(root, key[0]);
  const key = (language, source) => sha256(`${tools} ${language} `, source);
  const get = name => {
    try {
      const found = readBounded(path.join(folderOf(name), name));
      return found && decode(name, found);
    } catch {
      return undefined;
    }
  };
  const put = (name, entry) => {
    if (entry.bytes.length > ENTRY_BYTES) {
      return;
    }
    const folder = folderOf(name);
    const fresh = path.join(folder, `${crypto.randomUUID()}.new`);
    try {
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
      fs.writeFileSync(fresh, encode(name, entry), { mode: 0o600, flag: 'wx' });
      fs.renameSync(fresh, path.join(folder, name));
      written.add(folder);
    } catch {
      remove(fresh);
    }
  };
  /** Keeps the bound where something was written. */
  const trimWritten = () => {
    for (const folder of written) {
      try {
        trim(folder);
      } catch {
        // Another bundler is at it.
      }
    }
    written.clear();
  };
  return { key, get, put, trim: trimWritten };
};
