//! The chain of one validator: how its blocks are made, executed, stored and found again.

pub(crate) mod abci;
pub(crate) mod block_index;
pub(crate) mod block_store;
pub(crate) mod commit;
mod error;
pub(crate) mod execution;
mod genesis;
mod handshake;
mod history;
pub(crate) mod merkle;
pub(crate) mod params;
mod places;
pub(crate) mod query;
mod query_syntax;
pub(crate) mod tx_events;
pub(crate) mod tx_index;
pub(crate) mod tx_search;
pub(crate) mod versions;

pub use block_store::BlockStoreError;
pub use error::SoloError;
pub use genesis::{GenesisDoc, GenesisDocError};

#[cfg(test)]
mod crash_tests;
