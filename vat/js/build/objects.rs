//! Changes to `quickjs.c` that make objects cheaper. No program can observe them.

use crate::seams::Seam;

/// Returns the changes of `quickjs.c`.
pub(crate) fn quickjs() -> impl Iterator<Item = Seam> {
    KEPT_SHAPES
        .into_iter()
        .chain(FUNCTION_SHAPE)
        .chain(FIELDS)
        .chain(SAME_STRING)
        .chain(HARDEN)
        .chain(GETTERS)
        .chain(SCOPES)
        .chain(UNINITIALIZED)
}

/// Shapes that outlive their last object. See `worker/kept_shapes.h`.
const KEPT_SHAPES: [Seam; 4] = [
    (
        "    int shape_hash_count; /* number of hashed shapes */\n",
        "    int shape_hash_count; /* number of hashed shapes */\n    \
         JSShape *kept_shapes[KEPT_SHAPES];\n    uint32_t kept_shape_count;\n",
    ),
    ("struct JSRuntime {\n", "enum { KEPT_SHAPES = 128 };\n\nstruct JSRuntime {\n"),
    (
        "static void js_free_shape(JSRuntime *rt, JSShape *sh)\n{\n    if (unlikely(--JS_REF_COUNT(sh) <= 0)) {\n",
        "#include \"kept_shapes.h\"\n\nstatic void js_free_shape(JSRuntime *rt, JSShape *sh)\n{\n    \
         if (unlikely(--JS_REF_COUNT(sh) <= 0) && !js_keep_shape(rt, sh)) {\n",
    ),
    (
        "static void js_collect(JSRuntime *rt)\n{\n",
        "static void js_collect(JSRuntime *rt)\n{\n    js_drop_kept_shapes(rt, !rt->gc_is_young);\n",
    ),
];

/// The shape of most functions, which have a length and a name.
const FUNCTION_SHAPE: [Seam; 5] = [
    (
        "    JSShape *array_shape;   /* initial shape for Array objects */\n",
        "    JSShape *array_shape;   /* initial shape for Array objects */\n    JSShape *function_shape;\n",
    ),
    (
        "    if (ctx->array_shape)\n        mark_func(rt, &ctx->array_shape->header);\n",
        "    if (ctx->array_shape)\n        mark_func(rt, &ctx->array_shape->header);\n    \
         if (ctx->function_shape)\n        mark_func(rt, &ctx->function_shape->header);\n",
    ),
    (
        "    js_free_shape_null(ctx->rt, ctx->array_shape);\n",
        "    js_free_shape_null(ctx->rt, ctx->array_shape);\n    \
         js_free_shape_null(ctx->rt, ctx->function_shape);\n",
    ),
    (
        "    if (js_new_shape_with(ctx, &ctx->array_shape,\n",
        "    static const JSShapeProperty function_props[] = {\n        \
         {.atom=JS_ATOM_length,          .flags=JS_PROP_CONFIGURABLE},\n        \
         {.atom=JS_ATOM_name,            .flags=JS_PROP_CONFIGURABLE},\n    };\n    \
         if (js_new_shape_with(ctx, &ctx->function_shape, ctx->function_proto,\n                          \
         countof(function_props), function_props)) {\n        return -1;\n    }\n    \
         if (js_new_shape_with(ctx, &ctx->array_shape,\n",
    ),
    (
        "    /* ES6 feature non compatible with ES5.1: length is configurable */\n    \
         JS_DefinePropertyValue(ctx, func_obj, JS_ATOM_length, js_int32(len),\n",
        "    JSObject *p = JS_VALUE_GET_OBJ(func_obj);\n    JSShape *sh = ctx->function_shape;\n    \
         if (sh && p->shape->is_hashed && p->shape->prop_count == 0 &&\n        \
         p->shape->proto == sh->proto && p->shape->prop_size == sh->prop_size) {\n        \
         js_free_shape(ctx->rt, p->shape);\n        p->shape = js_dup_shape(sh);\n        \
         p->prop[0].u.value = js_int32(len);\n        \
         p->prop[1].u.value = JS_AtomToString(ctx, name);\n        return;\n    }\n    \
         /* ES6 feature non compatible with ES5.1: length is configurable */\n    \
         JS_DefinePropertyValue(ctx, func_obj, JS_ATOM_length, js_int32(len),\n",
    ),
];

/// New fields of object literals, which mostly need no look at what a definition may change.
const FIELDS: [Seam; 2] = [
    (
        "                ret = JS_DefinePropertyValue(ctx, sp[-2], atom, sp[-1],\n                                             \
         JS_PROP_C_W_E | JS_PROP_THROW);\n                sp--;\n",
        "                ret = js_define_field(ctx, sp[-2], atom, sp[-1]);\n                sp--;\n",
    ),
    (
        "static no_inline int js_strict_eq_slow(JSContext *ctx, JSValue *sp,\n",
        "static no_inline int js_define_field(JSContext *ctx, JSValueConst object, JSAtom atom, JSValue value)\n{\n    \
         JSObject *p = JS_VALUE_GET_TAG(object) == JS_TAG_OBJECT ? JS_VALUE_GET_OBJ(object) : NULL;\n    \
         JSProperty *field;\n    \
         if (unlikely(!p || p->class_id != JS_CLASS_OBJECT || p->is_exotic || !p->extensible ||\n                 \
         find_own_property1(p, atom))) {\n        \
         return JS_DefinePropertyValue(ctx, object, atom, value, JS_PROP_C_W_E | JS_PROP_THROW);\n    }\n    \
         field = add_property(ctx, p, atom, JS_PROP_C_W_E);\n    \
         if (unlikely(!field)) {\n        JS_FreeValue(ctx, value);\n        return -1;\n    }\n    \
         field->u.value = value;\n    return true;\n}\n\n\
         static no_inline int js_strict_eq_slow(JSContext *ctx, JSValue *sp,\n",
    ),
];

