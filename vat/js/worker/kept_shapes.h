// Shapes that outlive their last object for a while. quickjs.c includes this before it frees a shape.
//
// A shape lists the names of an object's properties. Objects of the same form share one, and it is freed with the last
// of them. Most objects of a delivery live briefly, so that the same shapes were made and freed hundreds of times in it.
//
// Only shapes with a prototype that existed when the vat's bundle had been loaded are kept. A collection drops them,
// so that what can be collected does not depend on them.
#pragma once

static void js_free_shape0(JSRuntime *rt, JSShape *sh);

static void js_release_kept_shape(JSRuntime *rt, JSShape *sh) {
  if (js_count_down(sh)) js_free_shape0(rt, sh);
}

// Takes a shape without references, in place of the one that was taken longest ago. Returns false if it is to be freed.
static bool js_keep_shape(JSRuntime *rt, JSShape *sh) {
  if (!sh->is_hashed || rt->gc_phase == JS_GC_PHASE_REMOVE_CYCLES) return false;
  if (sh->proto && !JS_GC_OLD(sh->proto)) return false;
  JSShape **place = &rt->kept_shapes[rt->kept_shape_count++ % KEPT_SHAPES];
  JSShape *before = *place;
  *place = sh;
  JS_REF_COUNT(sh) = 1;
  if (before) js_release_kept_shape(rt, before);
  return true;
}

// Releases the young shapes, or all.
static void js_drop_kept_shapes(JSRuntime *rt, bool old_too) {
  for (int i = 0; i < KEPT_SHAPES; i++) {
    JSShape *sh = rt->kept_shapes[i];
    if (!sh || (JS_GC_OLD(sh) && !old_too)) continue;
    rt->kept_shapes[i] = NULL;
    js_release_kept_shape(rt, sh);
  }
}
