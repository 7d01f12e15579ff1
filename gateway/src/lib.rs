//! gRPC and REST over the queries of a node, as clients of Cosmos chains expect them.
//!
//! * [`Gateway`] is the server of both. A method is called by its path, such as `/capstan.v1.Query/Vat`, with an encoded
//!   request. No code is generated for it: a query that the application has is served as it is.
//! * The application answers what is about the state. The module `service` answers what is about blocks,
//!   transactions and the node, for which it asks the node's JSON-RPC.
//! * REST is made of the descriptors' HTTP rules. A method of `capstan.v1` has its option `path` below `/capstan/v1/`.
// `tonic::Status` is what gRPC answers with, and it is large.
#![allow(clippy::result_large_err)]
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod backend;
mod config;
mod descriptors;
mod error;
mod grpc;
mod node;
mod reply;
mod rest;
mod rpc;
mod server;
mod service;
mod shared;
mod status;
mod usage;

pub use config::{GatewayConfig, GatewayLimits};
pub use descriptors::pool as descriptor_pool;
pub use error::GatewayError;
pub use node::{Query, Rpc};
pub use rest::to_json;
pub use rpc::{in_process, over_http};
pub use server::Gateway;
pub use usage::Usage;
