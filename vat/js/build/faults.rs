//! Corrections of QuickJS-ng's sources where they deviate from ECMA-262. The tests
//! `tests/numbers.rs`, `tests/scopes.rs`, `tests/syntax.rs` and `tests/programs.rs` contain the
//! right results.

use crate::seams::Seam;

/// Returns the corrections of `quickjs.c`.
pub(crate) fn quickjs() -> impl Iterator<Item = Seam> {
    BIGINT_COMPARE
        .into_iter()
        .chain(ACOSH)
        .chain(PROXY_DEFINE)
        .chain(LOOK_AHEAD)
        .chain(PARAMETERS)
        .chain(CONTINUE)
        .chain(ITERATORS)
}

/// Comparison of a BigInt with a number of the same sign and another exponent. The larger exponent
/// has the larger magnitude, which is the smaller value if both are negative.
const BIGINT_COMPARE: [Seam; 1] = [(
    "            if (f < e)\n                return -1;\n            else\n                return 1;",
    "            return (f < e) != a_sign ? -1 : 1;",
)];

/// Domain of `acosh`. The C library returns a number for many arguments far below 1, where rounding
/// makes the logarithm's argument positive. No other function of `Math` has this defect.
const ACOSH: [Seam; 1] = [("return acosh(d);", "return d < 1 ? NAN : acosh(d);")];

/// Check of a proxy whose `defineProperty` trap accepts a property that is not configurable. Only a
/// descriptor with `writable: false` contradicts a writable target. One without `writable`, as an
/// assignment has, does not.
const PROXY_DEFINE: [Seam; 1] = [(
    "JS_PROP_WRITABLE && !(flags & JS_PROP_WRITABLE)) {",
    "JS_PROP_WRITABLE && (flags & (JS_PROP_HAS_WRITABLE | JS_PROP_WRITABLE)) == JS_PROP_HAS_WRITABLE) {",
)];

/// Look-ahead for arrow functions and destructuring patterns.
///
/// It mistook a `/` for the start of a regular expression after templates, after properties named
/// like keywords, and after every `of`. It mistook one for a division after the head of a statement
/// and after a block. `worker/lookahead.h` tracks the necessary context.
const LOOK_AHEAD: [Seam; 5] = [
    (
        "#define SKIP_HAS_SEMI       (1 << 0)",
        "#include \"lookahead.h\"\n#define SKIP_HAS_SEMI       (1 << 0)",
    ),
    (
        "char state[256];\n    size_t level = 0;\n    JSParsePos pos;\n    int last_tok, tok = TOK_EOF;",
        "char state[SKIP_LEVELS];\n    size_t level = 0;\n    JSParsePos pos;\n    int tok = TOK_EOF;\n    \
         JSSkip skip = { 0 };",
    ),
    ("    last_tok = 0;\n", ""),
    ("            if (is_regexp_allowed(last_tok)) {", "            if (!skip.operand) {"),
    (
        "        /* last_tok is only used to recognize regexps */\n        \
         if (s->token.val == TOK_IDENT &&\n            \
         (token_is_pseudo_keyword(s, JS_ATOM_of) ||\n             \
         token_is_pseudo_keyword(s, JS_ATOM_yield))) {\n            \
         last_tok = TOK_OF;\n        \
         } else {\n            \
         last_tok = s->token.val;\n        \
         }",
        "        skip_token(s, &skip, state, level);",
    ),
];

