// Functions of the host: the imports of module `capstan`.
#pragma once
#include <stdint.h>

#define CAPSTAN_IMPORT(name) __attribute__((import_module("capstan"), import_name(name)))
#define CAPSTAN_EXPORT(name) __attribute__((export_name(name)))

// Resources that a vat can exhaust, numbered as in the vat ABI's `Fault`.
enum fault { FAULT_ALLOCATE = 1, FAULT_STACK = 2 };

// Levels of `host_log`.
enum log_level { LOG_ERROR = 0, LOG_WARN = 1, LOG_INFO = 2, LOG_DEBUG = 3 };

// Hands the host one JSON command (`["syscall", …]`, `["testLog", …]`, `["sourcedConsole", …]`). Returns the length of
// its answer, which is 0 for none.
CAPSTAN_IMPORT("syscall") int32_t host_syscall(const uint8_t *command, uint32_t length);
// Copies the answer of the last `host_syscall` to `target`.
CAPSTAN_IMPORT("take_result") void host_take_result(uint8_t *target);
// Writes a line to the node's log, outside consensus.
CAPSTAN_IMPORT("log") void host_log(int32_t level, const char *text, uint32_t length);
// Reports the reply to the command of `capstan_deliver`, once the vat is quiescent.
CAPSTAN_IMPORT("done") void host_done(const uint8_t *reply, uint32_t length);
// Ends the vat.
CAPSTAN_IMPORT("fault") _Noreturn void host_fault(int32_t kind);
