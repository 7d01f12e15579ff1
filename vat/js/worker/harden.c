// A native form of `makeHardener` of npm `ses`. It does the same in the same order, so that proxies see the same.
// Objects are visited in the order in which they were found. Each is frozen before its properties are read. Nothing
// counts as hardened before all of it is. Ordinary objects are frozen and read without lists of their names.
#include "harden.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ordinary_object.h"

// The objects of one call in the order in which they were found, each held, and a table to find them by.
typedef struct {
  JSValue *objects;
  uint32_t count, capacity;
  // Positions in `objects` plus one by open addressing, 0 for a free place; made once there are more
  // than `SMALL` objects.
  uint32_t *table;
  uint32_t table_size;
} found;

enum { SMALL = 16 };

// Returns the place of `object` in the table, or the free place where it belongs.
static uint32_t place(const found *found, const void *object) {
  uint32_t mask = found->table_size - 1;
  uint32_t at = ((uint32_t)(uintptr_t)object >> 3) * 2654435761u & mask;
  while (found->table[at] &&
         JS_VALUE_GET_PTR(found->objects[found->table[at] - 1]) != object) {
    at = (at + 1) & mask;
  }
  return at;
}

static bool is_found(const found *found, JSValueConst object) {
  const void *pointer = JS_VALUE_GET_PTR(object);
  if (found->table) return found->table[place(found, pointer)] != 0;
  for (uint32_t i = 0; i < found->count; i++) {
    if (JS_VALUE_GET_PTR(found->objects[i]) == pointer) return true;
  }
  return false;
}

// Makes the table, at most half full, for as many objects as there is room for.
static int make_table(JSContext *ctx, found *found) {
  js_free(ctx, found->table);
  found->table_size = found->capacity * 2;
  found->table = js_mallocz(ctx, found->table_size * sizeof *found->table);
  if (!found->table) return -1;
  for (uint32_t i = 0; i < found->count; i++) {
    found->table[place(found, JS_VALUE_GET_PTR(found->objects[i]))] = i + 1;
  }
  return 0;
}

// Notes `value` if it is an object that is neither hardened nor noted. Returns -1 after throwing.
static int enqueue(JSContext *ctx, found *found, JSValueConst value) {
  if (!JS_IsObject(value) || JS_IsHardened(value) || is_found(found, value)) return 0;
  if (found->count == found->capacity) {
    uint32_t capacity = found->capacity ? found->capacity * 2 : SMALL;
    JSValue *larger = js_realloc(ctx, found->objects, capacity * sizeof *larger);
    if (!larger) return -1;
    found->objects = larger;
    found->capacity = capacity;
    if (capacity > SMALL && make_table(ctx, found)) return -1;
  }
  if (found->table) found->table[place(found, JS_VALUE_GET_PTR(value))] = found->count + 1;
  found->objects[found->count++] = JS_DupValue(ctx, value);
  return 0;
}

// Checks whether a property's name is an integer in canonical form. Returns 1 or 0, or -1 after throwing.
static int is_integer_index(JSContext *ctx, JSAtom name) {
  JSValue key = JS_AtomToValue(ctx, name);
  int answer = 0;
  double number;
  if (JS_IsString(key)) {
    if (JS_ToFloat64(ctx, &number, key)) answer = -1;
    else if (isfinite(number) && trunc(number) == number) {
      JSValue canonical = JS_NewFloat64(ctx, number);
      JSAtom again = JS_ValueToAtom(ctx, canonical);
      answer = again == name;
      JS_FreeAtom(ctx, again);
      JS_FreeValue(ctx, canonical);
    }
  }
  JS_FreeValue(ctx, key);
  return answer;
}

static void free_descriptor(JSContext *ctx, JSPropertyDescriptor *property) {
  JS_FreeValue(ctx, property->value);
  JS_FreeValue(ctx, property->getter);
  JS_FreeValue(ctx, property->setter);
}

