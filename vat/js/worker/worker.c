// The JavaScript engine as a Capstan worker: the exports of the vat ABI around QuickJS-ng.
//
// Between two calls the wasm stack is empty, so the linear memory alone is the vat's state.
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "collector.h"
#include "globals.h"
#include "host.h"
#include "rejections.h"

// The encoding that `capstan_abi` names: JSON commands.
enum { ABI_JSON = 2 };

// Heap growth after which the engine looks for cycles by itself. Collections cost points and time, and nothing else
// observes them. Vats collect in every bringOutYourDead.
enum { GC_THRESHOLD_BYTES = 16 * 1024 * 1024 };

static JSRuntime *runtime;
static JSContext *context;

// The allocator under the engine. Memory that is refused ends the vat. So no program can catch it and go on in a heap
// that depends on how much memory there is.
static void *allocated(void *memory) {
  if (!memory) host_fault(FAULT_ALLOCATE);
  return memory;
}
static void *heap_calloc(void *opaque, size_t count, size_t size) {
  return allocated(calloc(count, size));
}
static void *heap_malloc(void *opaque, size_t size) { return allocated(malloc(size)); }
static void *heap_realloc(void *opaque, void *memory, size_t size) {
  return allocated(realloc(memory, size));
}
static void heap_free(void *opaque, void *memory) { free(memory); }
size_t malloc_usable_size(void *memory);  // libc.a has it, its headers do not declare it
static size_t heap_usable_size(const void *memory) { return malloc_usable_size((void *)memory); }

static const JSMallocFunctions HEAP = {heap_calloc, heap_malloc, heap_free, heap_realloc,
                                       heap_usable_size};

// The clock that QuickJS's wasm shim asks for, which always shows zero.
double __rquickjs_host_now_us(void) { return 0; }

static void start_engine(void) {
  runtime = JS_NewRuntime2(&HEAP, NULL);
  JS_SetMaxStackSize(runtime, 0);  // stack_limit.h has the limit
  JS_SetGCThreshold(runtime, GC_THRESHOLD_BYTES);
  context = JS_NewContextRaw(runtime);
  JS_AddIntrinsicBaseObjects(context);
  JS_AddIntrinsicDate(context);
  JS_AddIntrinsicEval(context);
  JS_AddIntrinsicRegExp(context);
  JS_AddIntrinsicJSON(context);
  JS_AddIntrinsicProxy(context);
  JS_AddIntrinsicMapSet(context);
  JS_AddIntrinsicTypedArrays(context);
  JS_AddIntrinsicPromise(context);
  JS_AddIntrinsicBigInt(context);
  JS_AddIntrinsicWeakRef(context);
  globals_define(context);
  rejections_follow(runtime);
}

static void log_text(enum log_level level, JSValueConst value) {
  size_t length;
  const char *text = JS_ToCStringLen(context, &length, value);
  if (text) host_log(level, text, length);
  else JS_FreeValue(context, JS_GetException(context));
  JS_FreeCString(context, text);
}

// Logs the exception that the last call left, with its stack.
static void log_exception(void) {
  JSValue exception = JS_GetException(context);
  log_text(LOG_ERROR, exception);
  if (JS_IsObject(exception)) {
    JSValue stack = JS_GetPropertyStr(context, exception, "stack");
    if (JS_IsException(stack)) JS_FreeValue(context, JS_GetException(context));
    else if (JS_IsString(stack)) log_text(LOG_ERROR, stack);
    JS_FreeValue(context, stack);
  }
  JS_FreeValue(context, exception);
}

// Runs promise jobs, and one function given to setImmediate whenever no job is left, until nothing is left to do. An
// exception of a job is logged, since nobody can catch it. So is a rejection that nobody handles when no job is left.
// Liveslots waits for an immediate until the vat's code rests, so that this is still within its turn.
static void run_to_rest(void) {
  for (;;) {
    JSContext *job_context;
    int outcome;
    while ((outcome = JS_ExecutePendingJob(runtime, &job_context)) != 0) {
      if (outcome < 0) log_exception();
    }
    if (rejections_report(context)) continue;
    JSValue immediate;
    if (!globals_next_immediate(&immediate)) return;
    JSValue result = JS_Call(context, immediate, JS_UNDEFINED, 0, NULL);
    JS_FreeValue(context, immediate);
    if (JS_IsException(result)) log_exception();
    JS_FreeValue(context, result);
  }
}

// Calls the supervisor's `handleCommand`. Returns JS_EXCEPTION if there is none or if it throws.
static JSValue handle_command(const uint8_t *command, uint32_t length) {
  JSValue global = JS_GetGlobalObject(context);
  JSValue handler = JS_GetPropertyStr(context, global, "handleCommand");
  JSValue buffer = JS_NewArrayBufferCopy(context, command, length);
  JSValue report = JS_Call(context, handler, global, 1, (JSValueConst *)&buffer);
  JS_FreeValue(context, buffer);
  JS_FreeValue(context, handler);
  JS_FreeValue(context, global);
  return report;
}

CAPSTAN_EXPORT("capstan_abi") int32_t capstan_abi(void) { return ABI_JSON; }

// Allocates memory for an argument of `capstan_boot` or `capstan_deliver`, which free it. It ends with one more byte
// than asked for, a zero, as the engine's parser wants it after a script.
CAPSTAN_EXPORT("capstan_alloc") uint8_t *capstan_alloc(uint32_t length) {
  uint8_t *memory = allocated(length == UINT32_MAX ? NULL : malloc(length + 1));
  memory[length] = 0;
  return memory;
}

// Evaluates a script in the start compartment, until the worker is quiescent. Returns 0, or 1 after logging what the
// script threw. Objects that it leaves are permanent.
CAPSTAN_EXPORT("capstan_boot") int32_t capstan_boot(uint8_t *script, uint32_t length) {
  if (!runtime) start_engine();
  JSValue value = JS_Eval(context, (const char *)script, length, "boot", JS_EVAL_TYPE_GLOBAL);
  free(script);
  int32_t failed = JS_IsException(value);
  if (failed) log_exception();
  JS_FreeValue(context, value);
  run_to_rest();
  JS_KeepHeap(runtime);
  return failed;
}

// Hands the supervisor one JSON command, runs until the worker is quiescent, and reports the reply by `done`.
CAPSTAN_EXPORT("capstan_deliver") void capstan_deliver(uint8_t *command, uint32_t length) {
  static const char NO_REPLY[] = "[\"error\",\"the supervisor gave no reply\",null]";
  if (!runtime) start_engine();
  JSValue report = handle_command(command, length);
  free(command);
  if (JS_IsException(report)) log_exception();
  run_to_rest();
  JSValue result = JS_UNDEFINED;
  if (JS_IsObject(report)) result = JS_GetPropertyStr(context, report, "result");
  if (JS_IsArrayBuffer(result)) {
    size_t size;
    uint8_t *reply = JS_GetArrayBuffer(context, &size, result);
    host_done(reply, size);
  } else {
    host_done((const uint8_t *)NO_REPLY, sizeof NO_REPLY - 1);
  }
  JS_FreeValue(context, result);
  JS_FreeValue(context, report);
  // With an empty stack a collection finds the same objects first, and so leaves most of the heap's pages as they were.
  if (globals_take_full_collection()) JS_RunGC(runtime);
  if (globals_take_aging()) JS_AgeHeap(runtime);
}
