//! Changes to `quickjs.c` that leave the counts of permanent objects alone. See `worker/references.h`.

use crate::{error::BuildError, seams::Seam};

/// Places that count without a guard. They count contexts, calls of async functions and variables on the stack, of which
/// none is permanent. Three are the collector's, which passes over what is.
const UNGUARDED: usize = 8;

/// Checks that no other place of `quickjs.c`, with its changes, counts without a guard.
pub(crate) fn check(source: &str) -> Result<(), BuildError> {
    let is_unguarded = |(at, text): &(usize, &str)| {
        let before = source[..*at].trim_end();
        let after = after_parenthesis(&source[at + text.len()..]).trim_start();
        ["--", "++"].iter().any(|change| before.ends_with(change))
            || ["++", "--", "+=", "-="].iter().any(|change| after.starts_with(change))
    };
    let count = source.match_indices("JS_REF_COUNT(").filter(is_unguarded).count();
    match count == UNGUARDED {
        true => Ok(()),
        false => Err(BuildError::Unguarded { count, expected: UNGUARDED }),
    }
}

/// Returns what follows the parenthesis that closes the one before `text`.
fn after_parenthesis(text: &str) -> &str {
    let mut depth = 1_u32;
    let closes = |c: char| {
        depth = match c {
            '(' => depth + 1,
            ')' => depth - 1,
            _ => depth,
        };
        depth == 0
    };
    text.find(closes).map_or("", |end| &text[end + 1..])
}

/// All counts of objects, texts and atoms that can be permanent. A count up that has no guard would come back down with
/// one, or the other way round. So no place is left out.
pub(crate) const PERMANENT: [Seam; 21] = [
    (
        "#define JS_GC_OLD(p)    (js_rc(p)->old)",
        "#define JS_GC_OLD(p)    (js_rc(p)->old)\n#include \"references.h\"",
    ),
    (
        "    if (JS_VALUE_HAS_REF_COUNT(v)) {\n        void *p = JS_VALUE_GET_PTR(v);\n        JS_REF_COUNT(p)++;",
        "    if (JS_VALUE_HAS_REF_COUNT(v)) {\n        void *p = JS_VALUE_GET_PTR(v);\n        js_count_up(p);",
    ),
    (
        "        if (--JS_REF_COUNT(p) <= 0) {\n            js_free_value_rt(rt, v);",
        "        if (js_count_down(p)) {\n            js_free_value_rt(rt, v);",
    ),
    (
        "    if (--JS_REF_COUNT(str) <= 0)\n        js_free_string0(rt, str);",
        "    if (js_count_down(str))\n        js_free_string0(rt, str);",
    ),
    (
        "(v)) {\n        p = rt->atom_array[v];\n        JS_REF_COUNT(p)++;",
        "(v)) {\n        p = rt->atom_array[v];\n        js_count_up(p);",
    ),
    (
        "        rt = ctx->rt;\n        p = rt->atom_array[v];\n        JS_REF_COUNT(p)++;",
        "        rt = ctx->rt;\n        p = rt->atom_array[v];\n        js_count_up(p);",
    ),
    ("JS_REF_COUNT(str)--;", "js_count_down(str);"),
    (
        "                if (!__JS_AtomIsConst(i))\n                    JS_REF_COUNT(p)++;",
        "                if (!__JS_AtomIsConst(i))\n                    js_count_up(p);",
    ),
    (
        "            if (!__JS_AtomIsConst(i))\n                JS_REF_COUNT(p)++;",
        "            if (!__JS_AtomIsConst(i))\n                js_count_up(p);",
    ),
    (
        "    p = rt->atom_array[i];\n    if (--JS_REF_COUNT(p) > 0)\n        return;",
        "    p = rt->atom_array[i];\n    if (!js_count_down(p))\n        return;",
    ),
    (
        "        JS_REF_COUNT(p)++;\n        return JS_MKPTR(JS_TAG_STRING, q);",
        "        js_count_up(p);\n        return JS_MKPTR(JS_TAG_STRING, q);",
    ),
    ("    JS_REF_COUNT(sh)++;\n    return sh;", "    js_count_up(sh);\n    return sh;"),
    ("unlikely(--JS_REF_COUNT(sh) <= 0)", "unlikely(js_count_down(sh))"),
    ("if (--JS_REF_COUNT(var_ref) == 0) {", "if (js_count_down(var_ref)) {"),
    (
        "                var_ref = cur_var_refs[cv->var_idx];\n                JS_REF_COUNT(var_ref)++;",
        "                var_ref = cur_var_refs[cv->var_idx];\n                js_count_up(var_ref);",
    ),
    (
        "                    var_ref = var_refs[idx];\n                    JS_REF_COUNT(var_ref)++;",
        "                    var_ref = var_refs[idx];\n                    js_count_up(var_ref);",
    ),
    (
        "                JS_REF_COUNT(var_ref)++;\n                pr->u.var_ref = var_ref;",
        "                js_count_up(var_ref);\n                pr->u.var_ref = var_ref;",
    ),
    (
        "                    JS_REF_COUNT(var_ref)++;\n                    var_refs[mi->var_idx] = var_ref;",
        "                    js_count_up(var_ref);\n                    var_refs[mi->var_idx] = var_ref;",
    ),
    (
        "                JS_REF_COUNT(var_ref)++;\n                me->u.local.var_ref = var_ref;",
        "                js_count_up(var_ref);\n                me->u.local.var_ref = var_ref;",
    ),
    ("    JS_REF_COUNT(b)++;", "    js_count_up(b);"),
    ("JS_REF_COUNT(sf->cur_gc_obj)++;", "js_count_up(sf->cur_gc_obj);"),
];
