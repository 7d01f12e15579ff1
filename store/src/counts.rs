//! Counts of the store's work, which do not depend on the machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of the work that a store has done since it was opened, its opening included.
///
/// The same commits with the same options give the same counts, except that checkpoints in the background come at other
/// times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Work on the tree by commits and by the replay of the journal.
    pub tree: TreeCounts,
    /// Bytes of entries in the journal.
    pub journal_bytes: u64,
    /// Work of checkpoints.
    pub checkpoint: CheckpointCounts,
}

/// Counts of work on the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeCounts {
    /// Nodes that were copied to be changed, or made.
    pub visited: u64,
    /// Records of the state's file that were read. Each takes one search in the database.
    pub loaded: u64,
    /// Nodes that were hashed.
    pub hashed: u64,
}

/// Counts of work of checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointCounts {
    /// Entries that were written or removed.
    pub entries: u64,
    /// Records of the tree that were written or removed.
    pub records: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// The running counts of a store.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; 7]);

impl Counters {
    pub(crate) fn add_tree(&self, counts: TreeCounts) {
        self.add(0, [counts.visited, counts.loaded, counts.hashed]);
    }

    pub(crate) fn add_journal(&self, bytes: u64) {
        self.add(3, [bytes]);
    }

    pub(crate) fn add_checkpoint(&self, counts: CheckpointCounts) {
        self.add(4, [counts.entries, counts.records, counts.bytes]);
    }

    pub(crate) fn counts(&self) -> Counts {
        let [visited, loaded, hashed, journal_bytes, entries, records, bytes] =
            std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed));
        Counts {
            tree: TreeCounts { visited, loaded, hashed },
            journal_bytes,
            checkpoint: CheckpointCounts { entries, records, bytes },
        }
    }

    fn add<const N: usize>(&self, from: usize, counts: [u64; N]) {
        for (counter, count) in self.0.iter().skip(from).zip(counts) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }
}
