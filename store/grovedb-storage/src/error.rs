//! Errors that a storage reports to the tree above it.

/// A failure of the storage below a tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed to read or write. The text is the database's.
    #[error("storage error: {0}")]
    StorageError(String),
    /// The accounting of costs failed, for example by an overflow.
    #[error("cost error: {0}")]
    CostError(grovedb_costs::error::Error),
    /// A write was attempted through a read-only view. The text names the operation.
    #[error("a read-only view was asked for {0}")]
    SnapshotReadOnlyTransaction(&'static str),
}
