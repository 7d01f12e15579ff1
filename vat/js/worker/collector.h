// What build/seams.rs adds to the engine's collector of cycles.
#pragma once
#include "quickjs.h"

// Collects, without looking at old objects.
void JS_RunYoungGC(JSRuntime *runtime);

// Collects everything, and makes old what lives.
void JS_AgeHeap(JSRuntime *runtime);
