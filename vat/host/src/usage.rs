//! Memory and disk that the host's caches use.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of a host's caches. They are this node's own affair.
#[derive(Debug, Default)]
pub struct Usage {
    pub(crate) artifact_bytes: AtomicU64,
    pub(crate) idle_code_bytes: AtomicU64,
}

impl Usage {
    /// Returns the size of the compiled modules on disk, in bytes. It is 0 until the first module was compiled.
    pub fn artifact_bytes(&self) -> u64 {
        self.artifact_bytes.load(Ordering::Relaxed)
    }

    /// Returns the size of the compiled modules that are in memory although no worker runs them, in bytes.
    pub fn idle_code_bytes(&self) -> u64 {
        self.idle_code_bytes.load(Ordering::Relaxed)
    }
}
