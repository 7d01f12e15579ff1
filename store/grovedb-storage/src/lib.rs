//! The storage traits that `grovedb-merk` is generic over, and nothing else.
//!
//! The published crate of this name carries RocksDB as soon as `grovedb-merk` is built with its tree
//! layer. Capstan uses that tree layer over a database of its own, so the workspace replaces the
//! published crate by this one through `[patch.crates-io]`. It has the trait signatures of version
//! 6.1.1 which `grovedb-merk` 6.1.1 and `grovedb-query` 6.1.1 compile against; the top-level
//! `Storage` trait, its batches and the RocksDB implementation are left out, since neither of them
//! needs these outside of tests.
//!
//! Capstan itself reads and writes nodes through `grovedb_merk::tree::{Fetch, Commit}`; the only
//! item of this crate that exists at run time is [`Error`].

mod context;
mod error;

pub use context::{Batch, RawIterator, StorageContext};
pub use error::Error;
