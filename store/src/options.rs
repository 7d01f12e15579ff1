//! The options of a store.

/// Options of a [`Store`](crate::Store). None of them influences the state.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of the database's page cache, in bytes.
    pub cache_bytes: usize,
    /// Approximate number of Merkle tree nodes kept in memory, at about 300 bytes each. Other nodes are read from the
    /// database whenever a block changes something below them. Those that a commit replaced are kept as well, as long as the
    /// state before it can be read.
    pub tree_nodes: usize,
    /// Journal size, in bytes, that triggers a checkpoint. Each change counts 1,024 bytes extra. Opening the store
    /// replays the journal, and the changes in it are also held in memory.
    pub journal_bytes: usize,
    /// Journal size, in bytes, that a store leaves when it is dropped. If the journal is longer, it is shortened by a last
    /// checkpoint, so that the next opening replays no more than this. After a crash it replays the whole journal.
    pub left_bytes: usize,
    /// Number of heights before the last one that can be read: see [`Past`](crate::Past) and
    /// [`StateView::record`](crate::StateView::record).
    pub retain_heights: u64,
    /// Write checkpoints in a thread of their own while blocks go on. If `false`, every so often a commit writes one
    /// and takes that much longer. Tests that must run the same way every time set it to `false`.
    pub background: bool,
    /// Check the whole store when it is opened: the checksums of the files, and all that
    /// [`StateView::check_integrity`](crate::StateView::check_integrity) checks. This reads everything.
    pub check_integrity: bool,
}

impl Options {
    /// Returns the bound of the changes between the states that can be read, in bytes.
    pub(crate) fn past_bytes(&self) -> usize {
        self.journal_bytes.saturating_mul(PAST)
    }
}

/// Bound of the changes between the states that can be read, as a multiple of `journal_bytes`.
const PAST: usize = 2;

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            tree_nodes: 600_000,
            journal_bytes: 64 << 20,
            left_bytes: 8 << 20,
            retain_heights: 100,
            background: true,
            check_integrity: false,
        }
    }
}
