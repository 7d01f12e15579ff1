//! A node: the home on disk, its configuration, and store, vat host, application and consensus put together.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod config;
mod genesis;
pub mod home;
mod node;
mod overrides;

pub use genesis::{dev_genesis, network_genesis, system_bundle};
pub use node::{
    Node, Steps, open_app, open_host, open_host_at, open_host_with, policy, serve_metrics, start,
};
pub use overrides::{override_file, read_all};
