//! The storage traits over which `grovedb-merk` is generic, without a database behind them.
//!
//! The published crate of this name pulls in RocksDB if `grovedb-merk` is built with its tree layer. Capstan uses that
//! layer over a database of its own. So the workspace replaces the published crate by this one, through
//! `[patch.crates-io]`.
//!
//! It has the trait signatures of version 6.1.1 against which `grovedb-merk` 6.1.1 and `grovedb-query` 6.1.1 compile. The
//! `Storage` trait, its batches and the RocksDB implementation are left out, because neither crate needs them outside of
//! tests.
//!
//! Capstan implements none of these traits: it uses only `grovedb-merk`'s hashes. The only item of this
//! crate that exists at run time is [`Error`].
//!
//! # Example
//!
//! ```
//! use grovedb_storage::Error;
//!
//! let error = Error::StorageError("the disk is full".to_owned());
//! assert_eq!(error.to_string(), "storage error: the disk is full");
//! ```
#![forbid(unsafe_code)]

mod context;
mod error;

pub use context::{Batch, RawIterator, StorageContext};
pub use error::Error;
