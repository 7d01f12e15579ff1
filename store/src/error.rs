//! Errors of the store, by cause.

use std::{io::ErrorKind, path::PathBuf};

use capstan_kernel_ports::{
    Hash,
    store::{Cause, StoreFault},
};

/// Failure of the store.
///
/// [`Error::OpenLevels`], [`Error::Stale`], [`Error::Height`], [`Error::EmptyKey`], [`Error::TooLong`] and
/// [`Error::Local`] are mistakes of the caller. [`Error::Import`] and [`Error::ImportedRoot`] are faults of the
/// sender of a stream. All others are faults of this node. Only a failing disk can change what is stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process, or another [`Store`](crate::Store) of this process, has the file open.
    #[error("{path}: another process has this store open; stop it or choose another directory")]
    Locked {
        /// Path of the database file.
        path: PathBuf,
    },

    /// The file is not a Capstan store.
    #[error(
        "{path} is not a Capstan store ({reason}); choose another directory or move the file away"
    )]
    NotAStore {
        /// Path of the file.
        path: PathBuf,
        /// Property that the file lacks.
        reason: String,
    },

    /// The file is a Capstan store of a format that this program does not read.
    #[error(
        "{path} has store format {found}, this program reads format {expected}; use the program \
         version that wrote it, or start a new node, which does the chain's blocks again"
    )]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Format that this program reads and writes, [`FORMAT`](crate::FORMAT).
        expected: u32,
    },

    /// An import was begun where a store exists already.
    #[error("{path} exists already; an import needs a directory without a store")]
    Exists {
        /// Path of the existing database file.
        path: PathBuf,
    },

    /// The Merkle tree of a past height was asked for, which the store does not keep when it is opened again.
    #[error(
        "the tree of height {0} is not kept since the store was opened, only its entries; take a later height"
    )]
    NoTree(u64),

    /// A proof of absence was asked for, and the proven tree has no record that could prove it.
    #[error("no record exists yet, so that nothing can be proved; ask again after the next block")]
    NothingToProve,

    /// The file system refused an operation.
    #[error("{path}: {source}")]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },

    /// The disk is full. The database wrote nothing of the transaction.
    #[error("database: {0}")]
    DiskFull(#[source] redb::Error),

    /// The database could not read or write, for another reason than a full disk.
    #[error("database: {0}")]
    DatabaseIo(#[source] redb::Error),

    /// The database found a damaged page.
    #[error("database: {0}")]
    DatabaseDamaged(#[source] redb::Error),

    /// The database failed in another way.
    #[error("database: {0}")]
    Database(#[source] redb::Error),

    /// Committed data contradicts itself: the file was damaged or tampered with.
    #[error(
        "the stored state is damaged: {0}; restore a backup, or start a new node, which does the chain's blocks again"
    )]
    Damaged(String),

    /// The Merkle tree refused an operation that is always possible in a sound tree.
    #[error("merkle tree: {0}")]
    Tree(String),

    /// A thread of the store could not be started, or panicked.
    #[error("{what}: {why}; start the node again, it goes on from what was committed")]
    Thread {
        /// Purpose of the thread.
        what: &'static str,
        /// Reason of the failure.
        why: String,
    },

    /// A block was prepared while levels above its own were open.
    #[error("cannot prepare a block with {0} levels open: merge or roll back all but its own")]
    OpenLevels(usize),

    /// A block began at a state that is no longer the committed one.
    #[error("the block began at height {began}, but height {committed} is committed since")]
    Stale {
        /// Height at which the block began.
        began: u64,
        /// Height that is committed now.
        committed: u64,
    },

    /// A commit was at a height that is not above the committed one.
    #[error("cannot commit height {wanted}: height {committed} is committed already")]
    Height {
        /// Height of the refused commit.
        wanted: u64,
        /// Height that is committed.
        committed: u64,
    },

    /// The empty key was written. No entry may have it.
    #[error("the empty key cannot be written")]
    EmptyKey,

    /// A key, value or blob is longer than the store accepts.
    #[error("a {what} of {size} bytes is too long: at most {limit}")]
    TooLong {
        /// The word `key`, `value` or `blob`.
        what: &'static str,
        /// Length found, in bytes.
        size: usize,
        /// Greatest length allowed, in bytes.
        limit: usize,
    },

    /// A restoration was to write an entry outside of `local.`, which only the snapshot itself can bring.
    #[error("only a key that begins with `local.` can be written beside a snapshot")]
    Local,

    /// An imported stream is malformed, or does not give the announced state.
    #[error("import refused: {0}")]
    Import(String),

    /// A snapshot is malformed, or is not one of the state with its app hash.
    #[error("snapshot refused: {0}")]
    Snapshot(String),

    /// A snapshot's artifact could not be read or written.
    #[error(transparent)]
    Fault(StoreFault),

    /// A finished import has another root than expected.
    #[error("import refused: its root is {found}, expected {expected}")]
    ImportedRoot {
        /// Root of the imported state.
        found: Hash,
        /// Root that was expected.
        expected: Hash,
    },
}

impl From<Error> for StoreFault {
    fn from(error: Error) -> Self {
        if let Error::Fault(fault) = error {
            return fault;
        }
        let variant = match &error {
            Error::DiskFull(_) => Self::DiskFull,
            Error::Io { source, .. } if source.kind() == ErrorKind::StorageFull => Self::DiskFull,
            Error::Io { .. } | Error::DatabaseIo(_) => Self::Io,
            Error::Damaged(_) | Error::DatabaseDamaged(_) => Self::Damaged,
            Error::OpenLevels(_)
            | Error::Stale { .. }
            | Error::Height { .. }
            | Error::EmptyKey
            | Error::TooLong { .. }
            | Error::Local => Self::Misuse,
            _ => Self::Other,
        };
        variant(Cause::new(error))
    }
}

impl From<redb::Error> for Error {
    /// Keeps the kind of the failure: [`Error::DiskFull`], [`Error::DatabaseIo`], [`Error::DatabaseDamaged`] or
    /// [`Error::Database`].
    fn from(error: redb::Error) -> Self {
        match io_kind(&error) {
            Some(ErrorKind::StorageFull) => return Self::DiskFull(error),
            Some(_) => return Self::DatabaseIo(error),
            None => {}
        }
        match error {
            // After a failed operation redb refuses all others, until the file is opened again.
            redb::Error::PreviousIo => Self::DatabaseIo(error),
            redb::Error::Corrupted(_) => Self::DatabaseDamaged(error),
            _ => Self::Database(error),
        }
    }
}

/// Returns the kind of the I/O error that `error` wraps, or `None` if it wraps none.
fn io_kind(error: &redb::Error) -> Option<ErrorKind> {
    match error {
        redb::Error::Io(error) => Some(error.kind()),
        redb::Error::Backend(error) => error.downcast_ref().map(std::io::Error::kind),
        _ => None,
    }
}

/// Converts each of redb's error types through [`redb::Error`].
macro_rules! from_redb {
    ($($kind:ident),*) => {$(
        impl From<redb::$kind> for Error {
            fn from(error: redb::$kind) -> Self {
                redb::Error::from(error).into()
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
