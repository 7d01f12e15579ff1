#include "globals.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "collector.h"
#include "harden.h"
#include "host.h"

// Functions given to setImmediate. `immediates[first_immediate .. end_immediate]` have not run yet.
static JSValue *immediates;
static uint32_t first_immediate, end_immediate, immediates_capacity;

bool globals_next_immediate(JSValue *function) {
  if (first_immediate == end_immediate) return false;
  *function = immediates[first_immediate++];
  return true;
}

static JSValue set_immediate(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  if (!JS_IsFunction(ctx, argv[0])) return JS_ThrowTypeError(ctx, "setImmediate: not a function");
  if (first_immediate == end_immediate) first_immediate = end_immediate = 0;
  if (end_immediate == immediates_capacity) {
    uint32_t capacity = immediates_capacity ? immediates_capacity * 2 : 16;
    JSValue *larger = js_realloc(ctx, immediates, capacity * sizeof(JSValue));
    if (!larger) return JS_EXCEPTION;
    immediates = larger;
    immediates_capacity = capacity;
  }
  immediates[end_immediate++] = JS_DupValue(ctx, argv[0]);
  return JS_UNDEFINED;
}

// print(...texts): writes one line to the node's log.
static JSValue print(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  char *line = NULL;
  size_t length = 0;
  for (int i = 0; i < argc; i++) {
    size_t size;
    const char *text = JS_ToCStringLen(ctx, &size, argv[i]);
    if (!text) {
      js_free(ctx, line);
      return JS_EXCEPTION;
    }
    char *longer = js_realloc(ctx, line, length + size + 1);
    if (!longer) {
      JS_FreeCString(ctx, text);
      js_free(ctx, line);
      return JS_EXCEPTION;
    }
    line = longer;
    if (i > 0) line[length++] = ' ';
    memcpy(line + length, text, size);
    length += size;
    JS_FreeCString(ctx, text);
  }
  utf8_replace_surrogates((uint8_t *)line, length);
  host_log(LOG_INFO, line, length);
  js_free(ctx, line);
  return JS_UNDEFINED;
}

// Returns an ArrayBuffer that takes over `bytes`, which js_malloc allocated. `bytes` may be NULL.
static JSValue array_buffer(JSContext *ctx, uint8_t *bytes, size_t length) {
  JSValue buffer = JS_NewArrayBufferCopy(ctx, bytes, length);
  js_free(ctx, bytes);
  return buffer;
}

// issueCommand(ArrayBuffer): returns the host's answer as an ArrayBuffer.
static JSValue issue_command(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t length;
  uint8_t *command = JS_GetArrayBuffer(ctx, &length, argv[0]);
  if (!command) return JS_EXCEPTION;
  int32_t answer_length = host_syscall(command, length);
  if (answer_length <= 0) return JS_NewArrayBufferCopy(ctx, NULL, 0);
  uint8_t *answer = js_malloc(ctx, answer_length);
  if (!answer) return JS_EXCEPTION;
  host_take_result(answer);
  return array_buffer(ctx, answer, answer_length);
}

// issueJSON(value): hands the host the value as JSON, and returns the value that its answer is the JSON of. Without an
// answer it returns null.
static JSValue issue_json(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  JSValue text = JS_JSONStringify(ctx, argv[0], JS_UNDEFINED, JS_UNDEFINED);
  if (JS_IsException(text)) return text;
  size_t length;
  // JSON has no lone surrogates, so that this is UTF-8.
  const char *command = JS_ToCStringLen(ctx, &length, text);
  JS_FreeValue(ctx, text);
  if (!command) return JS_EXCEPTION;
  int32_t answer_length = host_syscall((const uint8_t *)command, length);
  JS_FreeCString(ctx, command);
  if (answer_length <= 0) return JS_NULL;
  char *answer = js_malloc(ctx, (size_t)answer_length + 1);
  if (!answer) return JS_EXCEPTION;
  host_take_result((uint8_t *)answer);
  answer[answer_length] = 0;
  JSValue value = JS_ParseJSON(ctx, answer, answer_length, "answer");
  js_free(ctx, answer);
  return value;
}

// expectAnswer(command, answer): whether the host answers the command with these bytes. Both are ArrayBuffers.
static JSValue expect_answer(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t length, expected_length;
  uint8_t *command = JS_GetArrayBuffer(ctx, &length, argv[0]);
  uint8_t *expected = JS_GetArrayBuffer(ctx, &expected_length, argv[1]);
  if (!command || !expected) return JS_EXCEPTION;
  int32_t answer_length = host_syscall(command, length);
  if (answer_length < 0 || (size_t)answer_length != expected_length) return JS_FALSE;
  uint8_t *answer = js_malloc(ctx, expected_length + 1);
  if (!answer) return JS_EXCEPTION;
  host_take_result(answer);
  bool is_expected = !memcmp(answer, expected, expected_length);
  js_free(ctx, answer);
  return JS_NewBool(ctx, is_expected);
}

// Number of collections after which one collects among old objects too. Only garbage in a cycle with objects that
// existed when the vat's bundle had been loaded waits for it.
enum { FULL_COLLECTION_INTERVAL = 16 };

static uint32_t collections;
static bool is_aging_asked_for, is_full_collection_due;

