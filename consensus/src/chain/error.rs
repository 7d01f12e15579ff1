//! Why the engine does not start, or stops.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{GenesisError, StoreError};
use crate::key::KeyError;

/// Why the engine does not start, or stops. Each says what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum SoloError {
    /// The genesis document is refused.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The block store cannot be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The home directory cannot be made.
    #[error("cannot make the directory {}: {source}", path.display())]
    Home {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The validator's key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The RPC address cannot be listened on.
    #[error(
        "cannot listen on {addr}: {source}; is another node running there? Choose another RPC address"
    )]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A thread or the asynchronous runtime cannot be started.
    #[error("cannot start the engine's threads: {0}")]
    Runtime(io::Error),
    /// The home belongs to a chain with another genesis document.
    #[error(
        "the home holds chain {stored:?}, started from another genesis document; use another home or remove it"
    )]
    GenesisChanged {
        /// The chain id in the home.
        stored: String,
    },
    /// The genesis document names validators other than this engine's key.
    #[error(
        "the genesis document names {count} validator(s); the solo engine needs none, or only its own key {own}"
    )]
    GenesisValidators {
        /// How many it names.
        count: usize,
        /// The engine's address.
        own: String,
    },
    /// The application has committed blocks that the block store does not have.
    #[error(
        "the application is at height {app}, the block store only at {store}: the block store was lost or is older; \
         restore it, or remove the application's state so that the blocks are run again"
    )]
    AppAhead {
        /// The application's height.
        app: i64,
        /// The block store's height.
        store: i64,
    },
    /// The application answers with another app hash than the one stored: its state or its code has
    /// changed, or it is not deterministic.
    #[error(
        "the application's state at height {height} is rejected: its app hash is {got}, the chain's is {expected}; the state \
         was changed, or another version of the program made it. `capstan debug bisect HOME_A HOME_B` with the home of a \
         node that agrees finds the first crank that differs; to go on, remove the state so that the blocks are run again"
    )]
    AppHash {
        /// The height; 0 is `InitChain`.
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
        /// The block's height.
        height: i64,
    },
    /// The application broke a rule of ABCI 2.0.
    #[error("the application broke ABCI at height {height}: {why}")]
    Abci {
        /// The block's height; 0 is `InitChain`.
        height: i64,
        /// The rule that was broken.
        why: String,
    },
    /// A thread of the engine ended by a panic: a bug in the engine.
    #[error("the engine's {0} thread panicked; this is a bug")]
    Panicked(&'static str),
}
