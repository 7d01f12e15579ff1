//! Consensus by CometBFT, which runs as a child process.
//!
//! The application runs in this process, behind an ABCI server ([`AbciServer`]). CometBFT runs as a child
//! ([`CometNode`]). [`find`] locates the program and checks its version. Its files are under `comet/` in the home of
//! the node ([`CometHome`]). If either of the two ends, the other ends too.

mod binary;
mod dispatch;
mod frame;
mod home;
mod node;
mod server;
mod socket;
mod watch;

pub use binary::{BinaryError, COMETBFT_VERSION, find};
pub use home::{CometHome, HomeError, STATE_SYNC};
pub use node::{CometConfig, CometError, CometNode, CometStateSync, CometStopper};
pub use server::AbciServer;
pub use socket::{AbciAddr, MAX_PATH_BYTES, NotAnAbciAddr};
