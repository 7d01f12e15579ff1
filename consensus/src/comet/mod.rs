//! `comet`: real CometBFT as the consensus engine.
//!
//! The application runs in this process behind an ABCI server ([`AbciServer`]); CometBFT runs as a child process
//! ([`CometNode`]), which is found and checked by [`find`] and has its files under `comet/` in the node's home
//! ([`CometHome`]). Whichever of the two ends, the other does too.

mod binary;
mod dispatch;
mod frame;
mod home;
mod node;
mod server;
mod socket;
mod watch;

pub use binary::{BinaryError, COMETBFT_VERSION, find};
pub use home::{CometHome, HomeError};
pub use node::{CometConfig, CometError, CometNode, CometStopper};
pub use server::AbciServer;
pub use socket::{AbciAddr, MAX_PATH_BYTES, NotAnAbciAddr};
