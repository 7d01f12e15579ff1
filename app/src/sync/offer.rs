//! The snapshot that a node restores: what was offered, and how far it has come.

use std::sync::{Mutex, MutexGuard, PoisonError};

use capstan_kernel_ports::Hash;

use crate::sync::Restorer;

/// The snapshot that this node restores, if it does.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    offered: Mutex<Option<Offered>>,
    /// Why state sync was ended.
    ended: Mutex<Option<String>>,
}

/// A snapshot that was accepted.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) height: u64,
    /// SHA-256 of chunk 0.
    pub(crate) hash: Hash,
    pub(crate) app_hash: Hash,
    pub(crate) chunks: u32,
    pub(crate) metadata: Vec<u8>,
    /// `None` until chunk 0 has come, and if the state is there already.
    pub(crate) restorer: Option<Restorer>,
    pub(crate) is_there: bool,
    /// Peer that sent chunk 0.
    pub(crate) head_sender: String,
}

impl Offers {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Offered>> {
        // What is on disk decides how far a restoration has come.
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why this node ends state sync, and what is to be done.
    pub(crate) fn end(&self, why: String) {
        tracing::error!("{why}");
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Returns why this node ended state sync, if it did.
    pub(crate) fn why_ended(&self) -> Option<String> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Offered {
    /// Returns whether all chunks were taken.
    pub(crate) fn is_complete(&self) -> bool {
        self.restorer.as_ref().is_some_and(Restorer::is_complete)
    }
}
