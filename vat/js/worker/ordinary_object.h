// Functions that build/objects.rs adds to the engine for `harden`. An object is ordinary if nothing but its shape decides
// about its properties: it is no proxy and no typed array, and none of its properties is made when it is first read.
#pragma once
#include <stdbool.h>

#include "quickjs.h"

// Freezes an ordinary object. Returns 1, or 0 if the object is not ordinary, which is then as it was, or -1 after throwing.
int JS_FreezeOrdinary(JSContext *ctx, JSValueConst object);

// Takes a value that an object refers to. Returns anything but 0 to end the visit.
typedef int JSVisit(JSContext *ctx, void *opaque, JSValueConst value);

// Visits the prototype of an ordinary frozen object, and its properties' values and accessors in the order of their names.
// Returns 0, or -1 if `visit` ended it. `visit` must run no program.
int JS_VisitOrdinary(JSContext *ctx, JSValueConst object, JSVisit *visit, void *opaque);

// Whether an object was hardened.
bool JS_IsHardened(JSValueConst object);
void JS_SetHardened(JSValueConst object);
