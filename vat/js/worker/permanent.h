// The permanent heap: what exists when the engine has been booted. quickjs.c includes this after its collector.
//
// Nearly all of it lives as long as the vat: the intrinsics, SES, and the code of liveslots. It is never freed, and no
// collection visits it. What it refers to counts as reachable. So a vat writes to its pages only where it changes them.
#pragma once

// Makes a text or a big integer permanent, which only its own count keeps.
static void js_keep_leaf(JSValueConst value) {
  switch (JS_VALUE_GET_TAG(value)) {
    case JS_TAG_STRING:
    case JS_TAG_BIG_INT:
      JS_REF_COUNT(JS_VALUE_GET_PTR(value)) = PERMANENT_COUNT;
      break;
    default:
      break;
  }
}

static void js_keep_leaves_of_object(JSObject *p) {
  JSShapeProperty *field = get_shape_prop(p->shape);
  for (int i = 0; i < p->shape->prop_count; i++, field++) {
    bool is_value = field->atom != JS_ATOM_NULL && !(field->flags & JS_PROP_TMASK);
    if (is_value) js_keep_leaf(p->prop[i].u.value);
  }
}

// Makes a collectable object permanent. Returns false for one that is of a call that has not ended.
static bool js_keep_object(JSGCObjectHeader *header) {
  switch (JS_GC_TYPE(header)) {
    case JS_GC_OBJ_TYPE_JS_OBJECT:
      js_keep_leaves_of_object((JSObject *)header);
      break;
    case JS_GC_OBJ_TYPE_FUNCTION_BYTECODE: {
      JSFunctionBytecode *code = (JSFunctionBytecode *)header;
      for (int i = 0; i < code->cpool_count; i++) js_keep_leaf(code->cpool[i]);
      break;
    }
    case JS_GC_OBJ_TYPE_SHAPE:
      break;
    case JS_GC_OBJ_TYPE_VAR_REF: {
      JSVarRef *variable = (JSVarRef *)header;
      if (!variable->is_detached) return false;
      js_keep_leaf(variable->value);
      break;
    }
    default:
      return false;
  }
  JS_REF_COUNT(header) = PERMANENT_COUNT;
  return true;
}

void JS_KeepHeap(JSRuntime *rt) {
  struct list_head *el, *next;
  JS_AgeHeap(rt);
  list_for_each_safe(el, next, &rt->gc_old_list) {
    if (!js_keep_object(list_entry(el, JSGCObjectHeader, link))) continue;
    list_del(el);
    list_add_tail(el, &rt->gc_permanent_list);
  }
  for (uint32_t i = 1; i < rt->atom_size; i++) {
    if (!atom_is_free(rt->atom_array[i])) JS_REF_COUNT(rt->atom_array[i]) = PERMANENT_COUNT;
  }
}
