//! The errors of [`solo`](crate::solo).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{BlockStoreError, GenesisDocError};
use crate::key::KeyError;

/// Reason why solo consensus does not start, or stops. The text says what to do if something can be done.
#[derive(Debug, thiserror::Error)]
pub enum SoloError {
    /// The genesis document is refused.
    #[error(transparent)]
    Genesis(#[from] GenesisDocError),
    /// The block store cannot be opened, read or written.
    #[error(transparent)]
    Store(#[from] BlockStoreError),
    /// The home directory cannot be made.
    #[error("cannot make the directory {}: {source}", path.display())]
    Home {
        /// Path of the directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The validator's key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The RPC address cannot be listened on.
    #[error(
        "cannot listen on {addr}: {source}; is another node running there? Choose another RPC address"
    )]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// A thread or the asynchronous runtime cannot be started.
    #[error("cannot start the threads of solo consensus: {0}")]
    Runtime(io::Error),
    /// The home belongs to a chain with another genesis document.
    #[error(
        "the home holds chain {stored:?}, started from another genesis document; use another home or remove it"
    )]
    GenesisChanged {
        /// The chain id in the home.
        stored: String,
    },
    /// The genesis document names other validators than the node's own key.
    #[error(
        "the genesis document names {count} validator(s); solo consensus needs none, or only its own key {own}"
    )]
    GenesisValidators {
        /// Number of validators that it names.
        count: usize,
        /// Address of the node's own validator.
        own: String,
    },
    /// The application has committed blocks that the block store does not have.
    #[error(
        "the application is at height {app}, the block store only at {store}: the block store was lost or is older; \
         restore it, or remove the application's state so that the blocks are run again"
    )]
    AppAhead {
        /// Height of the application.
        app: i64,
        /// The block store's height.
        store: i64,
    },
    /// The application needs blocks that are not stored any more.
    #[error(
        "the application is at height {app}, and the block store begins at {first}: older blocks were removed, so that \
         the application cannot be brought up to date; restore its state from a backup, or use another home"
    )]
    AppBehind {
        /// Height of the application.
        app: i64,
        /// Height of the first block in the store.
        first: i64,
    },
    /// The application answers with another app hash than the one stored: its state or its code has
    /// changed, or it is not deterministic.
    #[error(
        "the application's state at height {height} is rejected: its app hash is {got}, the chain's is {expected}; the state \
         was changed, or another version of the program made it. `capstan debug bisect HOME_A HOME_B` with the home of a \
         node that agrees finds the first crank that differs; to go on, remove the state so that the blocks are run again"
    )]
    AppHash {
        /// The height. 0 stands for `InitChain`.
        height: i64,
        /// The recorded hash, hexadecimal.
        expected: String,
        /// The application's hash, hexadecimal.
        got: String,
    },
    /// Running a stored block again gave other transaction results than the recorded ones.
    #[error(
        "running block {height} again gave other transaction results than recorded; the application changed"
    )]
    Results {
        /// Height of the block.
        height: i64,
    },
    /// The application broke a rule of ABCI 2.0.
    #[error("the application broke ABCI at height {height}: {why}")]
    Abci {
        /// The height of the block. 0 stands for `InitChain`.
        height: i64,
        /// The rule that was broken.
        why: String,
    },
    /// A thread ended by a panic, which is a bug.
    #[error("the {0} thread of solo consensus panicked; this is a bug")]
    Panicked(&'static str),
}
