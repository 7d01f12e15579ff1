// A look-ahead that tells a division from a regular expression. quickjs.c includes it before
// js_parse_skip_parens_token.
//
// It runs over tokens to a closing bracket, without parsing. A `/` divides if an operand ends before it. To know that,
// the look-ahead keeps track of what each closing bracket closes, and of where words are names.
#pragma once

// The construct that an open bracket belongs to.
enum {
  SKIP_OPERAND = 1,   // it closes an operand: an object, a call, a function's or class's body in an expression
  SKIP_STATEMENT,     // it closes a block, or the head of a statement
  SKIP_PARAMETERS,    // the parameters of a function in an expression, whose body is an operand
};

// The nesting that js_parse_skip_parens_token follows.
enum { SKIP_LEVELS = 256 };

typedef struct {
  bool operand;        // an operand ends here, so that `/` divides
  bool has_async;      // an async function was seen: `await` is an operator
  bool has_generator;  // a generator was seen: `yield` is an operator
  bool after_async;    // the last token is `async`
  bool async_begins;   // and began a statement
  bool in_block;       // the innermost open bracket is a block's
  int last;            // the last token; TOK_IDENT for a property's name, TOK_FOR for `for await`
  int closed;          // what the last `)` belonged to
  int parameters;      // what the next `(` belongs to if a function's name or `*` may stand before it, else 0
  uint8_t kind[SKIP_LEVELS];        // of the open bracket at this level
  uint8_t class_body[SKIP_LEVELS + 1];  // what the next `{` at this level belongs to if it is a class's, else 0
} JSSkip;

static bool skip_is_name(int token) {
  return token == TOK_IDENT || (token >= TOK_FIRST_KEYWORD && token <= TOK_LAST_KEYWORD);
}

// Returns true if a statement may begin at the next token: after the end of another, also by a line terminator.
static bool skip_begins_statement(const JSSkip *skip) {
  switch (skip->last) {
  case ';': case '}': case ')': case TOK_ELSE: case TOK_DO:
    return true;
  case '{': case ':':
    return skip->in_block;
  default:
    return skip->operand;
  }
}

// Returns the construct that a `{` belongs to. `outer` is the level in which it stands.
static int skip_brace(JSSkip *skip, size_t outer, bool begins) {
  int class_body = skip->class_body[outer];
  skip->class_body[outer] = 0;
  if (class_body) return class_body;
  switch (skip->last) {
  case ')':
    return skip->closed == SKIP_PARAMETERS ? SKIP_OPERAND : SKIP_STATEMENT;
  case TOK_ARROW: case TOK_TRY: case TOK_CATCH: case TOK_FINALLY: case TOK_STATIC:
    return SKIP_STATEMENT;
  default:
    return begins ? SKIP_STATEMENT : SKIP_OPERAND;
  }
}

// Returns the construct that a `(` belongs to.
static int skip_parenthesis(const JSSkip *skip) {
  if (skip->parameters) return skip->parameters;
  switch (skip->last) {
  case TOK_IF: case TOK_WHILE: case TOK_FOR: case TOK_WITH:
    return SKIP_STATEMENT;
  default:
    return SKIP_OPERAND;
  }
}

// Returns true if an operand ends with this identifier.
static bool skip_identifier(JSParseState *s, JSSkip *skip, char innermost) {
  if (token_is_pseudo_keyword(s, JS_ATOM_of)) return !(skip->operand && innermost == '(');
  if (token_is_pseudo_keyword(s, JS_ATOM_await)) return !skip->has_async;
  if (token_is_pseudo_keyword(s, JS_ATOM_yield)) return !skip->has_generator;
  return true;
}

// Takes the current token, which an opening bracket has put at `state[level - 1]` and a closing one has taken
// from `state[level]`.
static void skip_token(JSParseState *s, JSSkip *skip, const char *state, size_t level) {
  int token = s->token.val;
  bool begins = skip_begins_statement(skip), operand;
  bool after_async = token_is_pseudo_keyword(s, JS_ATOM_async);
  int parameters = skip_is_name(token) ? skip->parameters : 0;
  if (skip_is_name(token) && (skip->last == '.' || skip->last == TOK_QUESTION_MARK_DOT)) {
    token = TOK_IDENT;
    after_async = false;
    operand = true;
  } else {
    switch (token) {
    case '(': case '[': case '{':
      skip->kind[level - 1] = token == '{'   ? skip_brace(skip, level - 1, begins)
                              : token == '(' ? skip_parenthesis(skip)
                                             : SKIP_OPERAND;
      skip->class_body[level] = 0;
      operand = false;
      break;
    case ')':
      skip->closed = skip->kind[level];
      operand = skip->closed != SKIP_STATEMENT;
      break;
    case '}':
      operand = skip->kind[level] != SKIP_STATEMENT;
      break;
    case TOK_TEMPLATE:
      operand = s->token.u.str.sep == '`';
      if (!operand) {
        skip->kind[level - 1] = SKIP_OPERAND;
        skip->class_body[level] = 0;
      }
      break;
    case TOK_FUNCTION:
      parameters = (skip->after_async ? skip->async_begins : begins) ? 0 : SKIP_PARAMETERS;
      operand = false;
      break;
    case TOK_CLASS:
      skip->class_body[level] = begins ? SKIP_STATEMENT : SKIP_OPERAND;
      operand = false;
      break;
    case '*':
      if (!skip->operand || skip->after_async) skip->has_generator = true;
      parameters = skip->parameters;
      operand = false;
      break;
    case TOK_IDENT:
      operand = skip_identifier(s, skip, state[level - 1]);
      break;
    default:
      operand = !is_regexp_allowed(token);
    }
    if (skip->last == TOK_FOR && (token == TOK_AWAIT || token_is_pseudo_keyword(s, JS_ATOM_await))) token = TOK_FOR;
  }
  skip->operand = operand;
  skip->has_async |= after_async;
  skip->after_async = after_async;
  skip->async_begins = begins;
  skip->in_block = state[level - 1] == '{' && skip->kind[level - 1] == SKIP_STATEMENT;
  skip->last = token;
  skip->parameters = parameters;
}
