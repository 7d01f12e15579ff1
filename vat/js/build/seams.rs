//! Changes to the sources of QuickJS-ng: texts that are found exactly once, and their replacements.

use std::fmt::Display;

use crate::{error::BuildError, faults, objects, permanent};

/// Text that occurs exactly once in a source, and its replacement.
pub(crate) type Seam = (&'static str, &'static str);

/// Returns all changes of a source, in the order of their application.
pub(crate) fn of(source: &str) -> Vec<Seam> {
    match source {
        "quickjs/quickjs.c" => MAP_HASH
            .into_iter()
            .chain(OLD_OBJECTS)
            .chain(ALLOCATION)
            .chain(SOURCE_NAMES)
            .chain(CALLEES)
            .chain(faults::quickjs())
            .chain(objects::quickjs())
            .chain(permanent::PERMANENT)
            .collect(),
        "quickjs/dtoa.c" => faults::DTOA.to_vec(),
        "quickjs/libregexp.c" => faults::REGEXP.into_iter().chain(faults::REGEXP_STRINGS).collect(),
        _ => Vec::new(),
    }
}

/// Applies `seams` to a source. `name` is the source's name for the error text.
pub(crate) fn apply(
    seams: &[Seam],
    mut source: String,
    name: &dyn Display,
) -> Result<String, BuildError> {
    for (found, put) in seams {
        let count = source.matches(found).count();
        if count != 1 {
            return Err(BuildError::Seam { source_name: name.to_string(), count, found });
        }
        source = source.replace(found, put);
    }
    Ok(source)
}

/// Better mixing of the hash of a map's key, whose lowest bits choose the bucket.
///
/// The lowest bits are all zero for multiples of 16, such as pointers, and for small integers in
/// floating-point form. A map of integers would be a single list, and a map of objects would use a
/// sixteenth of its buckets. The order of a map's entries does not depend on the hash.
const MAP_HASH: [Seam; 1] = [(
    "return h ^ ctx->hash_seed ^ hash32(tag);",
    "h = hash32(h); return h ^ (h >> 15) ^ ctx->hash_seed ^ hash32(tag);",
)];

/// End of the vat where a string would be too long, or a size does not fit the address space.
///
/// XS ends the vat there too, as for all memory that it cannot have. ECMA-262 leaves such limits to
/// the engine. Lengths that the standard itself refuses remain errors that a program can catch, and
/// so do BigInts: a message can contain one that is too large, which must not end its target.
const ALLOCATION: [Seam; 2] = [
    (
        "    JSRuntime *rt = ctx->rt;\n    JSStackFrame *sf;\n    bool add_backtrace;\n",
        "    JSRuntime *rt = ctx->rt;\n    JSStackFrame *sf;\n    bool add_backtrace;\n    \
         if (!strcmp(fmt, \"invalid string length\") || !strcmp(fmt, \"string too long\"))\n        \
         host_fault(FAULT_ALLOCATE);\n",
    ),
    (
        "JSValue JS_ThrowOutOfMemory(JSContext *ctx)\n{",
        "JSValue JS_ThrowOutOfMemory(JSContext *ctx)\n{\n    host_fault(FAULT_ALLOCATE);",
    ),
];

/// Names of evaluated sources by their `sourceURL`, so that frames of a stack name the module. Endo ends each module of a
/// bundle with one. See `worker/source_name.h`.
const SOURCE_NAMES: [Seam; 2] = [
    (
        "static JSValue JS_EvalObject(JSContext *ctx, JSValueConst this_obj,\n                             \
         JSValueConst val, int flags, int scope_idx)\n{\n    JSValue ret;\n",
        "#include \"source_name.h\"\nstatic JSValue JS_EvalObject(JSContext *ctx, JSValueConst this_obj,\n                             \
         JSValueConst val, int flags, int scope_idx)\n{\n    char name[SOURCE_NAME_BYTES];\n    JSValue ret;\n",
    ),
    (
        "JS_EvalInternal(ctx, this_obj, str, len, \"<input>\", 1, flags, scope_idx);",
        "JS_EvalInternal(ctx, this_obj, str, len, source_name(str, len, name), 1, flags, scope_idx);",
    ),
];

/// Names of callees in the error for a call of what is no function, as V8 has them. See `worker/callee.h`.
const CALLEES: [Seam; 3] = [
    (
        "static JSValue JS_ThrowTypeErrorNotAFunction(JSContext *ctx)\n{",
        "static JSValue js_throw_callee(JSContext *ctx);\n\n\
         static JSValue JS_ThrowTypeErrorNotAFunction(JSContext *ctx)\n{",
    ),
    (
        "        not_a_function:\n            return JS_ThrowTypeErrorNotAFunction(caller_ctx);",
        "        not_a_function:\n            return js_throw_callee(caller_ctx);",
    ),
    (
        "static void json_free_token(JSParseState *s, JSToken *token) {",
        "#include \"callee.h\"\n\nstatic void json_free_token(JSParseState *s, JSToken *token) {",
    ),
];

