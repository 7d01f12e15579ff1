// A native `harden`, which SES takes in place of its own if the start compartment has one.
#pragma once
#include "quickjs.h"

// Makes ready; to be called before any script, while `WeakSet` is the engine's own.
void harden_start(JSContext *ctx);

// harden(root): root, after it and all that is reachable from it by properties and prototypes was
// frozen; or throws, having noted nothing as hardened.
JSValue harden(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv);