// gc(): collects garbage. gc(true) also makes the objects old that live at the end of the command. So does a collection
// among old objects wait for the end of the command.
static JSValue gc(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  JSRuntime *runtime = JS_GetRuntime(ctx);
  if (argc > 0 && JS_ToBool(ctx, argv[0])) is_aging_asked_for = true;
  if (++collections % FULL_COLLECTION_INTERVAL == 0) is_full_collection_due = true;
  JS_RunYoungGC(runtime);
  return JS_UNDEFINED;
}

bool globals_take_full_collection(void) {
  bool is_due = is_full_collection_due;
  is_full_collection_due = false;
  return is_due;
}

bool globals_take_aging(void) {
  bool is_asked_for = is_aging_asked_for;
  is_aging_asked_for = false;
  return is_asked_for;
}

// Has no effect. The supervisor switches xsnap's meter off and on, but our meter belongs to the host and never stops.
static JSValue no_meter(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  return JS_NewInt32(ctx, 0);
}

// utf8Encode(text): returns an ArrayBuffer.
static JSValue utf8_encode(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t length;
  const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
  if (!text) return JS_EXCEPTION;
  JSValue buffer = JS_NewArrayBufferCopy(ctx, (const uint8_t *)text, length);
  JS_FreeCString(ctx, text);
  size_t size;
  uint8_t *bytes = JS_GetArrayBuffer(ctx, &size, buffer);
  if (bytes) utf8_replace_surrogates(bytes, size);
  return buffer;
}

// Returns the bytes `[offset, offset + length)` of the ArrayBuffer `argv[0]`, or NULL after throwing.
static const uint8_t *byte_range(JSContext *ctx, JSValueConst *argv, size_t *length) {
  size_t size;
  const uint8_t *bytes = JS_GetArrayBuffer(ctx, &size, argv[0]);
  if (!bytes) return NULL;
  uint32_t offset, count;
  if (JS_ToUint32(ctx, &offset, argv[1]) || JS_ToUint32(ctx, &count, argv[2])) return NULL;
  if (offset > size || count > size - offset) {
    JS_ThrowRangeError(ctx, "bytes out of the buffer's bounds");
    return NULL;
  }
  *length = count;
  return bytes + offset;
}

// utf8Decode(ArrayBuffer, offset, length, fatal): returns the text.
static JSValue utf8_decode(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t length;
  const uint8_t *bytes = byte_range(ctx, argv, &length);
  if (!bytes) return JS_EXCEPTION;
  if (utf8_is_valid(bytes, length)) return JS_NewStringLen(ctx, (const char *)bytes, length);
  if (JS_ToBool(ctx, argv[3])) return JS_ThrowTypeError(ctx, "the encoded data is not valid UTF-8");
  uint8_t *repaired = js_malloc(ctx, length * 3);
  if (!repaired) return JS_EXCEPTION;
  size_t size = utf8_repair(bytes, length, repaired);
  JSValue text = JS_NewStringLen(ctx, (const char *)repaired, size);
  js_free(ctx, repaired);
  return text;
}

// base64Encode(ArrayBuffer, offset, length): returns the text.
static JSValue base64_encode_bytes(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t length;
  const uint8_t *bytes = byte_range(ctx, argv, &length);
  if (!bytes) return JS_EXCEPTION;
  size_t size = base64_encoded_length(length);
  char *text = js_malloc(ctx, size + 1);
  if (!text) return JS_EXCEPTION;
  base64_encode(bytes, length, text);
  JSValue string = JS_NewStringLen(ctx, text, size);
  js_free(ctx, text);
  return string;
}

// base64Decode(text): returns an ArrayBuffer.
static JSValue base64_decode_text(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t length;
  const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
  if (!text) return JS_EXCEPTION;
  uint8_t *bytes = js_malloc(ctx, length / 4 * 3 + 1);
  int64_t size = bytes ? base64_decode(text, length, bytes) : -1;
  JS_FreeCString(ctx, text);
  if (!bytes) return JS_EXCEPTION;
  if (size >= 0) return array_buffer(ctx, bytes, size);
  js_free(ctx, bytes);
  return JS_ThrowTypeError(ctx, "invalid base64");
}

typedef struct {
  const char *name;
  JSCFunction *function;
  int arity;
} definition;

static const definition GLOBALS[] = {
    {"print", print, 1},
    {"issueCommand", issue_command, 1},
    {"issueJSON", issue_json, 1},
    {"expectAnswer", expect_answer, 2},
    {"setImmediate", set_immediate, 1},
    {"gc", gc, 0},
    {"currentMeterLimit", no_meter, 0},
    {"resetMeter", no_meter, 2},
};

static const definition NATIVES[] = {
    {"utf8Encode", utf8_encode, 1},
    {"utf8Decode", utf8_decode, 4},
    {"base64Encode", base64_encode_bytes, 3},
    {"base64Decode", base64_decode_text, 1},
    {"harden", harden, 1},
};

static void define(JSContext *ctx, JSValue object, const definition *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    JSValue function = JS_NewCFunction(ctx, list[i].function, list[i].name, list[i].arity);
    JS_SetPropertyStr(ctx, object, list[i].name, function);
  }
}

void globals_define(JSContext *ctx) {
  JSValue global = JS_GetGlobalObject(ctx);
  define(ctx, global, GLOBALS, sizeof GLOBALS / sizeof *GLOBALS);
  JSValue natives = JS_NewObject(ctx);
  define(ctx, natives, NATIVES, sizeof NATIVES / sizeof *NATIVES);
  JS_SetPropertyStr(ctx, global, "capstanNatives", natives);
  JS_FreeValue(ctx, global);
}