/// Scope of parameters with default values.
///
/// The body had copies of the arguments, without the assignments of default values. Functions in
/// default values did not see assignments in the body. ECMA-262 gives the body a variable of its
/// own only where it declares one of that name.
const PARAMETERS: [Seam; 7] = [
    (
        "    uint8_t var_kind : 4; /* see JSVarKindEnum */\n    /* if is_captured",
        "    uint8_t var_kind : 4; /* see JSVarKindEnum */\n    \
         uint8_t is_redeclared : 1; /* a parameter's name that the body declares too */\n    \
         /* if is_captured",
    ),
    (
        "            idx = find_var(ctx, fd, name);\n            if (idx >= 0)\n                break;",
        "            idx = find_var(ctx, fd, name);\n            if (idx >= 0) {\n                \
         if (idx & ARGUMENT_VAR_OFFSET)\n                    \
         fd->args[idx - ARGUMENT_VAR_OFFSET].is_redeclared = true;\n                \
         else\n                    fd->vars[idx].is_redeclared = true;\n                break;\n            }",
    ),
    (
        "            if (find_var(ctx, fd, vd->var_name) < 0) {\n                \
         if (add_var(ctx, fd, vd->var_name) < 0)\n                    goto fail;\n",
        "            {\n                \
         if (find_var(ctx, fd, vd->var_name) < 0 && add_var(ctx, fd, vd->var_name) < 0)\n                    \
         goto fail;\n",
    ),
    (
        "        emit_op(s, OP_leave_scope);\n        emit_u16(s, fd->scope_level);\n\n        \
         /* set the variable scope as the current scope */",
        "        /* and it is not left, since the body may share its variables */\n\n        \
         /* set the variable scope as the current scope */",
    ),
    (
        "static int resolve_scope_var(JSContext *ctx, JSFunctionDef *s,\n                             \
         JSAtom var_name, int scope_level, int op,\n                             DynBuf *bc, uint8_t *bc_buf,\n                             \
         LabelSlot *ls, int pos_next)\n{",
        "/* The parameter that a name in the body means, for `idx` that was found for it. */\n\
         static int find_parameter(JSFunctionDef *fd, int idx, JSAtom name)\n{\n    int i;\n    \
         const JSVarDef *found;\n    \
         if (idx < 0 || !fd->has_parameter_expressions || name == JS_ATOM_arguments)\n        return idx;\n    \
         found = idx & ARGUMENT_VAR_OFFSET ? &fd->args[idx - ARGUMENT_VAR_OFFSET] : &fd->vars[idx];\n    \
         if (found->is_redeclared || found->scope_level != 0)\n        return idx;\n    \
         for (i = fd->scopes[ARG_SCOPE_INDEX].first; i >= 0; i = fd->vars[i].scope_next) {\n        \
         if (fd->vars[i].var_name == name)\n            return i;\n    }\n    return idx;\n}\n\n\
         static int resolve_scope_var(JSContext *ctx, JSFunctionDef *s,\n                             \
         JSAtom var_name, int scope_level, int op,\n                             DynBuf *bc, uint8_t *bc_buf,\n                             \
         LabelSlot *ls, int pos_next)\n{",
    ),
    (
        "    if (var_idx >= 0) {\n        if ((op == OP_scope_put_var || op == OP_scope_make_ref) &&\n            \
         !(var_idx & ARGUMENT_VAR_OFFSET) &&",
        "    var_idx = find_parameter(s, var_idx, var_name);\n    if (var_idx >= 0) {\n        \
         if ((op == OP_scope_put_var || op == OP_scope_make_ref) &&\n            \
         !(var_idx & ARGUMENT_VAR_OFFSET) &&",
    ),
    (
        "    if (var_idx >= 0) {\n        /* find the corresponding closure variable */",
        "    var_idx = find_parameter(fd, var_idx, var_name);\n    if (var_idx >= 0) {\n        \
         /* find the corresponding closure variable */",
    ),
];

/// Scope end at `continue` in a loop `for (let …;…;…)`. It jumped past that end, so that closures
/// of two successive iterations shared their variables.
const CONTINUE: [Seam; 3] = [
    (
        "                             label_name, label_break, label_cont, 0);\n            \
         if (s->cur_func->scopes[for_scope_level].has_using) {",
        "                             label_name, label_break, label_cont, 0);\n            \
         const int label_next = new_label(s);\n            \
         break_entry.label_cont = label_next;\n            \
         if (s->cur_func->scopes[for_scope_level].has_using) {",
    ),
    (
        "                break_entry.label_cont = label_cont = label_test;\n                \
         pos_cont = 0;",
        "                label_cont = label_test;\n                pos_cont = 0;",
    ),
    ("            /* XXX: check continue case */\n", "            emit_label(s, label_next);\n"),
];

