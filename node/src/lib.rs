//! A node, put together: home, configuration, store, vat host, application and consensus. [`Machine`] is a kernel
//! without the rest.
//!
//! ```no_run
//! use capstan_node::config::Config;
//! use capstan_node::home::Home;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = Home::open("chain".into())?;
//! let config = Config::load(&home.path)?;
//! let rpc = "127.0.0.1:26657".parse()?;
//! let node = capstan_node::start(&home, &config, rpc, &|step| eprintln!("{step}"))?;
//! println!("RPC at http://{}", node.solo.rpc_addr());
//! node.solo.wait()?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod config;
mod descriptors;
mod error;
mod gateway;
mod genesis;
pub mod home;
mod host;
mod machine;
mod node;
mod overrides;

pub use error::{HomeError, NewChainError, NodeError, OverridesError};
pub use gateway::{serve_gateway, serve_metrics};
pub use genesis::{add_timer, dev_genesis, dev_genesis_at, network_genesis};
pub use host::{js_engine, open_host, open_host_with, vat_threads};
pub use machine::{Machine, Settlement, settlement};
pub use node::{Node, block_policy, network_empty_interval, open_app, start};
pub use overrides::{override_file, read_overrides};
