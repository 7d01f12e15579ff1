//! How a store is run.

/// How a store is run. None of it has any influence on the state.
#[derive(Clone, Debug)]
pub struct Options {
    /// The memory that the database may use as cache, in bytes.
    pub cache_bytes: usize,
    /// How many nodes of the Merkle tree stay in memory, about: a node takes some 900 bytes. Others are
    /// read anew in each block that changes something below them.
    pub tree_nodes: usize,
    /// The state's file is written each time the journal is so long, in bytes, where every change counts
    /// a thousand bytes more than it has. An opening does again what is in the journal; what is in it is
    /// in memory too.
    pub journal_bytes: usize,
    /// Write the state's file in a thread of its own, while blocks go on. Otherwise a commit writes it, every
    /// so often, and takes that much longer: for tests that must be the same at every run.
    pub background: bool,
    /// Check the whole store when it is opened: the checksums of the file and all that
    /// [`StateView::deep_check`] checks. Reads everything; for a file that is under suspicion.
    pub check: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            tree_nodes: 200_000,
            journal_bytes: 64 << 20,
            background: true,
            check: false,
        }
    }
}
