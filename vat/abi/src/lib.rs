//! Data types and encodings of the vat ABI: everything that crosses the boundary between the kernel
//! and a vat.
//!
//! The kernel hands a vat one [`Delivery`] at a time. While the vat works on it, it makes any
//! number of [`Syscall`]s. Each is answered synchronously by a [`SyscallResult`]. The delivery ends
//! with a [`DeliveryResult`]. These types follow SwingSet's `VatDeliveryObject` and
//! `VatSyscallObject`.
//!
//! Between host and wasm module, values are encoded in [borsh](https://borsh.io), with variants and
//! fields in declaration order. A worker can ask for JSON instead (module `json`, behind the
//! feature of that name). References are vrefs: strings such as `o+0` or `p-60`, which are valid in
//! one vat only.
//!
//! # Example
//!
//! A delivery as the host sends it to a worker that speaks [`Encoding::Borsh`]:
//!
//! ```
//! use capstan_abi::{CapData, Delivery, Message};
//!
//! let delivery = Delivery::Message {
//!     target: "o+0".to_string(),
//!     message: Message {
//!         methargs: CapData { body: r#"#["hello",["world"]]"#.to_string(), slots: vec![] },
//!         result: Some("p-60".to_string()),
//!     },
//! };
//! let bytes = borsh::to_vec(&delivery)?;
//! let decoded: Delivery = borsh::from_slice(&bytes)?;
//! assert_eq!(decoded, delivery);
//! assert_eq!(decoded.result(), Some(&"p-60".to_string()));
//! # Ok::<(), borsh::io::Error>(())
//! ```
//!
//! # The wasm side
//!
//! A worker module exports four items: `memory`, `capstan_abi() -> i32`, `capstan_alloc(len: i32)
//! -> i32` and `capstan_deliver(ptr: i32, len: i32)`. `capstan_abi` returns 1, for
//! [`Encoding::Borsh`]. Only a JavaScript engine speaks JSON: any other module that returns 2 is
//! refused. The module may import only the functions of [`imports`], from module `capstan`.
//!
//! For each delivery the host takes these steps:
//!
//! * It calls `capstan_alloc` and writes the encoded delivery to the returned address. From then on
//!   the worker owns that buffer.
//! * It calls `capstan_deliver`, which works until the vat is quiescent. The worker reports the
//!   encoded [`DeliveryResult`] by one call of [`DONE`](imports::DONE), and returns.
//!
//! A delivery that returns without calling `DONE`, or calls it twice, terminates the vat.
//!
//! # JavaScript engines
//!
//! An engine ([`Encoding::Json`]) also exports `capstan_boot(ptr: i32, len: i32) -> i32`. That
//! function evaluates one boot script, which is NUL-terminated at `ptr + len`. It returns 0 on
//! success and another number on failure.
//!
//! Commands and replies are those of Agoric's supervisor:
//!
//! * `capstan_deliver` receives `["deliver", vdo]` or `["setBundle", …]`.
//! * `done` reports `["ok", …]`, `["error", text, …]` or `["dispatchReady"]`.
//! * `syscall` carries what the worker itself issues: `["syscall", vso]`, `["testLog", …]` and
//!   `["sourcedConsole", …]`.
#![forbid(unsafe_code)]
#![no_std]

extern crate alloc;

mod bundle_id;
mod delivery;
#[cfg(feature = "json")]
pub mod json;
mod syscall;
mod text;

use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

pub use bundle_id::{BundleId, BundleKind, NotABundleId};
pub use delivery::{Delivery, DeliveryResult};
pub use syscall::{Syscall, SyscallData, SyscallResult};
pub use text::{JsString, NotWtf8, legible};

/// Reference that is valid inside one vat, such as `o+0`, `p-60` or `o+d10/3:1`.
///
/// It consists of a type letter, a sign and a number. The sign is `+` for exports of the vat and
/// `-` for its imports. Virtual objects add parts to the number.
pub type VRef = String;

/// Serialized data with references: a smallcaps body whose `$i` and `&i` index into `slots`.
///
/// `R` is the type of a reference: a [`VRef`] inside a vat, a kref inside the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct CapData<R = VRef> {
    /// Text of the encoding: `#` followed by JSON for smallcaps, and JSON without `#` for the older
    /// `@qclass` encoding. JSON text is UTF-8. A lone surrogate in one of its strings is an escape,
    /// as `JSON.stringify` writes it.
    pub body: String,
    /// References that the body mentions by index.
    pub slots: Vec<R>,
}

/// Settlement of one promise, in [`Delivery::Notify`] or [`Syscall::Resolve`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Resolution<R = VRef> {
    /// Promise that is settled.
    pub promise: R,
    /// Is true if the promise is rejected, and false if it is fulfilled.
    pub rejected: bool,
    /// Fulfillment value or rejection reason, as [`CapData`].
    pub data: CapData<R>,
}

/// Message to an object or promise: the encoded `[method, args]` and the result promise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Message<R = VRef> {
    /// [`CapData`] of the two-element array `[method, args]`.
    pub methargs: CapData<R>,
    /// Promise to settle with the answer. `None` if nobody waits for one.
    pub result: Option<R>,
}

/// Encoding of a worker's deliveries and syscalls. The worker's `capstan_abi()` returns its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Borsh in both directions, for every worker except JavaScript engines.
    Borsh = 1,
    /// JSON commands of Agoric's supervisor (`["deliver", …]`, `["syscall", …]`).
    Json = 2,
}

impl Encoding {
    /// Returns the encoding with this number. Returns `None` if there is no such encoding.
    pub fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Borsh),
            2 => Some(Self::Json),
            _ => None,
        }
    }
}

/// Functions that a worker may import from module `capstan`, with their wasm signatures.
pub mod imports {
    /// Module name of every import.
    pub const MODULE: &str = "capstan";
    /// `syscall(ptr: i32, len: i32) -> i32`: makes the encoded [`Syscall`](super::Syscall) and
    /// returns the length of its result.
    pub const SYSCALL: &str = "syscall";
    /// `take_result(ptr: i32)`: copies the last syscall's [`SyscallResult`](super::SyscallResult)
    /// to `ptr`.
    pub const TAKE_RESULT: &str = "take_result";
    /// `done(ptr: i32, len: i32)`: reports the delivery's
    /// [`DeliveryResult`](super::DeliveryResult), exactly once before it returns.
    pub const DONE: &str = "done";
    /// `log(level: i32, ptr: i32, len: i32)`: writes a line of text to the node's log, which is
    /// outside of consensus.
    pub const LOG: &str = "log";
    /// `fault(kind: i32)`: terminates the vat and never returns. The kinds are those of
    /// [`Fault`](super::Fault).
    pub const FAULT: &str = "fault";
}

/// Resource that a vat has exhausted. This is deterministic: the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum Fault {
    /// Computrons: the crank has spent all it had.
    Compute = 0,
    /// Memory: the vat's linear memory is at its maximum.
    Allocate = 1,
    /// Stack: the vat's call stack is at its maximum.
    Stack = 2,
}

impl Fault {
    /// Returns the text that the kernel and the vat's owner see, which is exactly SwingSet's.
    pub fn text(self) -> &'static str {
        match self {
            Self::Compute => "Compute meter exceeded",
            Self::Allocate => "Allocate meter exceeded",
            Self::Stack => "Stack meter exceeded",
        }
    }

    /// Returns the fault that a worker's `fault(kind)` names. Returns `None` if `number` is no such
    /// kind.
    pub fn from_number(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Compute),
            1 => Some(Self::Allocate),
            2 => Some(Self::Stack),
            _ => None,
        }
    }
}