/// Two generations for the cycle collector, as with CPython's `gc.freeze`.
///
/// A collection counts the references between all objects, which writes to each of them. In a vat
/// that has done little, most objects are those of the engine, of liveslots and of the bundle. They
/// take ten megabytes, shared with other vats until written to.
///
/// So `JS_AgeHeap` makes the live objects old: it removes them from the list that a young
/// collection visits. A young collection treats references from old objects like those from the
/// stack: their targets live. It does not count references to old objects, so that no old object
/// looks unreferenced.
///
/// * An old object is freed at once when its last reference goes, as before. An object in a cycle,
///   or one last referenced by a freed cycle, waits for the next full collection, `JS_RunGC`.
/// * A shape that moves in memory enters the young list but stays old. The next young collection
///   puts it back.
/// * New objects do not fill the gaps between old ones, which lie on many pages. A gap becomes
///   usable again when a neighbouring object is freed.
const OLD_OBJECTS: [Seam; 14] = [
    (
        "if (unlikely(ar->n_used_blocks == ar->n_blocks))\n            list_add(",
        "if (unlikely(ar->n_used_blocks == ar->n_blocks || list_empty(&ar->free_link)))\n            list_add(",
    ),
    (
        "uint8_t  gc_obj_type : 7; /* JSGCObjectTypeEnum for GC objects */",
        "uint8_t  gc_obj_type : 6; uint8_t old : 1;",
    ),
    (
        "#define JS_GC_MARK(p)   (js_rc(p)->mark)",
        "#define JS_GC_MARK(p)   (js_rc(p)->mark)\n#define JS_GC_OLD(p)    (js_rc(p)->old)",
    ),
    (
        "struct list_head tmp_obj_list; /* used during GC */",
        "struct list_head tmp_obj_list; struct list_head gc_old_list; struct list_head gc_permanent_list; bool gc_is_young;",
    ),
    (
        "init_list_head(&rt->gc_obj_list);",
        "init_list_head(&rt->gc_obj_list); init_list_head(&rt->gc_old_list); init_list_head(&rt->gc_permanent_list);",
    ),
    ("nb->mark = b->mark;", "nb->mark = b->mark; nb->old = b->old;"),
    (
        "JS_GC_MARK(sh) = JS_GC_MARK(old_sh);\n        new_hash_mask",
        "JS_GC_MARK(sh) = JS_GC_MARK(old_sh); JS_GC_OLD(sh) = JS_GC_OLD(old_sh);\n        new_hash_mask",
    ),
    (
        "JS_GC_MARK(sh) = JS_GC_MARK(old_sh);\n\n",
        "JS_GC_MARK(sh) = JS_GC_MARK(old_sh); JS_GC_OLD(sh) = JS_GC_OLD(old_sh);\n\n",
    ),
    ("JS_GC_MARK(h) = 0;", "JS_GC_MARK(h) = 0; JS_GC_OLD(h) = 0;"),
    (
        "{\n    assert(JS_REF_COUNT(p) > 0);\n    JS_REF_COUNT(p)--;",
        "{\n    if (JS_GC_PASSES_OVER(rt, p)) return;\n    JS_REF_COUNT(p)--;",
    ),
    (
        "assert(JS_GC_MARK(p) == 0);",
        "if (JS_GC_PASSES_OVER(rt, p)) {\n\
         list_del(&p->link);\n\
         list_add_tail(&p->link, js_is_permanent(p) ? &rt->gc_permanent_list : &rt->gc_old_list);\n\
         continue;\n\
         }",
    ),
    (
        "{\n    JS_REF_COUNT(p)++;\n    if (JS_REF_COUNT(p) == 1) {",
        "{\n    if (JS_GC_PASSES_OVER(rt, p)) return;\n    JS_REF_COUNT(p)++;\n    \
         if (JS_REF_COUNT(p) == 1) {",
    ),
    (
        "{\n    JS_REF_COUNT(p)++;\n}\n\nstatic void gc_scan(",
        "{\n    if (JS_GC_PASSES_OVER(rt, p)) return;\n    JS_REF_COUNT(p)++;\n}\n\nstatic void gc_scan(",
    ),
    (
        "void JS_RunGC(JSRuntime *rt)\n{",
        "static void js_collect(JSRuntime *rt);\n\
         static void js_append(struct list_head *to, struct list_head *from)\n\
         {\n\
         if (list_empty(from)) return;\n\
         from->next->prev = to->prev;\n\
         to->prev->next = from->next;\n\
         from->prev->next = to;\n\
         to->prev = from->prev;\n\
         init_list_head(from);\n\
         }\n\
         void JS_RunYoungGC(JSRuntime *rt)\n\
         {\n\
         rt->gc_is_young = true;\n\
         js_collect(rt);\n\
         rt->gc_is_young = false;\n\
         }\n\
         void JS_RunGC(JSRuntime *rt)\n\
         {\n\
         js_append(&rt->gc_old_list, &rt->gc_obj_list);\n\
         js_append(&rt->gc_obj_list, &rt->gc_old_list);\n\
         js_collect(rt);\n\
         }\n\
         void JS_AgeHeap(JSRuntime *rt)\n\
         {\n\
         struct list_head *el, *next;\n\
         int i;\n\
         JS_RunGC(rt);\n\
         for (i = 0; i < JS_ARENA_BLOCK_SIZE_COUNT; i++) {\n\
         list_for_each_safe(el, next, &rt->arena_state.free_arena_list[i]) init_list_head(el);\n\
         init_list_head(&rt->arena_state.free_arena_list[i]);\n\
         }\n\
         list_for_each(el, &rt->gc_obj_list) JS_GC_OLD(list_entry(el, JSGCObjectHeader, link)) = 1;\n\
         js_append(&rt->gc_old_list, &rt->gc_obj_list);\n\
         }\n\
         #include \"permanent.h\"\n\
         static void js_collect(JSRuntime *rt)\n\
         {",
    ),
];
