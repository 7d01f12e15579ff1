//! Consensus for an ABCI 2.0 application.
//!
//! Any [`tendermint_abci::Application`] runs under it. The crate knows nothing else about the application.
//!
//! * [`solo`] is for development and tests. It has one validator in one process, makes a block as soon as there is
//!   work, and serves the JSON-RPC of CometBFT 0.38.
//! * [`comet`] is for networks. It runs CometBFT as a child process and serves ABCI to it.
//!
//! ```
//! use capstan_consensus::solo::{GenesisDoc, Solo, SoloConfig};
//!
//! #[derive(Clone)]
//! struct Nothing;
//!
//! impl tendermint_abci::Application for Nothing {}
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = std::env::temp_dir().join(format!("capstan-consensus-doc-{}", std::process::id()));
//! let genesis = GenesisDoc::from_json(br#"{"chain_id":"dev-1","genesis_time":"2025-01-01T00:00:00Z"}"#)?;
//! let solo = Solo::start(Nothing, SoloConfig::new(&dir, "127.0.0.1:0".parse()?, genesis))?;
//! println!("RPC at http://{}", solo.rpc_addr());
//! solo.shutdown()?;
//! # std::fs::remove_dir_all(dir)?;
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod chain;
pub mod comet;
mod command;
mod key;
pub mod listen;
mod mempool;
pub mod metrics;
mod panic;
pub mod process;
mod rpc;
pub mod solo;

pub use key::{KeyError, KeyProblem, ValidatorKey};

#[cfg(test)]
#[path = "../tests/support/app.rs"]
mod test_app;
