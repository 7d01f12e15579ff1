//! Admission of transactions: checks against accounts, shared by CheckTx, proposals and blocks.

pub(crate) mod ahead;
mod ante;
mod completions;
pub(crate) mod mempool;
pub(crate) mod proposal;
mod signature_cache;

pub(crate) use ante::{ChainContext, check};
pub(crate) use signature_cache::SignatureCache;
