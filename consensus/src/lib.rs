//! Consensus that drives an ABCI 2.0 application without any set-up of your own. It knows nothing of what
//! the application does: anything that implements [`tendermint_abci::Application`] runs under it.
//!
//! * [`solo`] is for development and tests: one validator, one process, a block as soon as
//!   there is work, and a JSON-RPC that speaks CometBFT 0.38.
//! * [`comet`] runs a real CometBFT beside the application, and talks ABCI with it: for networks.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod chain;
pub mod comet;
mod command;
mod key;
mod mempool;
pub mod metrics;
mod panic;
pub mod process;
mod rpc;
pub mod solo;

pub use key::{KeyError, ValidatorKey};

#[cfg(test)]
#[path = "../tests/support/app.rs"]
mod test_app;
