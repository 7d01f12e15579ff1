//! The public interface of a Capstan chain, which its clients and its application share.
//!
//! * [`v1`] holds the messages of the protobuf package `capstan.v1`, and the table of its queries.
//! * [`Method`], [`Request`] and [`Handler`] describe queries to clients and servers.
//! * [`ErrorCode`] lists the codes of refused transactions and queries.
//! * [`Address`], [`Amount`], [`Params`] and [`Fees`] are the values in them. [`Fees::gas`] is the formula of the gas,
//!   and [`Fees::required`] that of the fee.
//! * [`PublicKey`] is the key of an account, and [`amino`] the document that Ledgers and the keys of a multisig sign.
//!
//! ```
//! use capstan_proto::{Request, v1::{QUERY_METHODS, QueryVatStatsRequest}};
//!
//! let method = QueryVatStatsRequest::METHOD;
//! assert_eq!(method.full_path, "/capstan.v1.Query/VatStats");
//! assert_eq!(method.path, "vats/{vat_id}/stats");
//! assert!(QUERY_METHODS.contains(method));
//! ```
#![forbid(unsafe_code)]

mod address;
pub mod amino;
mod amount;
mod code;
mod gas;
mod method;
mod params;
mod point;
mod public_key;
pub mod v1;

pub use address::{ADDRESS_PREFIX, Address, NotAnAddress};
pub use amount::{Amount, DENOM, NotAnAmount};
pub use code::{CODESPACE, ErrorCode};
pub use gas::{CHANNEL_LINE_BYTES, FACTORY, GasPrice, NotAGasPrice, TxSize};
pub use method::{Answer, Call, Field, FieldKind, Handler, Method, Request, Server};
pub use params::{CleanupBudget, Fees, InvalidParam, Params, SystemParams};
pub use public_key::{MAX_MULTISIG_KEYS, Multisig, NotAPublicKey, PublicKey, Secp256k1Key};
