//! What the gateway knows of a node.

use std::sync::Arc;

use serde_json::Value;
use tendermint_proto::v0_38::abci::{RequestQuery, ResponseQuery};

/// A function that answers ABCI's `Query`. It may block.
pub type Query = Arc<dyn Fn(RequestQuery) -> ResponseQuery + Send + Sync>;

/// A function that calls a method of the node's JSON-RPC with its arguments, and returns the result or the text of the
/// error. It may block.
pub type Rpc = Arc<dyn Fn(&str, Value) -> Result<Value, String> + Send + Sync>;

/// The application and the JSON-RPC of a node.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) query: Query,
    pub(crate) rpc: Rpc,
}
