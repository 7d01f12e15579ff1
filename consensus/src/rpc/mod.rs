//! The JSON-RPC, compatible with CometBFT 0.38: JSON over POST (single and batch), URIs over GET,
//! WebSocket at `/websocket`. Field names, encodings and error codes are CometBFT's.

mod blocks;
mod body;
mod call;
mod caller;
mod consensus;
pub(crate) mod context;
mod cors;
mod error;
pub(crate) mod events;
mod evidence;
mod go_json;
mod http;
mod index;
mod info;
pub(crate) mod json;
mod json_tx;
mod limits;
mod methods;
mod outgoing;
mod params;
mod recent;
mod request;
mod rounds;
mod search;
mod server;
mod sessions;
mod txs;
mod uri;
pub(crate) mod usage;
mod values;
mod websocket;

pub use caller::Caller;
pub use limits::RpcLimits;
pub(crate) use server::Server;

#[cfg(test)]
mod recorded_tests;
