//! The JSON-RPC, compatible with CometBFT 0.38: JSON over POST (single and batch), URIs over GET,
//! WebSocket at `/websocket`. Field names, encodings and error codes are CometBFT's.

mod blocks;
mod body;
mod call;
mod caller;
pub(crate) mod context;
pub(crate) mod events;
mod http;
mod info;
pub(crate) mod json;
mod limits;
mod outgoing;
mod params;
mod server;
mod sessions;
mod txs;
pub(crate) mod usage;
mod websocket;

pub use caller::Caller;
pub use limits::RpcLimits;
pub(crate) use server::Server;

#[cfg(test)]
mod recorded_tests;
