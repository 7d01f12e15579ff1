// Functions that JavaScript finds in the worker's start compartment.
#pragma once
#include "quickjs.h"

// Defines what an xsnap worker has (`print`, `issueCommand`, `setImmediate`, `gc`,
// `currentMeterLimit`, `resetMeter`), and for src/shims.js the object `capstanNatives`.
void globals_define(JSContext *ctx);

// Takes the first function that was given to `setImmediate`. Returns false if none is left.
bool globals_next_immediate(JSValue *function);

// Returns true if `gc(true)` was called since the last call of this function.
bool globals_take_aging(void);

// Returns true if a collection among old objects is due since the last call of this function.
bool globals_take_full_collection(void);