/// Iterators whose `next` throws: they get no call of `return`. This concerns spreads, the
/// constructors of maps, sets and `AggregateError`, and `from` of arrays and typed arrays.
const ITERATORS: [Seam; 5] = [
    (
        "        if (js_for_of_start(ctx, &stack[1], false))\n            goto exception;\n        \
         for (k = 0;; k++) {\n            v = JS_IteratorNext(ctx, stack[0], stack[1], 0, NULL, &done);\n            \
         if (JS_IsException(v))\n                goto exception_close;",
        "        if (js_for_of_start(ctx, &stack[1], false))\n            goto exception;\n        \
         for (k = 0;; k++) {\n            v = JS_IteratorNext(ctx, stack[0], stack[1], 0, NULL, &done);\n            \
         if (JS_IsException(v))\n                goto exception;",
    ),
    (
        "        if (JS_IsException(stack[1]))\n            goto exception_close;\n        \
         for (k = 0;; k++) {\n            v = JS_IteratorNext(ctx, stack[0], stack[1], 0, NULL, &done);\n            \
         if (JS_IsException(v))\n                goto exception_close;",
        "        if (JS_IsException(stack[1]))\n            goto exception;\n        \
         for (k = 0;; k++) {\n            v = JS_IteratorNext(ctx, stack[0], stack[1], 0, NULL, &done);\n            \
         if (JS_IsException(v))\n                goto exception;",
    ),
    (
        "        v = JS_IteratorNext(ctx, iter, next_method, 0, NULL, &done);\n        \
         if (JS_IsException(v))\n            goto exception_close;",
        "        v = JS_IteratorNext(ctx, iter, next_method, 0, NULL, &done);\n        \
         if (JS_IsException(v))\n            goto exception;",
    ),
    (
        "            if (JS_IsException(value))\n                goto exception;\n            \
         if (done) {\n                /* value is JS_UNDEFINED */",
        "            if (JS_IsException(value)) {\n                \
         JS_FreeValue(ctx, enumobj);\n                JS_FreeValue(ctx, method);\n                \
         return -1;\n            }\n            if (done) {\n                /* value is JS_UNDEFINED */",
    ),
    (
        "        if (JS_IsException(next_method))\n            goto fail;\n\n        for(;;) {\n            \
         item = JS_IteratorNext(ctx, iter, next_method, 0, NULL, &done);\n            \
         if (JS_IsException(item))\n                goto fail;\n            \
         if (done)\n                break;\n            if (is_set) {",
        "        if (JS_IsException(next_method))\n            goto fail_next;\n\n        for(;;) {\n            \
         item = JS_IteratorNext(ctx, iter, next_method, 0, NULL, &done);\n            \
         if (JS_IsException(item)) {\n            fail_next:\n                \
         JS_FreeValue(ctx, iter);\n                iter = JS_UNDEFINED;\n                goto fail;\n            }\n            \
         if (done)\n                break;\n            if (is_set) {",
    ),
];

/// Shortest digits of a power of two, in `dtoa.c`. The interval that rounds to it is half as wide
/// below as above. So the nearest number with few digits may lie below it and outside, while the
/// next one above lies inside.
pub(crate) const DTOA: [Seam; 4] = [
    (
        "            /* mant_max always fits on 64 bits */",
        "            bool has_tried_next = false;\n            uint64_t next;\n            int next_P;\n            \
         /* mant_max always fits on 64 bits */",
    ),
    (
        "            /* remove useless trailing zero digits */",
        "            next = mant + 1;\n            next_P = P;\n        strip_zeros:\n            \
         /* remove useless trailing zero digits */",
    ),
    (
        "            /* garanteed to work for P = P_max */",
        "            if (P == 0) { /* the next one had a digit more */\n                P = 1;\n                \
         E++;\n            }\n            /* garanteed to work for P = P_max */",
    ),
    (
        "                P--; /* try lower exponent */\n            } else {",
        "                P--; /* try lower exponent */\n            \
         } else if (m == (uint64_t)1 << 52 && !has_tried_next) {\n                \
         has_tried_next = true;\n                mant = next;\n                P = next_P;\n                \
         goto strip_zeros;\n            } else {",
    ),
];

