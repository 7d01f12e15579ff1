//! What can go wrong in the store.

use std::path::PathBuf;

use capstan_kernel_ports::{Hash, store::StoreFault};

/// A failure of the store.
///
/// [`Error::OpenLevels`], [`Error::Stale`], [`Error::Height`], [`Error::EmptyKey`],
/// [`Error::TooLong`] and [`Error::Local`] are mistakes of the caller, [`Error::Import`] and
/// [`Error::ImportedRoot`] of whoever sent the stream; all others are faults of this node. None but
/// a failing disk changes the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process (or another `Store` of this one) has the file open.
    #[error("{path}: another process has this store open; stop it or choose another directory")]
    Locked {
        /// The database file.
        path: PathBuf,
    },

    /// The file is something else than a Capstan store.
    #[error(
        "{path} is not a Capstan store ({reason}); choose another directory or move the file away"
    )]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What gave it away.
        reason: String,
    },

    /// A Capstan store, but of a format that this program does not read.
    #[error(
        "{path} has store format {found}, this program reads format {expected}; use the program \
         version that wrote it, or start a new node, which does the chain's blocks again"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The format this program reads and writes.
        expected: u32,
    },

    /// An import was to go where a store is already.
    #[error("{path} exists already; an import needs a directory without a store")]
    Exists {
        /// The database file.
        path: PathBuf,
    },

    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was to be read or written.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },

    /// The database below failed: the disk is full or broken, or the file is damaged.
    #[error("database: {0}")]
    Database(redb::Error),

    /// Committed data contradicts itself: the file was damaged or tampered with.
    #[error(
        "the stored state is damaged: {0}; restore a backup, or start a new node, which does the chain's blocks again"
    )]
    Damaged(String),

    /// The Merkle tree refused an operation that must always be possible.
    #[error("merkle tree: {0}")]
    Tree(String),

    /// A thread of the store could not be started, or panicked.
    #[error("{what}: {why}; start the node again, it goes on from what was committed")]
    Thread {
        /// What the thread was for.
        what: &'static str,
        /// What went wrong.
        why: String,
    },

    /// A block was to be prepared while levels above its own were open.
    #[error("cannot prepare a block with {0} levels open: merge or roll back all but its own")]
    OpenLevels(usize),

    /// A block or prepared block began at a state that is not the committed one any more.
    #[error("the block began at height {began}, but height {committed} is committed since")]
    Stale {
        /// The height at which it began.
        began: u64,
        /// The height committed now.
        committed: u64,
    },

    /// A block was to be committed at a height that is not above the committed one.
    #[error("cannot commit height {wanted}: height {committed} is committed already")]
    Height {
        /// The height asked for.
        wanted: u64,
        /// The height committed.
        committed: u64,
    },

    /// The empty key was written.
    #[error("the empty key cannot be written")]
    EmptyKey,

    /// A key or value is longer than the store takes.
    #[error("a {what} of {size} bytes is too long: at most {limit}")]
    TooLong {
        /// Which of the two.
        what: &'static str,
        /// Its length in bytes.
        size: usize,
        /// The greatest length in bytes.
        limit: usize,
    },

    /// A proof was asked for a key that begins with `local.`.
    #[error("a key that begins with `local.` is outside the root hash: nothing can be proven")]
    Local,

    /// An imported stream is malformed or does not give the state it was announced to give.
    #[error("import refused: {0}")]
    Import(String),

    /// A finished import has another root than expected.
    #[error("import refused: its root is {found}, expected {expected}")]
    ImportedRoot {
        /// The root of what was imported.
        found: Hash,
        /// The root that was expected.
        expected: Hash,
    },
}

impl From<Error> for StoreFault {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// Every error type of redb becomes [`Error::Database`].
macro_rules! from_redb {
    ($($kind:ident),*) => {$(
        impl From<redb::$kind> for Error {
            fn from(error: redb::$kind) -> Self {
                Self::Database(error.into())
            }
        }
    )*};
}

from_redb!(
    StorageError,
    TableError,
    TransactionError,
    CommitError,
    DatabaseError,
    SetDurabilityError
);
