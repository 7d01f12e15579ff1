//! Passable values in their smallcaps encoding: the one place that encodes, decodes, checks and bounds them.
//!
//! A passable is what vats and accounts send each other: a JSON-like value that may also hold bigints, symbols,
//! errors, tagged values and references. On the wire it is a [`CapData`](capstan_abi::CapData): a body of text,
//! and the slots that the body's references index. The encoding is the smallcaps of Endo's `@endo/marshal`. It
//! is JSON in which a string that begins with one of `!` to `-` has a meaning of its own.
//!
//! * [`Passable`] is a value as Rust programs build and take it apart.
//! * [`notation`] is a value as people type and read it on the command line.
//! * [`check`] and [`to_smallcaps_json`] check a body in one pass, without building a tree.
//! * [`Json`], [`Builder`] and [`Parsed`] take bodies apart and put them together without touching their texts.
//! * [`limits`] has the bounds, and says what each decides.
//!
//! The kind of reference is a type parameter, a [`Reference`]: a `KRef` inside the kernel, a string such as
//! `ro-51` in an account.
//!
//! # Example
//!
//! The arguments of `deposit(purse, 5n, {memo: "rent"})`, as a client sends them:
//!
//! ```
//! use capstan_passable::Passable;
//!
//! let purse = Passable::Reference("ro-51".to_owned());
//! let memo = Passable::record([("memo", "rent".into())]);
//! let arguments = Passable::from(vec![purse, Passable::bigint(5_u64), memo]);
//!
//! let data = arguments.encode()?;
//! assert_eq!(data.body, r##"#["$0","+5",{"memo":"rent"}]"##);
//! assert_eq!(data.slots, ["ro-51"]);
//! assert_eq!(Passable::decode(&data)?, arguments);
//! # Ok::<(), capstan_passable::Malformed>(())
//! ```

#![forbid(unsafe_code)]

mod bigint;
mod builder;
mod check;
mod decode;
mod encode;
mod glance;
mod json;
pub mod limits;
pub mod notation;
mod parsed;
mod plain;
mod reader;
mod reference;
mod scan;
mod shape;
mod text;
mod value;

pub use bigint::BigInt;
pub use builder::{Builder, error, methargs};
pub use check::{Malformed, call, check, string, to_smallcaps_json};
pub use glance::{leading_text, message, method_name, single_slot, single_slot_index};
pub use json::Json;
pub use parsed::Parsed;
pub use reference::Reference;
pub use shape::Shape;
pub use text::{canonical_decimal, unescape};
pub use value::Passable;
