//! JavaScript engine for vats: QuickJS-ng compiled to wasm, and the scripts that make it a vat
//! worker.
//!
//! ```
//! // The engine's module, and its hash in hexadecimal.
//! assert!(capstan_vat_js::worker().starts_with(b"\0asm"));
//! assert_eq!(capstan_vat_js::worker_hash().len(), 64);
//!
//! // The scripts that boot it, in order.
//! let names = capstan_vat_js::boot_scripts().map(|(name, _)| name);
//! assert_eq!(names, ["shims", "lockdown", "options", "console", "beginning", "supervisor"]);
//! ```
//!
//! [`worker`] is a wasm module that speaks the vat ABI in JSON (`capstan_abi::Encoding::Json`). It
//! has these exports:
//!
//! * `memory` has a maximum of 128 MiB. Its first megabyte is the stack.
//! * `capstan_abi() -> i32` returns 2.
//! * `capstan_alloc(len) -> ptr` allocates memory for an argument of the next two functions, which
//!   free it.
//! * `capstan_boot(ptr, len) -> i32` evaluates a script. It returns 0, or 1 if the script threw,
//!   and logs the reason.
//! * `capstan_deliver(ptr, len)` passes one JSON command to the supervisor and runs until the vat
//!   is quiescent. Commands are `["setBundle", vatID, bundle, options, isEarly, isNew]`,
//!   `["setVatID", vatID]` and `["deliver", delivery]`.
//!
//! It imports these functions, all from module `capstan`:
//!
//! * `syscall(ptr, len) -> i32` passes one JSON command of the supervisor to the host and returns
//!   the length of the answer. `["syscall", s]` is answered by a `VatSyscallResult`. `["testLog",
//!   text…]` and `["sourcedConsole", source, level, text…]` have an empty answer.
//! * `take_result(ptr)` copies that answer to `ptr`.
//! * `done(ptr, len)` reports the JSON reply to the command of `capstan_deliver`, once, at its end.
//!   The reply is `["dispatchReady"]`, a `VatDeliveryResult`, or `["err", name, message]` if the
//!   supervisor threw.
//! * `log(level, ptr, len)` logs a line of text. Level 0 is error, 1 warning, 2 information and 3
//!   debug.
//! * `fault(kind)` reports that the vat ran out of memory or stack (`capstan_abi::Fault`). It never
//!   returns. If the stack is too deep for that call, the engine traps at an address out of bounds,
//!   which is the same fault.
//!
//! A new instance evaluates [`boot_scripts`] in order. Its linear memory is then the base image of
//! every JavaScript vat. Between two calls the wasm stack is empty. The only mutable global, the
//! stack pointer, is then back at its initial value, so linear memory alone is the vat's state.

#![forbid(unsafe_code)]

use sha2::{Digest, Sha256};

/// Returns the engine as a wasm module.
pub fn worker() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/worker.wasm"))
}

/// Returns the SHA-256 of [`worker`], in hexadecimal.
pub fn worker_hash() -> &'static str {
    include_str!(concat!(env!("OUT_DIR"), "/worker.sha256"))
}

/// Returns the scripts that boot the engine, with their names, in the order of evaluation.
///
/// The shims make QuickJS-ng look like xsnap. SES lockdown follows, then what some options of vats
/// give, what makes a vat's lines, the beginning of new vats, and then the supervisor with Agoric's liveslots.
pub fn boot_scripts() -> [(&'static str, &'static [u8]); 6] {
    [
        ("shims", include_bytes!("shims.js")),
        ("lockdown", include_bytes!(concat!(env!("OUT_DIR"), "/lockdown.js"))),
        ("options", include_bytes!("options.js")),
        ("console", include_bytes!("console.js")),
        ("beginning", include_bytes!("beginning.js")),
        ("supervisor", include_bytes!(concat!(env!("OUT_DIR"), "/supervisor.js"))),
    ]
}

/// Returns the identity of the booted engine: a SHA-256 over [`worker`] and [`boot_scripts`]. Each
/// part is preceded by its length as eight bytes, little-endian.
pub fn boot_hash() -> [u8; 32] {
    let mut hasher = Sha256::new();
    let scripts = boot_scripts().into_iter().map(|(_, script)| script);
    for part in std::iter::once(worker()).chain(scripts) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
