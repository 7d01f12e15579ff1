//! The state of a Capstan chain: an ordered map under one Merkle root, in one database file.

mod block;
mod committed;
mod db;
mod error;
mod merge;
mod merk;
mod node;
mod snapshot;
mod store;
mod tree;

pub use block::Block;
pub use db::{FILE, FORMAT};
pub use error::Error;
pub use snapshot::Snapshot;
pub use store::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Options, Prepared, Store};