// Freezes a typed array but for its elements, which stay writable like a map's entries.
static int freeze_typed_array(JSContext *ctx, JSValueConst array) {
  int done = JS_PreventExtensions(ctx, array);
  if (done <= 0) {
    if (done == 0) JS_ThrowTypeError(ctx, "cannot prevent extensions of a typed array");
    return -1;
  }
  JSPropertyEnum *names;
  uint32_t count;
  if (JS_GetOwnPropertyNames(ctx, &names, &count, array, JS_GPN_STRING_MASK | JS_GPN_SYMBOL_MASK)) {
    return -1;
  }
  int result = 0;
  for (uint32_t i = 0; i < count && !result; i++) {
    int is_index = is_integer_index(ctx, names[i].atom);
    if (is_index) {
      result = is_index < 0 ? -1 : 0;
      continue;
    }
    JSPropertyDescriptor property;
    int present = JS_GetOwnProperty(ctx, &property, array, names[i].atom);
    if (present <= 0) {
      result = present;
      continue;
    }
    if (property.flags & JS_PROP_GETSET) {
      // Setter that throws, since SES asks for an accessor that is not writable.
      JS_ThrowTypeError(ctx, "Invalid property descriptor. Cannot both specify accessors and a "
                             "value or writable attribute");
      result = -1;
    } else {
      int flags = JS_PROP_HAS_VALUE | JS_PROP_HAS_WRITABLE | JS_PROP_HAS_CONFIGURABLE |
                  JS_PROP_HAS_ENUMERABLE | (property.flags & JS_PROP_ENUMERABLE) | JS_PROP_THROW;
      result = JS_DefineProperty(ctx, array, names[i].atom, property.value, JS_UNDEFINED,
                                 JS_UNDEFINED, flags) < 0
                   ? -1
                   : 0;
    }
    free_descriptor(ctx, &property);
  }
  JS_FreePropertyEnum(ctx, names, count);
  return result;
}

// Reads all of an object's properties and its prototype, and then notes the objects that they refer to, the prototype
// first. Returns -1 after throwing.
static int traverse(JSContext *ctx, found *found, JSValueConst object) {
  JSPropertyEnum *names;
  uint32_t count, read = 0;
  if (JS_GetOwnPropertyNames(ctx, &names, &count, object, JS_GPN_STRING_MASK | JS_GPN_SYMBOL_MASK)) {
    return -1;
  }
  JSPropertyDescriptor *properties = js_malloc(ctx, (count + 1) * sizeof *properties);
  int result = properties ? 0 : -1;
  for (uint32_t i = 0; i < count && !result; i++) {
    int present = JS_GetOwnProperty(ctx, &properties[read], object, names[i].atom);
    if (present < 0) result = -1;
    else read += present;
  }
  if (!result) {
    JSValue prototype = JS_GetPrototype(ctx, object);
    result = JS_IsException(prototype) ? -1 : enqueue(ctx, found, prototype);
    JS_FreeValue(ctx, prototype);
  }
  for (uint32_t i = 0; i < read; i++) {
    JSPropertyDescriptor *property = &properties[i];
    if (!result) {
      if (property->flags & JS_PROP_GETSET) {
        result = enqueue(ctx, found, property->getter) || enqueue(ctx, found, property->setter);
      } else {
        result = enqueue(ctx, found, property->value);
      }
    }
    free_descriptor(ctx, property);
  }
  js_free(ctx, properties);
  JS_FreePropertyEnum(ctx, names, count);
  return result ? -1 : 0;
}

static int visit(JSContext *ctx, void *opaque, JSValueConst value) { return enqueue(ctx, opaque, value); }

// Freezes an object, and notes the objects that it refers to. Returns -1 after throwing.
static int freeze_one(JSContext *ctx, found *found, JSValueConst object) {
  int frozen = JS_FreezeOrdinary(ctx, object);
  if (frozen > 0) return JS_VisitOrdinary(ctx, object, visit, found);
  if (frozen == 0) {
    frozen = JS_GetTypedArrayType(object) >= 0 ? freeze_typed_array(ctx, object)
                                               : JS_FreezeObject(ctx, object);
  }
  return frozen < 0 ? -1 : traverse(ctx, found, object);
}

// Freezes all objects that were found, which finds more. Returns -1 after throwing.
static int freeze_all(JSContext *ctx, found *found) {
  for (uint32_t i = 0; i < found->count; i++) {
    if (freeze_one(ctx, found, found->objects[i])) return -1;
  }
  for (uint32_t i = 0; i < found->count; i++) JS_SetHardened(found->objects[i]);
  return 0;
}

JSValue harden(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  found found = {0};
  int failed = enqueue(ctx, &found, argv[0]) || freeze_all(ctx, &found);
  for (uint32_t i = 0; i < found.count; i++) JS_FreeValue(ctx, found.objects[i]);
  js_free(ctx, found.objects);
  js_free(ctx, found.table);
  return failed ? JS_EXCEPTION : JS_DupValue(ctx, argv[0]);
}
