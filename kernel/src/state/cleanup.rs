//! The amounts of cleanup of terminated vats.

use borsh::{BorshDeserialize, BorshSerialize};
use serde_json::{Value, json};

/// Counts, phase by phase, of what the cleanup of a terminated vat removes.
///
/// As a budget they are the most that one crank may remove. As a report they are what it removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CleanupCounts {
    /// Exports that are abandoned.
    pub exports: u64,
    /// Imports that are dropped.
    pub imports: u64,
    /// Promises that are dropped.
    pub promises: u64,
    /// Keys of the vat's store that are deleted.
    pub kv: u64,
    /// Heap snapshots that are deleted.
    pub snapshots: u64,
    /// Transcript entries that are deleted.
    pub transcripts: u64,
}

impl CleanupCounts {
    /// No limit: for tests and for SwingSet's `step`, never for a chain.
    pub const UNLIMITED: Self = Self::uniform(u64::MAX);

    /// Returns the same limit for every phase.
    pub const fn uniform(limit: u64) -> Self {
        Self {
            exports: limit,
            imports: limit,
            promises: limit,
            kv: limit,
            snapshots: limit,
            transcripts: limit,
        }
    }

    /// Returns the number of all that was removed.
    pub fn total(&self) -> u64 {
        [self.exports, self.imports, self.promises, self.kv, self.snapshots, self.transcripts]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Returns SwingSet's JSON: `{default, …}`, in which `null` is no limit.
    pub fn to_json(self) -> Value {
        let limit = |n: u64| if n == u64::MAX { Value::Null } else { json!(n) };
        if self == Self::uniform(self.exports) {
            return json!({"default": limit(self.exports)});
        }
        json!({
            "default": limit(self.exports), "exports": limit(self.exports),
            "imports": limit(self.imports), "promises": limit(self.promises), "kv": limit(self.kv),
            "snapshots": limit(self.snapshots), "transcripts": limit(self.transcripts),
        })
    }
}
