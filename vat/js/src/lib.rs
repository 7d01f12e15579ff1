//! JavaScript vats: QuickJS-ng compiled to wasm, and the scripts that make it a vat worker.
//!
//! [`worker`] is a wasm module with the vat ABI in its JSON encoding
//! (`capstan_abi::Encoding::Json`). Exports:
//!
//! * `memory`; the first megabyte is the stack, the maximum is 128 MiB;
//! * `capstan_abi() -> i32`: 2;
//! * `capstan_alloc(len) -> ptr`: memory for an argument of the next two, which free it;
//! * `capstan_boot(ptr, len) -> i32`: evaluates a script; 0, or 1 if it threw (which is logged);
//! * `capstan_deliver(ptr, len)`: hands the supervisor one JSON command (`["setBundle", vatID,
//!   bundle, liveSlotsOptions]`, `["deliver", delivery]`) and runs to quiescence.
//!
//! Imports, all of module `capstan`:
//!
//! * `syscall(ptr, len) -> i32` and `take_result(ptr)`: one JSON command of the supervisor and the
//!   length and bytes of its answer. `["syscall", s]` is answered by a `VatSyscallResult`; the
//!   others, `["testLog", text…]` and `["sourcedConsole", source, level, text…]`, by nothing
//!   (length 0);
//! * `done(ptr, len)`: the JSON reply to `capstan_deliver`'s command, once, at its end:
//!   `["dispatchReady"]`, or a `VatDeliveryResult`; or `["err", name, message]` if the supervisor
//!   threw;
//! * `log(level, ptr, len)`: a line of text, level 0 error, 1 warning, 2 information, 3 debug;
//! * `fault(kind)`: the vat ran out of memory or stack (`capstan_abi::Fault`); never returns. A
//!   stack so deep that the engine could not ask traps at an address out of bounds: the same fault.
//!
//! A new instance evaluates [`boot_scripts`] in order; its linear memory is then the base image of
//! every JavaScript vat. Between two calls the wasm stack is empty and the one mutable global, the
//! stack pointer, is at rest, so linear memory alone is the vat's state.

#![forbid(unsafe_code)]

use sha2::{Digest, Sha256};

/// The engine: a wasm module.
pub fn worker() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/worker.wasm"))
}

/// The SHA-256 of [`worker`], in hexadecimal.
pub fn worker_hash() -> &'static str {
    include_str!(concat!(env!("OUT_DIR"), "/worker.sha256"))
}

/// The scripts that boot the engine, with their names, in the order of evaluation: the shims that
/// make QuickJS-ng look like xsnap, SES lockdown, and the supervisor with Agoric's liveslots.
pub fn boot_scripts() -> [(&'static str, &'static [u8]); 3] {
    [
        ("shims", include_bytes!("shims.js")),
        ("lockdown", include_bytes!(concat!(env!("OUT_DIR"), "/lockdown.js"))),
        ("supervisor", include_bytes!(concat!(env!("OUT_DIR"), "/supervisor.js"))),
    ]
}

/// The identity of the booted engine: SHA-256 over the module and the scripts, each preceded by its
/// length as eight bytes, little-endian.
pub fn boot_hash() -> [u8; 32] {
    let mut hasher = Sha256::new();
    let scripts = boot_scripts().into_iter().map(|(_, script)| script);
    for part in std::iter::once(worker()).chain(scripts) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
