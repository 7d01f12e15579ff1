// Freezing and reading of ordinary objects at once, for `harden`: no names are listed and no descriptors are made.
// quickjs.c includes this before its `JS_FreezeObject`.
#pragma once
#include "ordinary_object.h"

// Largest number of properties of a frozen shape that is looked for among those of other objects.
enum { SHARED_FROZEN_PROPERTIES = 32 };

// Checks whether the properties of an object are all in its shape, as values or accessors, integers in order. An array
// may hold its elements apart.
static bool js_is_ordinary(JSContext *ctx, JSObject *p) {
  if (p->is_exotic && p->class_id != JS_CLASS_ARRAY) return false;
  const JSShapeProperty *property = get_shape_prop(p->shape);
  int64_t last = -1;
  for (int i = 0; i < p->shape->prop_count; i++, property++) {
    int kind = property->flags & JS_PROP_TMASK;
    if (property->atom == JS_ATOM_NULL) continue;
    if (kind == JS_PROP_AUTOINIT || kind == JS_PROP_VARREF) return false;
    uint32_t index;
    if (JS_AtomIsArrayIndex(ctx, &index, property->atom)) {
      if (p->fast_array || !__JS_AtomIsTaggedInt(property->atom) || index <= last) return false;
      last = index;
    }
  }
  return true;
}

static int js_frozen_flags(JSContext *ctx, const JSShapeProperty *property) {
  int flags = property->flags;
  if (property->atom == JS_ATOM_NULL || JS_AtomGetKind(ctx, property->atom) == JS_ATOM_KIND_PRIVATE) return flags;
  flags &= ~JS_PROP_CONFIGURABLE;
  return (flags & JS_PROP_TMASK) == JS_PROP_GETSET ? flags : flags & ~JS_PROP_WRITABLE;
}

static bool js_is_frozen_shape(JSContext *ctx, JSShape *sh, JSShape *frozen) {
  const JSShapeProperty *property = get_shape_prop(sh), *other = get_shape_prop(frozen);
  if (frozen->proto != sh->proto || frozen->prop_count != sh->prop_count) return false;
  for (int i = 0; i < sh->prop_count; i++) {
    if (other[i].atom != property[i].atom || other[i].flags != js_frozen_flags(ctx, &property[i])) return false;
  }
  return true;
}

// Returns the frozen form of a shape among those that other objects have, or NULL. `hash` is set to its hash.
static JSShape *js_find_frozen_shape(JSContext *ctx, JSShape *sh, uint32_t *hash) {
  JSRuntime *rt = ctx->rt;
  const JSShapeProperty *property = get_shape_prop(sh);
  uint32_t h = shape_initial_hash(sh->proto);
  for (int i = 0; i < sh->prop_count; i++) {
    h = shape_hash(shape_hash(h, property[i].atom), js_frozen_flags(ctx, &property[i]));
  }
  *hash = h;
  JSShape *found = rt->shape_hash[get_shape_hash(h, rt->shape_hash_bits)];
  while (found && (found->hash != h || !js_is_frozen_shape(ctx, sh, found))) found = found->shape_hash_next;
  return found;
}

// Gives an object the frozen form of its shape. Objects of the same form share it. Returns -1 after throwing.
static int js_freeze_shape(JSContext *ctx, JSObject *p) {
  JSShape *sh = p->shape;
  bool is_shared = !p->is_prototype && !sh->deleted_prop_count && sh->prop_count <= SHARED_FROZEN_PROPERTIES;
  uint32_t hash = 0;
  JSShape *frozen = is_shared ? js_find_frozen_shape(ctx, sh, &hash) : NULL;
  if (frozen) {
    if (frozen->prop_size != sh->prop_size) {
      JSProperty *values = js_realloc(ctx, p->prop, frozen->prop_size * sizeof *values);
      if (!values) return -1;
      p->prop = values;
    }
    p->shape = js_dup_shape(frozen);
    js_free_shape(ctx->rt, sh);
    return 0;
  }
  if (js_shape_prepare_update(ctx, p, NULL)) return -1;
  JSRuntime *rt = ctx->rt;
  JSShapeProperty *property = get_shape_prop(p->shape);
  for (int i = 0; i < p->shape->prop_count; i++, property++) property->flags = js_frozen_flags(ctx, property);
  if (!is_shared) return 0;
  if (2 * (rt->shape_hash_count + 1) > rt->shape_hash_size) resize_shape_hash(rt, rt->shape_hash_bits + 1);
  p->shape->hash = hash;
  p->shape->is_hashed = true;
  js_shape_hash_link(rt, p->shape);
  return 0;
}

int JS_FreezeOrdinary(JSContext *ctx, JSValueConst object) {
  JSObject *p = JS_VALUE_GET_OBJ(object);
  if (!js_is_ordinary(ctx, p)) return 0;
  p->extensible = false;
  if (p->fast_array && p->u.array.count && convert_fast_array_to_array(ctx, p)) return -1;
  const JSShapeProperty *property = get_shape_prop(p->shape);
  for (int i = 0; i < p->shape->prop_count; i++, property++) {
    if (js_frozen_flags(ctx, property) != property->flags) return js_freeze_shape(ctx, p) ? -1 : 1;
  }
  return 1;
}

int JS_VisitOrdinary(JSContext *ctx, JSValueConst object, JSVisit *visit, void *opaque) {
  JSObject *p = JS_VALUE_GET_OBJ(object);
  // Integers, other names, symbols: the order in which an object lists them.
  enum { INTEGERS, NAMES, SYMBOLS, PASSES };
  const JSShapeProperty *properties = get_shape_prop(p->shape);
  if (p->shape->proto && visit(ctx, opaque, JS_MKPTR(JS_TAG_OBJECT, p->shape->proto))) return -1;
  for (int pass = INTEGERS; pass < PASSES; pass++) {
    for (int i = 0; i < p->shape->prop_count; i++) {
      JSAtom atom = properties[i].atom;
      if (atom == JS_ATOM_NULL) continue;
      JSAtomKindEnum kind = JS_AtomGetKind(ctx, atom);
      int of = __JS_AtomIsTaggedInt(atom) ? INTEGERS : kind == JS_ATOM_KIND_STRING ? NAMES : SYMBOLS;
      if (of != pass || kind == JS_ATOM_KIND_PRIVATE) continue;
      const JSProperty *value = &p->prop[i];
      if ((properties[i].flags & JS_PROP_TMASK) != JS_PROP_GETSET) {
        if (visit(ctx, opaque, value->u.value)) return -1;
        continue;
      }
      JSObject *accessors[2] = {value->u.getset.getter, value->u.getset.setter};
      for (int j = 0; j < 2; j++) {
        if (accessors[j] && visit(ctx, opaque, JS_MKPTR(JS_TAG_OBJECT, accessors[j]))) return -1;
      }
    }
  }
  return 0;
}

bool JS_IsHardened(JSValueConst object) { return JS_VALUE_GET_OBJ(object)->is_hardened; }

void JS_SetHardened(JSValueConst object) { JS_VALUE_GET_OBJ(object)->is_hardened = 1; }
