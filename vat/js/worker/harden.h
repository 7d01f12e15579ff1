// A native `harden`, which SES takes in place of its own if the start compartment has one.
#pragma once
#include "quickjs.h"

// harden(root): freezes root and all that is reachable from it by properties and prototypes. Returns root, or throws
// and has then noted nothing as hardened.
JSValue harden(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv);
