// The words for a callee that is no function, as V8 has them: `x.nothing is not a function`. They are read off the caller's
// bytecode. quickjs.c includes this behind its table of operators.
#pragma once

// Operators before the call that are looked at, parts of a name, and bytes of a part and of the name.
enum { CALLEE_STEPS = 64, CALLEE_PARTS = 4, CALLEE_PART_BYTES = 48, CALLEE_BYTES = 224 };

typedef struct {
  JSContext *ctx;
  const JSFunctionBytecode *code;
  // The last operators up to the call, as a ring.
  const uint8_t *ring[CALLEE_STEPS];
  int total;
} callee_steps;

static const char CALLEE_UNKNOWN[] = "(intermediate value)";

static bool callee_collect(callee_steps *steps, const JSStackFrame *frame) {
  const uint8_t *pc = steps->code->byte_code_buf;
  const uint8_t *end = frame->cur_pc;
  if (!end || end < pc || end > pc + steps->code->byte_code_len) return false;
  for (; pc < end; pc += short_opcode_info(*pc).size) steps->ring[steps->total++ % CALLEE_STEPS] = pc;
  return pc == end && steps->total > 0;
}

// Values that an operator takes off the stack.
static int callee_pops(const uint8_t *pc) {
  const JSOpCode *info = &short_opcode_info(*pc);
  switch (info->fmt) {
  case OP_FMT_npop:
  case OP_FMT_npop_u16:
    return info->n_pop + get_u16(pc + 1);
  case OP_FMT_npopx:
    return info->n_pop + (*pc - OP_call0);
  default:
    return info->n_pop;
  }
}

static bool callee_is_jump(const uint8_t *pc) {
  switch (short_opcode_info(*pc).fmt) {
  case OP_FMT_label8:
  case OP_FMT_label16:
  case OP_FMT_label:
  case OP_FMT_atom_label_u8:
  case OP_FMT_atom_label_u16:
  case OP_FMT_label_u16:
    return true;
  default:
    return *pc == OP_ret;
  }
}

// Finds the operator before step `before` that put a value on the stack with `*above` others on it. Returns its step, or
// -1 if that is not certain. `*above` then counts within what the operator put there.
static int callee_producer(const callee_steps *steps, int before, int *above) {
  for (int step = before - 1; step >= 0 && step >= steps->total - CALLEE_STEPS; step--) {
    const uint8_t *pc = steps->ring[step % CALLEE_STEPS];
    if (callee_is_jump(pc)) return -1;
    int pushes = short_opcode_info(*pc).n_push;
    if (*above < pushes) return step;
    *above += callee_pops(pc) - pushes;
  }
  return -1;
}

// Returns the variable that an operator reads, or JS_ATOM_NULL if it is none.
static JSAtom callee_variable(const JSFunctionBytecode *code, const uint8_t *pc) {
  int local = -1, argument = -1, outer = -1;
  switch (*pc) {
  case OP_get_var:
  case OP_get_var_undef: return get_u32(pc + 1);
  case OP_push_this: return JS_ATOM_this;
  case OP_get_loc:
  case OP_get_loc_check: local = get_u16(pc + 1); break;
  case OP_get_loc8: local = pc[1]; break;
  case OP_get_loc0: case OP_get_loc1: case OP_get_loc2: case OP_get_loc3: local = *pc - OP_get_loc0; break;
  case OP_get_arg: argument = get_u16(pc + 1); break;
  case OP_get_arg0: case OP_get_arg1: case OP_get_arg2: case OP_get_arg3: argument = *pc - OP_get_arg0; break;
  case OP_get_var_ref:
  case OP_get_var_ref_check: outer = get_u16(pc + 1); break;
  case OP_get_var_ref0: case OP_get_var_ref1: case OP_get_var_ref2: case OP_get_var_ref3:
    outer = *pc - OP_get_var_ref0;
    break;
  default: break;
  }
  if (local >= 0 && local < code->var_count) return code->vardefs[code->arg_count + local].var_name;
  if (argument >= 0 && argument < code->arg_count) return code->vardefs[argument].var_name;
  if (outer >= 0 && outer < code->closure_var_count) return code->closure_var[outer].var_name;
  return JS_ATOM_NULL;
}

// Writes the expression of the value with `above` others on it before step `before`. Returns false if it has no name.
static bool callee_name(const callee_steps *steps, int before, int above, char name[CALLEE_BYTES]) {
  char fields[CALLEE_PARTS][CALLEE_PART_BYTES];
  int count = 0;
  const char *root = CALLEE_UNKNOWN;
  char variable[CALLEE_PART_BYTES];
  for (;;) {
    int step = callee_producer(steps, before, &above);
    if (step < 0) break;
    const uint8_t *pc = steps->ring[step % CALLEE_STEPS];
    JSAtom atom = callee_variable(steps->code, pc);
    if (atom != JS_ATOM_NULL) {
      root = JS_AtomGetStr(steps->ctx, variable, sizeof variable, atom);
      break;
    }
    bool is_field = *pc == OP_get_field || (*pc == OP_get_field2 && above == 0);
    if (!is_field || count == CALLEE_PARTS) break;
    JS_AtomGetStr(steps->ctx, fields[count++], CALLEE_PART_BYTES, get_u32(pc + 1));
    before = step;
    above = 0;
  }
  if (root == CALLEE_UNKNOWN && count == 0) return false;
  size_t length = snprintf(name, CALLEE_BYTES, "%s", root);
  while (count > 0 && length < CALLEE_BYTES) {
    length += snprintf(name + length, CALLEE_BYTES - length, ".%s", fields[--count]);
  }
  return true;
}

// Throws the TypeError for a call of what is no function.
static JSValue js_throw_callee(JSContext *ctx) {
  const JSStackFrame *frame = ctx->rt->current_stack_frame;
  if (!frame || JS_VALUE_GET_TAG(frame->cur_func) != JS_TAG_OBJECT) return JS_ThrowTypeErrorNotAFunction(ctx);
  const JSObject *caller = JS_VALUE_GET_OBJ(frame->cur_func);
  if (!js_class_has_bytecode(caller->class_id)) return JS_ThrowTypeErrorNotAFunction(ctx);
  callee_steps steps = {.ctx = ctx, .code = caller->u.func.function_bytecode};
  if (!callee_collect(&steps, frame)) return JS_ThrowTypeErrorNotAFunction(ctx);
  int last = steps.total - 1, arguments;
  const uint8_t *call = steps.ring[last % CALLEE_STEPS];
  switch (*call) {
  case OP_call:
  case OP_tail_call:
  case OP_call_method:
  case OP_tail_call_method: arguments = get_u16(call + 1); break;
  case OP_call0: case OP_call1: case OP_call2: case OP_call3: arguments = *call - OP_call0; break;
  default: return JS_ThrowTypeErrorNotAFunction(ctx);
  }
  char name[CALLEE_BYTES];
  if (!callee_name(&steps, last, arguments, name)) return JS_ThrowTypeErrorNotAFunction(ctx);
  return JS_ThrowTypeError(ctx, "%s is not a function", name);
}
