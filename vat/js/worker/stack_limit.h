// A stack limit that ends the vat instead of throwing. Included before every source of QuickJS.
//
// QuickJS asks for its frame's address for one purpose. It compares the address with a limit, and throws a RangeError
// that a program can catch. JavaScript semantics would then depend on the depth of the stack. Here the question itself
// is answered by the fault, and the engine's own limit is off.
//
// The stack lies at the bottom of linear memory and grows down to address zero. The reserve is for functions below the
// last check. If they need more, they trap at an address out of bounds, which the host takes as the same fault.
#pragma once
#include "host.h"

enum { STACK_RESERVE_BYTES = 16 * 1024 };

static inline __attribute__((always_inline)) void *capstan_frame_address(void) {
  void *frame = __builtin_frame_address(0);
  if (__builtin_expect((uintptr_t)frame < STACK_RESERVE_BYTES, 0)) host_fault(FAULT_STACK);
  return frame;
}

#define __builtin_frame_address(level) capstan_frame_address()
