//! Engines that drive an ABCI 2.0 application without any set-up of your own.
//!
//! [`solo`] is the engine for development and tests: one validator, one process, a block as soon as
//! there is work, and a JSON-RPC that speaks CometBFT 0.38. It knows nothing of what the
//! application does: anything that implements [`tendermint_abci::Application`] runs under it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod solo;