/// Comparison of a text with itself, and of two atoms. There is one atom of a text, and most names are atoms.
const SAME_STRING: [Seam; 1] = [(
    "static bool js_string_eq(JSString *p1, JSString *p2) {\n",
    "static bool js_string_eq(JSString *p1, JSString *p2) {\n    if (p1 == p2)\n        return true;\n    \
     if (p1->atom_type && p2->atom_type)\n        return false;\n",
)];

/// What `harden` needs. A bit of an object says that it was hardened. See `worker/ordinary.h`.
const HARDEN: [Seam; 3] = [
    (
        "    uint8_t is_HTMLDDA : 1; /* specific annex B IsHtmlDDA behavior */\n    uint16_t class_id;",
        "    uint8_t is_HTMLDDA : 1; /* specific annex B IsHtmlDDA behavior */\n    \
         uint8_t is_hardened : 1;\n    uint16_t class_id;",
    ),
    (
        "    p->is_prototype = 0;\n    p->first_weak_ref",
        "    p->is_prototype = 0;\n    p->is_hardened = 0;\n    p->first_weak_ref",
    ),
    (
        "int JS_FreezeObject(JSContext *ctx, JSValueConst obj)\n{",
        "#include \"ordinary.h\"\n\nint JS_FreezeObject(JSContext *ctx, JSValueConst obj)\n{",
    ),
];

/// Getters that return a variable and do nothing else, which are not called. SES gives many properties of the intrinsics
/// one.
const GETTERS: [Seam; 2] = [
    (
        "static JSValue JS_GetPropertyInternal(JSContext *ctx, JSValueConst obj,\n                                      \
         JSAtom prop, JSValueConst this_obj,\n                                      bool throw_ref_error)\n{\n",
        "static bool js_is_plain_getter(JSObject *p, JSValue *value)\n{\n    \
         JSFunctionBytecode *b;\n    const uint8_t *code;\n    int index;\n    \
         if (p->class_id != JS_CLASS_BYTECODE_FUNCTION)\n        return false;\n    \
         b = p->u.func.function_bytecode;\n    \
         code = b->byte_code_buf;\n    \
         if (b->byte_code_len == 2 && code[1] == OP_return &&\n        \
         code[0] >= OP_get_var_ref0 && code[0] <= OP_get_var_ref3)\n        \
         index = code[0] - OP_get_var_ref0;\n    \
         else if (b->byte_code_len == 4 && code[3] == OP_return &&\n             \
         (code[0] == OP_get_var_ref_check || code[0] == OP_get_var_ref))\n        \
         index = get_u16(code + 1);\n    \
         else\n        return false;\n    \
         *value = *p->u.func.var_refs[index]->pvalue;\n    \
         if (JS_IsUninitialized(*value))\n        return false;\n    \
         js_dup(*value);\n    return true;\n}\n\n\
         static JSValue JS_GetPropertyInternal(JSContext *ctx, JSValueConst obj,\n                                      \
         JSAtom prop, JSValueConst this_obj,\n                                      bool throw_ref_error)\n{\n    \
         JSValue plain;\n",
    ),
    (
        "                        JSValue func = JS_MKPTR(JS_TAG_OBJECT, pr->u.getset.getter);\n                        \
         /* Note: the field could be removed in the getter */\n                        \
         func = js_dup(func);\n                        \
         return JS_CallFree(ctx, func, this_obj, 0, NULL);",
        "                        JSValue func = JS_MKPTR(JS_TAG_OBJECT, pr->u.getset.getter);\n                        \
         if (js_is_plain_getter(pr->u.getset.getter, &plain))\n                            return plain;\n                        \
         /* Note: the field could be removed in the getter */\n                        \
         func = js_dup(func);\n                        \
         return JS_CallFree(ctx, func, this_obj, 0, NULL);",
    ),
];

/// Objects of `with` that lack a name, which are most. Compartments look up each global in four of them.
const SCOPES: [Seam; 2] = [
    (
        "                obj = sp[-1];\n                ret = JS_HasProperty(ctx, obj, atom);\n",
        "                obj = sp[-1];\n                \
         ret = js_surely_lacks(obj, atom) ? 0 : JS_HasProperty(ctx, obj, atom);\n",
    ),
    (
        "static no_inline int js_strict_eq_slow(JSContext *ctx, JSValue *sp,\n",
        "static no_inline bool js_surely_lacks(JSValueConst object, JSAtom prop)\n{\n    JSObject *p;\n    \
         if (JS_VALUE_GET_TAG(object) != JS_TAG_OBJECT)\n        return false;\n    \
         for (p = JS_VALUE_GET_OBJ(object); p; p = p->shape->proto) {\n        \
         if (p->is_exotic || find_own_property1(p, prop))\n            return false;\n    }\n    \
         return true;\n}\n\n\
         static no_inline int js_strict_eq_slow(JSContext *ctx, JSValue *sp,\n",
    ),
];

/// Variables that are not initialized yet. Functions begin with a row of them.
const UNINITIALIZED: [Seam; 1] = [(
    "                idx = get_u16(pc);\n                pc += 2;\n                \
     set_value(ctx, &var_buf[idx], JS_UNINITIALIZED);\n",
    "                for (;;) {\n                    idx = get_u16(pc);\n                    pc += 2;\n                    \
     set_value(ctx, &var_buf[idx], JS_UNINITIALIZED);\n                    \
     if (*pc != OP_set_loc_uninitialized)\n                        break;\n                    pc++;\n                }\n",
)];
