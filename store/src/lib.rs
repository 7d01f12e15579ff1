//! The state of a Capstan chain: an ordered map under one Merkle root, in one database file.

mod block;
mod check;
mod committed;
mod db;
mod error;
mod export;
mod import;
mod merge;
mod merk;
mod node;
mod proof;
mod snapshot;
mod store;
mod stream;
mod tree;

pub use block::Block;
pub use check::Checked;
pub use db::{FILE, FORMAT};
pub use error::Error;
pub use export::Export;
pub use import::{Expected, Import};
pub use proof::{Proof, ProofError, verify};
pub use snapshot::Snapshot;
pub use store::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Options, Prepared, Store};
