//! Engines that drive an ABCI 2.0 application without any set-up of your own. They know nothing of what
//! the application does: anything that implements [`tendermint_abci::Application`] runs under them.
//!
//! * [`solo`] is the engine for development and tests: one validator, one process, a block as soon as
//!   there is work, and a JSON-RPC that speaks CometBFT 0.38.
//! * [`comet`] runs a real CometBFT beside the application, and talks ABCI with it: the engine of
//!   networks.
//! * [`net`] runs several such nodes on this machine, and breaks them on purpose.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod child;
pub mod comet;
mod key;
pub mod metrics;
pub mod net;
mod panic;
pub mod solo;

pub use key::{KeyError, ValidatorKey};
