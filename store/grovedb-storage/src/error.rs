//! What a storage can report to the tree above it.

/// A failure of the storage below a tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not read or write; the text is its own.
    #[error("storage error: {0}")]
    StorageError(String),
    /// The bookkeeping of costs failed, by overflow for example.
    #[error("cost error: {0}")]
    CostError(grovedb_costs::error::Error),
    /// Something was to be written through a view that can only read; names the operation.
    #[error("a read-only view was asked for {0}")]
    SnapshotReadOnlyTransaction(&'static str),
}
