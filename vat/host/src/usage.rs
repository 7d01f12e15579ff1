//! Memory and disk that the host's caches use, and the deliveries that it ran ahead.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of a host's caches, and counts of deliveries that were run ahead. They are this node's own affair.
#[derive(Debug, Default)]
pub struct Usage {
    pub(crate) artifact_bytes: AtomicU64,
    pub(crate) idle_code_bytes: AtomicU64,
    pub(crate) ahead_begun: AtomicU64,
    pub(crate) ahead_counted: AtomicU64,
    pub(crate) ahead_awaited: AtomicU64,
    pub(crate) ahead_lost: AtomicU64,
    pub(crate) ahead_snapshots: AtomicU64,
    pub(crate) ahead_chained: AtomicU64,
    pub(crate) prepared_begun: AtomicU64,
    pub(crate) prepared_counted: AtomicU64,
    pub(crate) prepared_awaited: AtomicU64,
    pub(crate) loads_ahead: AtomicU64,
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

    /// Returns the number of deliveries that another thread has begun before their turn. A delivery counts once its turn has come or
    /// its run is given up.
    pub fn ahead_begun(&self) -> u64 {
        self.ahead_begun.load(Ordering::Relaxed)
    }

    /// Returns the number of those whose run counted at their turn.
    pub fn ahead_counted(&self) -> u64 {
        self.ahead_counted.load(Ordering::Relaxed)
    }

    /// Returns the number of those that were not over at their turn, or needed the kernel.
    pub fn ahead_awaited(&self) -> u64 {
        self.ahead_awaited.load(Ordering::Relaxed)
    }

    /// Returns the number of those that counted and began where another one before its turn had ended.
    pub fn ahead_chained(&self) -> u64 {
        self.ahead_chained.load(Ordering::Relaxed)
    }

    /// Returns the number of vats that were to come back into memory on another thread before their turn.
    pub fn prepared_begun(&self) -> u64 {
        self.prepared_begun.load(Ordering::Relaxed)
    }

    /// Returns the number of those that were taken over at their turn.
    pub fn prepared_counted(&self) -> u64 {
        self.prepared_counted.load(Ordering::Relaxed)
    }

    /// Returns the number of those that were not back in memory at their turn.
    pub fn prepared_awaited(&self) -> u64 {
        self.prepared_awaited.load(Ordering::Relaxed)
    }

    /// Returns the number of sources that another thread was told to load before a vat needs them.
    pub fn loads_ahead(&self) -> u64 {
        self.loads_ahead.load(Ordering::Relaxed)
    }

    /// Returns the number of those that were collections before a snapshot.
    pub fn ahead_snapshots(&self) -> u64 {
        self.ahead_snapshots.load(Ordering::Relaxed)
    }

    /// Returns the number of those that were discarded.
    pub fn ahead_lost(&self) -> u64 {
        self.ahead_lost.load(Ordering::Relaxed)
    }
}