/// Duplicate group names, in `libregexp.c`. Groups may share a name if no two of them can take part
/// in one match, because they lie in different alternatives of one disjunction. While an
/// alternative is parsed, the names of the disjunction's other alternatives are hidden. They
/// reappear at its end. The second of two bytes after a name marks it as hidden.
///
/// A reference in a lookbehind precedes groups that are matched before it. It refers to all groups
/// of the name, not only to those on its left. The search for them skipped the character after a
/// name, which may open the next group.
pub(crate) const REGEXP: [Seam; 6] = [
    (
        "                        if (re_parse_group_name(name, sizeof(name), &p) == 0) {",
        "                        if (re_parse_group_name(name, sizeof(name), &p) == 0) {\n                            p--;",
    ),
    (
        "static int re_parse_disjunction(REParseState *s, bool is_backward_dir)\n{\n    int start, len, pos;\n",
        "static void re_hide_names(REParseState *s, size_t start, bool is_hidden)\n{\n    \
         size_t pos, len;\n    \
         for (pos = start; pos < s->group_names.size; pos += len + LRE_GROUP_NAME_TRAILER_LEN) {\n        \
         len = strlen((char *)s->group_names.buf + pos);\n        \
         s->group_names.buf[pos + len + 1] = is_hidden;\n    }\n}\n\n\
         static int re_parse_disjunction(REParseState *s, bool is_backward_dir)\n{\n    int start, len, pos;\n    \
         const size_t first_name = s->group_names.size;\n    size_t first_of_alternative = first_name;\n",
    ),
    (
        "        if (re_has_named_captures(s) && s->group_name_scope == GROUP_NAME_SCOPE_MAX)\n            \
         return re_parse_error(s, \"too many named groups\");\n\n        s->group_name_scope++;\n",
        "        re_hide_names(s, first_of_alternative, true);\n        \
         first_of_alternative = s->group_names.size;\n",
    ),
    (
        "        put_u32(s->byte_code.buf + pos, len);\n    }\n    return 0;\n}\n\n/* Allocate the registers",
        "        put_u32(s->byte_code.buf + pos, len);\n    }\n    \
         if (first_of_alternative != first_name)\n        re_hide_names(s, first_name, false);\n    \
         return 0;\n}\n\n/* Allocate the registers",
    ),
    (
        "is_duplicate_group_name(s, s->u.tmp_buf, s->group_name_scope)",
        "is_duplicate_group_name(s, s->u.tmp_buf, false)",
    ),
    (
        "                n = find_group_name(s, s->u.tmp_buf, false);",
        "                n = is_backward_dir ? 0 : find_group_name(s, s->u.tmp_buf, false);",
    ),
];

/// Classes with strings (flag `v`) in a lookbehind, in `libregexp.c`. Each string is matched from
/// its end and steps back by its own length. They were matched forwards, and all stepped back by
/// one.
pub(crate) const REGEXP_STRINGS: [Seam; 10] = [
    (
        "static int re_emit_string_list(REParseState *s, const REStringList *sl)\n{",
        "static int re_emit_string_list(REParseState *s, const REStringList *sl, bool is_backward)\n{",
    ),
    (
        "        if (re_emit_range(s, &sl->cr))\n            return -1;\n    } else {",
        "        if (is_backward)\n            re_emit_op(s, REOP_prev);\n        \
         if (re_emit_range(s, &sl->cr))\n            return -1;\n        \
         if (is_backward)\n            re_emit_op(s, REOP_prev);\n    } else {",
    ),
    (
        "                re_emit_char(s, p->buf[j]);",
        "                if (is_backward)\n                    re_emit_op(s, REOP_prev);\n                \
         re_emit_char(s, p->buf[is_backward ? p->len - 1 - j : j]);\n                \
         if (is_backward)\n                    re_emit_op(s, REOP_prev);",
    ),
    (
        "            if (re_emit_range(s, &sl->cr))\n                goto fail;",
        "            if (is_backward)\n                re_emit_op(s, REOP_prev);\n            \
         if (re_emit_range(s, &sl->cr))\n                goto fail;\n            \
         if (is_backward)\n                re_emit_op(s, REOP_prev);",
    ),
    (
        "static int re_parse_char_class(REParseState *s, const uint8_t **pp)\n{",
        "static int re_parse_char_class(REParseState *s, const uint8_t **pp, bool is_backward)\n{",
    ),
    (
        "    if (re_emit_string_list(s, cr))\n        goto fail;",
        "    if (re_emit_string_list(s, cr, is_backward))\n        goto fail;",
    ),
    (
        "        if (is_backward_dir)\n            re_emit_op(s, REOP_prev);\n        \
         if (re_parse_char_class(s, &p))\n            return -1;\n        \
         if (is_backward_dir)\n            re_emit_op(s, REOP_prev);\n",
        "        if (re_parse_char_class(s, &p, is_backward_dir))\n            return -1;\n",
    ),
    (
        "        if (is_backward_dir)\n            re_emit_op(s, REOP_prev);\n        if (c >= CLASS_RANGE_BASE) {",
        "        const bool has_strings = c >= CLASS_RANGE_BASE && cr->n_strings != 0;\n        \
         if (is_backward_dir && !has_strings)\n            re_emit_op(s, REOP_prev);\n        \
         if (c >= CLASS_RANGE_BASE) {",
    ),
    (
        "                ret = re_emit_string_list(s, cr);",
        "                ret = re_emit_string_list(s, cr, is_backward_dir && has_strings);",
    ),
    (
        "            re_emit_char(s, c);\n        }\n        if (is_backward_dir)",
        "            re_emit_char(s, c);\n        }\n        if (is_backward_dir && !has_strings)",
    ),
];
