// Makes what is typed into a shell into something that its vat can evaluate: node shell-lines.mjs
//
// Reads JSON lines from standard input, each {source}, and answers each by a line:
//   {source, names, free, probed}
//                     an expression for a promise of the last statement's value; the names that it declares, that it
//                     uses without declaring them, and that it asks `typeof` of
//   {incomplete}      true: the source may go on on another line
//   {error}           what is wrong with it
//
// Declarations become assignments, so that the names outlive their line. `await` may stand anywhere,
// and so may the wavy dot.
import process from 'node:process';
import readline from 'node:readline';

import { parse } from '@babel/parser';

import { boundNames, withoutWavyDot } from './dialect.mjs';
import { importTraverse } from './endo.mjs';

const traverse = await importTraverse();

/** A top-level statement as a statement of the function that it becomes part of. */
const asStatement = (statement, text, isLast) => {
  const { type, id, kind, declarations, expression } = statement;
  switch (type) {
    case 'VariableDeclaration': {
      if (kind === 'using' || kind === 'await using') {
        throw Error(`${kind} is not for a shell`);
      }
      const assign = ({ id: target, init }) => `(${text(target)} = ${init ? text(init) : 'undefined'});`;
      return declarations.map(assign).join(' ');
    }
    case 'FunctionDeclaration':
    case 'ClassDeclaration':
      return `(${id.name} = ${text(statement)});`;
    case 'ExpressionStatement':
      return isLast ? `return (${text(expression)}\n);` : `${text(expression)}\n;`;
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportDefaultDeclaration':
    case 'ExportAllDeclaration':
      throw Error('import and export are for modules: a shell evaluates statements');
    default:
      return text(statement);
  }
};

/** The names that a top-level statement declares. */
const declared = ({ type, id, declarations }) => {
  switch (type) {
    case 'VariableDeclaration':
      return declarations.flatMap(declaration => boundNames(declaration.id));
    case 'FunctionDeclaration':
    case 'ClassDeclaration':
      return [id.name];
    default:
      return [];
  }
};

/** The names that a program uses without declaring them: those that it asks `typeof` of, and the others. */
const freeNames = ast => {
  const probed = new Set();
  let globals = {};
  traverse(ast, {
    Program: path => {
      globals = path.scope.globals;
    },
    UnaryExpression: ({ node: { operator, argument } }) => {
      if (operator === 'typeof' && argument.type === 'Identifier') probed.add(argument.name);
    },
  });
  const names = Object.keys(globals);
  return { free: names.filter(name => !probed.has(name)), probed: names.filter(name => probed.has(name)) };
};

/** The whole of a text as an expression. */
const translate = original => {
  const source = withoutWavyDot(original);
  const ast = parse(source, { sourceType: 'module', createParenthesizedExpressions: true });
  const { program } = ast;
  const text = ({ start, end }) => source.slice(start, end);
  // A string alone on a line is a value here, not a directive.
  const strings = program.directives.map(directive => {
    return { type: 'ExpressionStatement', expression: directive.value };
  });
  const statements = [...strings, ...program.body];
  // Functions can be called before the line that declares them.
  const isFunction = ({ type }) => type === 'FunctionDeclaration';
  const last = statements[statements.length - 1];
  const written = statements
    .filter(isFunction)
    .concat(statements.filter(statement => !isFunction(statement)))
    .map(statement => asStatement(statement, text, statement === last));
  const names = statements.flatMap(declared);
  const expression = `(async () => {${written.join('\n')}\n})()`;
  return { source: expression, names: [...new Set(names)], ...freeNames(ast) };
};

/** Whether the text might be completed by another line: its end is what the parser did not expect. */
const isUnfinished = ({ message, pos }, source) =>
  /^Unterminated (template|comment)/.test(message) ||
  (/^Unexpected token/.test(message) && pos >= source.trimEnd().length);

/** An error of the parser's without the position, which is of no use in one line. */
const plainMessage = error => error.message.replace(/ \(\d+:\d+\)$/, '');

const answer = source => {
  try {
    return translate(source);
  } catch (error) {
    return isUnfinished(error, source) ? { incomplete: true } : { error: plainMessage(error) };
  }
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line).source))}\n`);
}
