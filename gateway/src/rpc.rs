//! Calls of the node's JSON-RPC, and its answers as types.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use capstan_consensus::solo::Caller;
use serde_json::{Value, json};
use tendermint_rpc::Response;
use tokio::runtime::Handle;
use tonic::Status;

use crate::node::{Node, Rpc};
use crate::status::shortened;

/// Time in which CometBFT must answer. `broadcast_tx_sync` takes as long as the check of a transaction.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Time in which CometBFT must answer a search. It gives a search up when its caller leaves.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of an answer of CometBFT that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Returns an [`Rpc`] that calls the JSON-RPC of solo consensus, which runs in this process.
pub fn in_process(caller: Caller) -> Rpc {
    Arc::new(move |method, params| {
        let runtime = Handle::try_current().map_err(|error| error.to_string())?;
        caller.call(&runtime, method, params)
    })
}

/// Returns an [`Rpc`] that calls the JSON-RPC at `addr`.
pub fn over_http(addr: SocketAddr) -> Rpc {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("http://{addr}/");
    Arc::new(move |method, params| {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let time = if method == "tx_search" { SEARCH_TIMEOUT } else { TIMEOUT };
        post(&agent, &url, &call.to_string(), time)
    })
}

fn post(agent: &ureq::Agent, url: &str, call: &str, time: Duration) -> Result<Value, String> {
    let failed = |error: ureq::Error| format!("the node's JSON-RPC does not answer: {error}");
    let request = agent.post(url).config().timeout_global(Some(time)).build();
    let mut response = request.content_type("application/json").send(call).map_err(failed)?;
    let bytes =
        response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(failed)?;
    let mut answer: Value = serde_json::from_slice(&bytes)
        .map_err(|error| format!("the answer of the node's JSON-RPC is not JSON: {error}"))?;
    let error = &answer["error"];
    if error.is_null() {
        return Ok(answer["result"].take());
    }
    let text = |part: &Value| part.as_str().unwrap_or_default().to_owned();
    let (message, data) = (text(&error["message"]), text(&error["data"]));
    Err(if data.is_empty() { message } else { data })
}

/// Calls a method whose result is of the type `T`.
///
/// # Errors
/// [`Status::internal`] with what the node says, or that its answer is malformed.
pub(crate) fn call<T: Response>(node: &Node, method: &str, params: Value) -> Result<T, Status> {
    let result = call_json(node, method, params)?;
    serde_json::from_value(result)
        .map_err(|error| Status::internal(format!("the node's answer to {method}: {error}")))
}

/// Calls a method.
///
/// # Errors
/// [`Status::internal`] with what the node says.
pub(crate) fn call_json(node: &Node, method: &str, params: Value) -> Result<Value, Status> {
    (node.rpc)(method, params).map_err(|error| Status::internal(shortened(&error)))
}
