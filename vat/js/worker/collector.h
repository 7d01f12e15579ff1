// Functions that build/seams.rs adds to the engine's collector of cycles.
#pragma once
#include "quickjs.h"

// Collects garbage among young objects.
void JS_RunYoungGC(JSRuntime *runtime);

// Collects garbage among all objects, and makes the survivors old.
void JS_AgeHeap(JSRuntime *runtime);

// Does the same, and makes what is left permanent: it is never freed, and no collection visits it.
void JS_KeepHeap(JSRuntime *runtime);
