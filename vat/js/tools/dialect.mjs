// What sources of SwingSet's first years need before a vat of today can run them: the wavy dot, and
// vats whose default export is `setup(syscall, state, helpers)`.
import * as wavyParser from '@agoric/babel-parser';
import { parse } from '@babel/parser';

/** What the parser that knows the wavy dot must be told to read; the one of today reads it anyway. */
const SYNTAX = [
  'eventualSend',
  'bigInt',
  'classPrivateMethods',
  'classPrivateProperties',
  'classProperties',
  'dynamicImport',
  'importMeta',
  'logicalAssignment',
  'nullishCoalescingOperator',
  'numericSeparator',
  'optionalCatchBinding',
  'optionalChaining',
  'topLevelAwait',
];

/** Calls `visit` with a syntax tree's nodes, an outer one before those in it. */
const visitNodes = (node, visit) => {
  if (Array.isArray(node)) {
    node.forEach(item => visitNodes(item, visit));
  } else if (typeof node?.type === 'string') {
    visit(node);
    for (const [key, value] of Object.entries(node)) {
      if (key !== 'loc' && typeof value === 'object') {
        visitNodes(value, visit);
      }
    }
  }
};

/**
 * The changes that make each wavy dot a call of HandledPromise: `{start, end, text}`, in the order in
 * which they apply where they begin at the same place.
 */
const wavyEdits = ({ program, tokens }) => {
  const edits = [];
  const replace = (start, end, text) => edits.push({ start, end, text });
  const tokenFrom = (position, label) =>
    tokens.find(({ start, type }) => start >= position && type.label === label);
  /** `x~.` becomes `HandledPromise.METHOD(x, `; the arguments' parentheses become brackets. */
  const apply = (method, { start, object, callee }, end, open) => {
    const dot = tokenFrom((object ?? callee).end, '~.');
    replace(start, start, `HandledPromise.${method}(`);
    replace(dot.start, dot.end, ', ');
    if (open) {
      replace(open.start, open.end, object ? ', [' : '[');
      replace(end - 1, end, '])');
    } else {
      replace(end, end, ')');
    }
  };
  /** A property's name as a value. */
  const name = ({ object, property, computed, end }) => {
    if (computed) {
      const open = tokenFrom(tokenFrom(object.end, '~.').end, '[');
      replace(open.start, open.end, '');
      replace(end - 1, end, '');
    } else {
      replace(property.start, property.end, JSON.stringify(property.name));
    }
  };
  const called = new Set();
  visitNodes(program, node => {
    const { type, callee, argument, operator } = node;
    if (type === 'EventualCallExpression') {
      apply('applyFunction', node, node.end, tokenFrom(tokenFrom(callee.end, '~.').end, '('));
    } else if (type === 'CallExpression' && callee.type === 'EventualMemberExpression') {
      called.add(callee);
      apply('applyMethod', callee, node.end, tokenFrom(callee.end, '('));
      name(callee);
    } else if (type === 'EventualMemberExpression' && !called.has(node)) {
      apply('get', node, node.end);
      name(node);
    } else if (operator === 'delete' && argument.type.startsWith('Eventual')) {
      throw Error(`delete of what is behind a wavy dot (line ${node.loc.start.line})`);
    }
  });
  return edits;
};

/**
 * The source with `x~.m(a)` written as `HandledPromise.applyMethod(x, "m", [a])`; the rest stays as it
 * is, and every line where it is. A source without the two characters is not even parsed.
 *
 * @param {string} source
 */
export const withoutWavyDot = source => {
  if (!source.includes('~.')) {
    return source;
  }
  const options = { sourceType: 'module', plugins: SYNTAX, tokens: true };
  const edits = wavyEdits(wavyParser.parse(source, options));
  // Sorting is stable. What ends at a place comes before what begins there.
  const sides = edits.map(edit => ({ ...edit, side: edit.end > edit.start || edit.text !== ')' }));
  sides.sort((a, b) => a.start - b.start || Number(a.side) - Number(b.side));
  let text = '';
  let done = 0;
  for (const edit of sides) {
    text += source.slice(done, edit.start) + edit.text;
    done = edit.end;
  }
  return text + source.slice(done);
};

/** The names that a declaration's pattern binds. */
export const boundNames = pattern => {
  switch (pattern?.type) {
    case 'Identifier':
      return [pattern.name];
    case 'ObjectPattern':
      return pattern.properties.flatMap(p => boundNames(p.argument ?? p.value));
    case 'ArrayPattern':
      return pattern.elements.flatMap(boundNames);
    case 'AssignmentPattern':
      return boundNames(pattern.left);
    case 'RestElement':
      return boundNames(pattern.argument);
    default:
      return [];
  }
};

/** The names that a statement at the top of a module declares there. */
const declaredNames = statement => {
  const declaration = statement.declaration ?? statement;
  switch (declaration.type) {
    case 'VariableDeclaration':
      return declaration.declarations.flatMap(({ id }) => boundNames(id));
    case 'FunctionDeclaration':
    case 'ClassDeclaration':
      return boundNames(declaration.id);
    case 'ImportDeclaration':
      return statement.specifiers.map(({ local }) => local.name);
    default:
      return [];
  }
};

const exportedName = ({ exported }) => exported.name ?? exported.value;

/** The names that a statement at the top of a module exports. */
const exportedNames = statement => {
  switch (statement.type) {
    case 'ExportDefaultDeclaration':
      return ['default'];
    case 'ExportNamedDeclaration':
      return statement.declaration
        ? declaredNames(statement)
        : statement.specifiers.map(exportedName);
    default:
      return [];
  }
};

/**
 * What a module declares and exports at its top.
 *
 * @param {string} source
 */
export const outline = source => {
  const { body } = parse(source, { sourceType: 'module' }).program;
  return {
    declares: new Set(body.flatMap(declaredNames)),
    exports: new Set(body.flatMap(exportedNames)),
    reexports: body.some(({ type }) => type === 'ExportAllDeclaration'),
  };
};
