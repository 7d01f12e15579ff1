//! The execution of blocks: genesis, FinalizeBlock, Commit, and their transactions.

mod apply_override;
pub(crate) mod bridge;
mod changes;
mod channels;
pub(crate) mod consensus;
mod cosmos_events;
mod execute;
mod expiry;
mod finalize;
mod genesis;
mod init_chain;
mod meters;
mod policy;
mod proven;
pub(crate) mod services;
mod tx_result;
pub(crate) mod validators;

pub(crate) use init_chain::ConsensusGenesis;
pub use policy::block_policy;
