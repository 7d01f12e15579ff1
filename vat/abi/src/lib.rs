//! The vat ABI: what crosses the boundary between the kernel and a vat.
//!
//! The kernel hands a vat one [`Delivery`] at a time; while it works on it the vat makes any number
//! of [`Syscall`]s, each answered at once by a [`SyscallResult`]; the delivery ends with a
//! [`DeliveryResult`]. The shapes and their meaning are SwingSet's (`VatDeliveryObject`,
//! `VatSyscallObject`); on the wire between host and wasm module they are
//! [borsh](https://borsh.io) in declaration order, or, for a worker that asks for it, JSON (module
//! [`json`]). References are vrefs: strings such as `o+0` or `p-60`, valid in one vat alone.
//!
//! # The wasm side
//!
//! A worker module exports `memory`, `capstan_abi() -> i32` (one of the [`Encoding`] numbers),
//! `capstan_alloc(len: i32) -> i32` and `capstan_deliver(ptr: i32, len: i32)`. It may import, from
//! module `capstan`, nothing but [`imports`].
//!
//! The host asks `capstan_alloc` for room, writes the encoded delivery there (the buffer is the
//! worker's from then on) and calls `capstan_deliver`, which works until the vat rests, calls
//! [`DONE`](imports::DONE) once with the encoded [`DeliveryResult`], and returns. A delivery that
//! returns without it, or calls it twice, ends the vat.
//!
//! A JavaScript engine ([`Encoding::Json`]) also exports `capstan_boot(ptr: i32, len: i32) -> i32`,
//! which evaluates one boot script (NUL-terminated at `ptr + len`) and returns 0, or another number
//! if it failed. Its deliveries and replies are the commands of Agoric's supervisor
//! (`["deliver", vdo]` and `["setBundle", …]` in; `["ok", …]`, `["error", text, …]` and
//! `["dispatchReady"]` out, through `done`); what it issues itself (`["syscall", vso]`,
//! `["testLog", …]`, `["sourcedConsole", …]`) goes through `syscall`.
#![forbid(unsafe_code)]
#![no_std]

extern crate alloc;

mod delivery;
#[cfg(feature = "json")]
pub mod json;
mod syscall;
mod text;

use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

pub use delivery::{Delivery, DeliveryResult};
pub use syscall::{Syscall, SyscallData, SyscallResult};
pub use text::{JsString, NotWtf8, legible};

/// A reference valid inside one vat: type letter, `+` (exported by the vat) or `-` (imported), and
/// a number with optional virtual-object parts, as in `o+0`, `p-60`, `o+d10/3:1`.
pub type VRef = String;

/// Data with references: a body in smallcaps encoding, whose `$i` and `&i` index into `slots`.
///
/// `R` is the kind of reference: a vref inside a vat, a kref inside the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct CapData<R = VRef> {
    /// `#` followed by JSON (smallcaps); without `#` it is the older `@qclass` encoding. JSON text is UTF-8: a lone
    /// surrogate in a string of it is an escape, as `JSON.stringify` writes it.
    pub body: String,
    /// The references that the body mentions by index.
    pub slots: Vec<R>,
}

/// One settled promise, in a `notify` delivery or a `resolve` syscall.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Resolution<R = VRef> {
    /// The promise that is settled.
    pub promise: R,
    /// True if it is rejected, false if it is fulfilled.
    pub rejected: bool,
    /// What it is settled to.
    pub data: CapData<R>,
}

/// A message: the encoded `[method, args]` and the promise for its result.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Message<R = VRef> {
    /// The encoding of the two-element array `[method, args]`.
    pub methargs: CapData<R>,
    /// The promise to be settled with the answer; none if nobody waits for it.
    pub result: Option<R>,
}

/// How a worker wants its deliveries and syscalls encoded: what its `capstan_abi()` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Borsh in, borsh out: every worker but the JavaScript engine.
    Borsh = 1,
    /// The JSON commands of Agoric's supervisor (`["deliver", …]`, `["syscall", …]`).
    Json = 2,
}

impl Encoding {
    /// The encoding that a worker's `capstan_abi()` names.
    pub fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Borsh),
            2 => Some(Self::Json),
            _ => None,
        }
    }
}

/// The functions a worker may import from module `capstan`, with their wasm signatures.
pub mod imports {
    /// The module name of every import.
    pub const MODULE: &str = "capstan";
    /// `syscall(ptr: i32, len: i32) -> i32`: makes a syscall, returns the length of its result.
    pub const SYSCALL: &str = "syscall";
    /// `take_result(ptr: i32)`: copies the last syscall's result to `ptr`.
    pub const TAKE_RESULT: &str = "take_result";
    /// `done(ptr: i32, len: i32)`: reports how the delivery ended, once, before it returns.
    pub const DONE: &str = "done";
    /// `log(level: i32, ptr: i32, len: i32)`: a line of text for the node's log, outside consensus.
    pub const LOG: &str = "log";
    /// `fault(kind: i32)`: ends the vat; never returns. The kinds are [`Fault`](super::Fault).
    pub const FAULT: &str = "fault";
}

/// Why a vat ran out of something: a property of the vat, the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum Fault {
    /// The crank's computrons are spent.
    Compute = 0,
    /// The vat's memory is at its maximum.
    Allocate = 1,
    /// The vat's stack is at its maximum.
    Stack = 2,
}

impl Fault {
    /// The text that the kernel and the vat's owner see, SwingSet's to the letter.
    pub fn text(self) -> &'static str {
        match self {
            Self::Compute => "Compute meter exceeded",
            Self::Allocate => "Allocate meter exceeded",
            Self::Stack => "Stack meter exceeded",
        }
    }

    /// The fault that a worker's `fault(kind)` names.
    pub fn from_number(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Compute),
            1 => Some(Self::Allocate),
            2 => Some(Self::Stack),
            _ => None,
        }
    }
}
