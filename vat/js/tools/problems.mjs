// Errors of the bundler as its user is told them: file, line and column, the line itself, and what helps.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { CAUSES } from './causes.mjs';
import { displayed } from './own-modules.mjs';

/** The most characters of a line that are shown, and how many of them may come before the place. */
const SHOWN = { all: 120, before: 80 };

/** The most files that are searched for an import. */
const MAX_SEARCHED = 1000;

const readText = file => {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
};

/** The line of a place and a caret below it. `column` begins at 0. */
const excerpt = (text, line, column) => {
  const whole = text.split(/\r\n|[\n\r\u2028\u2029]/)[line - 1];
  if (whole === undefined) {
    return '';
  }
  const start = column > SHOWN.before ? column - SHOWN.before : 0;
  const shown = whole.slice(start, start + SHOWN.all);
  const before = shown.slice(0, column - start).replace(/[^\t]/g, ' ');
  const gutter = ' '.repeat(`${line}`.length);
  return `\n  ${line} | ${shown}\n  ${gutter} | ${before}^`;
};

/**
 * A mistake at a place of a file. `column` begins at 0, and what is told begins at 1.
 *
 * @param {string} file
 * @param {string} text
 * @param {{ line: number, column: number }} at
 * @param {string} reason
 */
export const tellPlace = (file, text, { line, column }, reason) =>
  `${displayed(file)}:${line}:${column + 1}: ${reason}${excerpt(text, line, column)}`;

/** An error of the parser's without its position. */
const plainReason = reason => reason.replace(/ \(\d+:\d+\)$/, '');

/**
 * An error of the parser's about a file, with its place if the error has one.
 *
 * @param {string} file
 * @param {string} text
 * @param {Error & { loc?: { line: number, column: number } }} error
 */
export const tellParseError = (file, text, { message, loc }) =>
  loc === undefined ? `${displayed(file)}: ${message}` : tellPlace(file, text, loc, plainReason(message));

/** Where a text has an offset: line from 1, column from 0. */
const placeAt = (text, offset) => {
  const lines = text.slice(0, offset).split('\n');
  return { line: lines.length, column: lines[lines.length - 1].length };
};

/**
 * Where the vat's own modules import a module, as the beginning of a sentence. Empty if that is not found.
 *
 * @param {string} source the vat's source file
 * @param {(specifier: string, resolved: string) => boolean} isIt
 */
const importSite = (source, isIt) => {
  const files = new Set([source]);
  for (const file of files) {
    const text = readText(file) ?? '';
    for (const match of text.matchAll(/\b(?:from|import)\s*\(?\s*(['"])([^'"\n]+)\1/g)) {
      const [whole, , specifier] = match;
      const resolved = path.resolve(path.dirname(file), specifier);
      if (isIt(specifier, resolved)) {
        const { line, column } = placeAt(text, match.index + whole.indexOf(specifier) - 1);
        return `${displayed(file)}:${line}:${column + 1}: `;
      }
      if (specifier.startsWith('.') && files.size < MAX_SEARCHED && fs.existsSync(resolved)) files.add(resolved);
    }
  }
  return '';
};

const tellSyntax = (url, reason, line, column) => {
  const file = fileURLToPath(url);
  return tellPlace(file, readText(file) ?? '', { line: Number(line), column: Number(column) }, reason);
};

/** What a failure is and what helps, or undefined if nothing is known about it. */
const failure = (part, source) => {
  const syntax = /^Error transforming "[^"]*" source in "(file:[^"]*)": (.*) \((\d+):(\d+)\)$/s.exec(part);
  const place = syntax ? tellSyntax(...syntax.slice(1)) : undefined;
  const cause = CAUSES.map(([pattern, explain]) => [pattern.exec(part), explain])
    .filter(([match]) => match)
    .map(([match, explain]) => explain(match, source, importSite))[0];
  const lines = [place, cause].filter(line => line !== undefined);
  return lines.length > 0 ? lines.join('\n') : undefined;
};

/** Each failure that a message of the bundler is about. */
const failures = (message, source) => {
  const told = [];
  const starts = [...message.matchAll(/Error transforming "|Cannot parse module |Cannot find (?:external|file)/g)];
  starts.forEach(({ index }, nth) => {
    const part = message.slice(index, starts[nth + 1]?.index).replace(/, $/, '');
    told.push(failure(part, source) ?? part);
  });
  return told;
};

/**
 * What a message of the bundler means, with what helps. The message itself if nothing is known about it.
 *
 * @param {string} message
 * @param {string} source the vat's source file
 */
export const tellProblem = (message, source) => {
  const told = [...new Set(failures(message, source))];
  return told.length > 0 ? told.join('\n') : message;
};
