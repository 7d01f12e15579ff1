//! What we change in QuickJS-ng's sources: a text found exactly once, and what is put in its place.

use crate::faults;

/// A text that stands once in a source, and what is put in its place.
pub(crate) type Seam = (&'static str, &'static str);

/// All changes of a source, in the order in which they are made.
pub(crate) fn of(source: &str) -> Vec<Seam> {
    match source {
        "quickjs/quickjs.c" => {
            MAP_HASH.into_iter().chain(OLD_OBJECTS).chain(faults::quickjs()).collect()
        }
        "quickjs/dtoa.c" => faults::DTOA.to_vec(),
        "quickjs/libregexp.c" => faults::REGEXP.into_iter().chain(faults::REGEXP_STRINGS).collect(),
        _ => Vec::new(),
    }
}

/// The hash of a map's key chooses its bucket by the lowest bits. Those of a multiple of 16, as pointers
/// are, and of a small integer's floating-point form, are all zero: so a map of integers was one list,
/// and of objects a sixteenth of its buckets was used. The order of a map's entries does not depend on it.
const MAP_HASH: [Seam; 1] = [(
    "return h ^ ctx->hash_seed ^ hash32(tag);",
    "h = hash32(h); return h ^ (h >> 15) ^ ctx->hash_seed ^ hash32(tag);",
)];

/// Two generations for the collector of cycles, as CPython's `gc.freeze` has them.
///
/// A collection counts the references between all objects: it writes to each of them, and in a vat that
/// has done little these are the engine's, liveslots' and the bundle's, ten megabytes that it shares with
/// other vats until it writes to them. So `JS_AgeHeap` makes what lives old: out of the list of objects that
/// a young collection looks at. To it, references from old objects are like those from the stack: what they
/// lead to lives. References to old objects are not counted, so that no old object looks unreferenced.
///
/// * An old object whose last reference goes ends at once, as ever; but if it goes with a cycle that is freed,
///   or if the object is part of a cycle, only in the next full collection, `JS_RunGC`.
/// * A shape that is moved in memory comes into the young list, old as it was: the next young collection
///   puts it back.
/// * New objects are not put into the gaps between old ones, in all the pages where there is one. A gap
///   comes into use again when something beside it ends.
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
        "struct list_head tmp_obj_list; struct list_head gc_old_list; bool gc_is_young;",
    ),
    (
        "init_list_head(&rt->gc_obj_list);",
        "init_list_head(&rt->gc_obj_list); init_list_head(&rt->gc_old_list);",
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
        "{\n    if (rt->gc_is_young && JS_GC_OLD(p)) return;\n    JS_REF_COUNT(p)--;",
    ),
    (
        "assert(JS_GC_MARK(p) == 0);",
        "if (rt->gc_is_young && JS_GC_OLD(p)) {\n\
         list_del(&p->link);\n\
         list_add_tail(&p->link, &rt->gc_old_list);\n\
         continue;\n\
         }",
    ),
    (
        "{\n    JS_REF_COUNT(p)++;\n    if (JS_REF_COUNT(p) == 1) {",
        "{\n    if (rt->gc_is_young && JS_GC_OLD(p)) return;\n    JS_REF_COUNT(p)++;\n    \
         if (JS_REF_COUNT(p) == 1) {",
    ),
    (
        "{\n    JS_REF_COUNT(p)++;\n}\n\nstatic void gc_scan(",
        "{\n    if (rt->gc_is_young && JS_GC_OLD(p)) return;\n    JS_REF_COUNT(p)++;\n}\n\nstatic void gc_scan(",
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
         static void js_collect(JSRuntime *rt)\n\
         {",
    ),
];
