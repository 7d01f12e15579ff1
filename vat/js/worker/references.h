// Counts of references that stop at a bound. quickjs.c includes this before all functions.
//
// What exists when the engine has been booted is permanent: its count says so and never changes. Counting would write to
// the pages that all vats share, mostly to leave them as they were. See permanent.h.
#pragma once

// A count from here on is that of something permanent. No memory holds so many references.
enum { PERMANENT_COUNT = 1 << 30 };

static inline bool js_is_permanent(const void *p) { return JS_REF_COUNT(p) >= PERMANENT_COUNT; }

// Counts a reference more.
static inline void js_count_up(const void *p) {
  int count = JS_REF_COUNT(p);
  if (count < PERMANENT_COUNT) JS_REF_COUNT(p) = count + 1;
}

// Counts a reference less. Returns true if none is left.
static inline bool js_count_down(const void *p) {
  int count = JS_REF_COUNT(p);
  if (count >= PERMANENT_COUNT) return false;
  JS_REF_COUNT(p) = count - 1;
  return count <= 1;
}

// Whether the present collection takes an object as reachable, without a look at it.
#define JS_GC_PASSES_OVER(rt, p) (((rt)->gc_is_young && JS_GC_OLD(p)) || js_is_permanent(p))
