// A native `harden`, which SES takes in place of its own if the start compartment has one.
#pragma once
#include "quickjs.h"

// Prepares hardening. Must be called before any script, while `WeakSet` is the engine's own.
void harden_start(JSContext *ctx);

// harden(root): freezes root and all that is reachable from it by properties and prototypes. Returns root, or throws
// and has then noted nothing as hardened.
JSValue harden(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv);
