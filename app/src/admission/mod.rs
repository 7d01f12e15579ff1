//! Admission of transactions: the checks against the accounts that CheckTx, proposals and blocks share.

mod ante;
pub(crate) mod mempool;
pub(crate) mod proposal;
mod signature_cache;

pub(crate) use ante::{ChainContext, check};
pub(crate) use signature_cache::SignatureCache;
