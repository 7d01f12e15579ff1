//! The execution of blocks: genesis, FinalizeBlock, Commit, and what their transactions do.

pub(crate) mod activity;
pub(crate) mod bridge;
pub mod events;
pub(crate) mod execute;
pub(crate) mod expiry;
mod finalize;
pub(crate) mod genesis;
pub(crate) mod overrides;
pub(crate) mod validators;

pub(crate) use finalize::EngineGenesis;
pub use finalize::block_policy;
