#include "rejections.h"

#include <string.h>

// Rejections that are remembered at a time. They live until the vat rests, so that there must be a bound. Later ones
// are not reported.
enum { MAX_REJECTIONS = 32 };

typedef struct {
  JSValue promise;
  JSValue reason;
} rejection;

static rejection unhandled[MAX_REJECTIONS];
static uint32_t unhandled_count;

static void forget(JSContext *ctx, uint32_t index) {
  rejection gone = unhandled[index];
  unhandled_count--;
  memmove(&unhandled[index], &unhandled[index + 1], (unhandled_count - index) * sizeof gone);
  JS_FreeValue(ctx, gone.promise);
  JS_FreeValue(ctx, gone.reason);
}

// The engine's tracker: a promise was rejected without a handler, or it now has its first one.
static void track(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool is_handled, void *opaque) {
  if (!is_handled) {
    if (unhandled_count == MAX_REJECTIONS) return;
    unhandled[unhandled_count++] = (rejection){JS_DupValue(ctx, promise), JS_DupValue(ctx, reason)};
    return;
  }
  for (uint32_t index = 0; index < unhandled_count; index++) {
    if (JS_VALUE_GET_PTR(unhandled[index].promise) != JS_VALUE_GET_PTR(promise)) continue;
    forget(ctx, index);
    return;
  }
}

void rejections_follow(JSRuntime *runtime) {
  JS_SetHostPromiseRejectionTracker(runtime, track, NULL);
}

// Hands a reason to the supervisor's console. What that throws is the printed object's fault, and nobody's to catch.
static void report(JSContext *ctx, JSValueConst console, JSValueConst reason) {
  JSValue function = JS_GetPropertyStr(ctx, console, "unhandled");
  if (JS_IsFunction(ctx, function)) {
    JSValue result = JS_Call(ctx, function, console, 1, &reason);
    if (JS_IsException(result)) JS_FreeValue(ctx, JS_GetException(ctx));
    JS_FreeValue(ctx, result);
  }
  JS_FreeValue(ctx, function);
}

bool rejections_report(JSContext *ctx) {
  if (unhandled_count == 0) return false;
  JSValue global = JS_GetGlobalObject(ctx);
  JSValue console = JS_GetPropertyStr(ctx, global, "capstanConsole");
  for (uint32_t count = unhandled_count; count > 0 && unhandled_count > 0; count--) {
    JSValue reason = JS_DupValue(ctx, unhandled[0].reason);
    forget(ctx, 0);
    if (JS_IsObject(console)) report(ctx, console, reason);
    JS_FreeValue(ctx, reason);
  }
  JS_FreeValue(ctx, console);
  JS_FreeValue(ctx, global);
  return true;
}
