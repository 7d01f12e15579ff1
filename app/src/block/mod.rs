//! The execution of blocks: genesis, FinalizeBlock, Commit, and what their transactions do.

mod apply_override;
pub(crate) mod bridge;
pub(crate) mod consensus;
mod execute;
mod expiry;
mod finalize;
mod genesis;
pub(crate) mod validators;

pub(crate) use finalize::EngineGenesis;
pub use finalize::block_policy;
