//! JSON-RPC 2.0 calls: the table of methods, dispatch, responses and errors.

use std::sync::Arc;

use serde_json::{Value, json};

use super::context::RpcContext;
use super::params::Params;
use super::{blocks, info, txs};
use crate::chain::BlockStoreError;
use crate::chain::query::QueryError;
use crate::mempool::MempoolError;

/// Maximum length of a request's id, which the answer and every event of a subscription repeat.
const MAX_ID_BYTES: usize = 256;

/// The result of a method.
pub(crate) type Answer = Result<Value, RpcError>;

/// Every method with the names of its arguments, in the order in which a list gives them.
pub(crate) const METHODS: &[(&str, &[&str])] = &[
    ("abci_info", &[]),
    ("abci_query", &["path", "data", "height", "prove"]),
    ("block", &["height"]),
    ("block_by_hash", &["hash"]),
    ("block_results", &["height"]),
    ("blockchain", &["minHeight", "maxHeight"]),
    ("broadcast_tx_async", &["tx"]),
    ("broadcast_tx_commit", &["tx"]),
    ("broadcast_tx_sync", &["tx"]),
    ("check_tx", &["tx"]),
    ("commit", &["height"]),
    ("consensus_params", &["height"]),
    ("genesis", &[]),
    ("genesis_chunked", &["chunk"]),
    ("header", &["height"]),
    ("header_by_hash", &["hash"]),
    ("health", &[]),
    ("net_info", &[]),
    ("num_unconfirmed_txs", &[]),
    ("status", &[]),
    ("tx", &["hash", "prove"]),
    ("tx_search", &["query", "prove", "page", "per_page", "order_by"]),
    ("unconfirmed_txs", &["limit"]),
    ("validators", &["height", "page", "per_page"]),
];

/// The methods that only a WebSocket has.
pub(crate) const WEBSOCKET_METHODS: &[(&str, &[&str])] =
    &[("subscribe", &["query"]), ("unsubscribe", &["query"]), ("unsubscribe_all", &[])];

/// An error as JSON-RPC has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RpcError {
    code: i32,
    message: &'static str,
    data: String,
}

/// A parsed request. A notification has no `id` and gets no response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) id: Option<Value>,
    pub(crate) method: String,
    pub(crate) params: Value,
}

impl RpcError {
    /// Returns what went wrong.
    pub(crate) fn data(self) -> String {
        self.data
    }

    /// Returns whether the error says that a text is not JSON.
    pub(crate) fn is_parse_error(&self) -> bool {
        self.code == -32700
    }

    pub(crate) fn parse(data: impl Into<String>) -> Self {
        Self { code: -32700, message: "Parse error. Invalid JSON", data: data.into() }
    }

    pub(crate) fn invalid_request(data: impl Into<String>) -> Self {
        Self { code: -32600, message: "Invalid Request", data: data.into() }
    }

    pub(crate) fn method_not_found(method: &str) -> Self {
        Self {
            code: -32601,
            message: "Method not found",
            data: format!("there is no method {method:?}"),
        }
    }

    pub(crate) fn invalid_params(data: impl Into<String>) -> Self {
        Self { code: -32602, message: "Invalid params", data: data.into() }
    }

    pub(crate) fn internal(data: impl Into<String>) -> Self {
        Self { code: -32603, message: "Internal error", data: data.into() }
    }

    /// The error in place of an answer that is larger than `most` bytes.
    pub(crate) fn answer_too_large(most: usize) -> Self {
        Self::server(format!(
            "the answer has more than {most} bytes (max_answer_bytes): ask for less at a time"
        ))
    }

    /// The error in place of an answer for which the node has no memory left.
    pub(crate) fn busy(most: usize) -> Self {
        Self::server(format!(
            "requests and answers in memory have {most} bytes (max_pending_bytes): try again later"
        ))
    }

    pub(crate) fn server(data: impl Into<String>) -> Self {
        Self { code: -32000, message: "Server error", data: data.into() }
    }
}

impl From<BlockStoreError> for RpcError {
    fn from(error: BlockStoreError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<QueryError> for RpcError {
    fn from(error: QueryError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<MempoolError> for RpcError {
    fn from(error: MempoolError) -> Self {
        Self::internal(error.to_string())
    }
}

impl Request {
    /// Reads a request object.
    ///
    /// # Errors
    /// The response to send instead.
    pub(crate) fn parse(value: Value) -> Result<Self, Value> {
        let Value::Object(mut object) = value else {
            return Err(response(
                &Value::Null,
                Err(RpcError::invalid_request("a request is an object")),
            ));
        };
        let id = match object.remove("id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if id.len() <= MAX_ID_BYTES => Some(Value::String(id)),
            Some(Value::Number(id)) => Some(Value::Number(id)),
            Some(_) => {
                let error = RpcError::invalid_request(format!(
                    "id must be a number or a text of at most {MAX_ID_BYTES} bytes"
                ));
                return Err(response(&Value::Null, Err(error)));
            }
        };
        let Some(Value::String(method)) = object.remove("method") else {
            let error = RpcError::invalid_request("method must be a text");
            return Err(response(&id.unwrap_or_default(), Err(error)));
        };
        let params = object.remove("params").unwrap_or_default();
        Ok(Self { id, method, params })
    }
}

/// Makes a response object.
pub(crate) fn response(id: &Value, answer: Answer) -> Value {
    match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(RpcError { code, message, data }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}})
        }
    }
}

/// Returns the names of the arguments of a method.
pub(crate) fn arguments_of(
    methods: &[(&str, &'static [&'static str])],
    method: &str,
) -> Option<&'static [&'static str]> {
    methods.iter().find(|(name, _)| *name == method).map(|(_, arguments)| *arguments)
}

/// Answers a request in at most `room` bytes, and subtracts them from it. An answer that is larger becomes an error and
/// leaves no room. Without room nothing is called. Returns `None` for a notification, which is executed all the same.
pub(crate) async fn answer(
    node: &Arc<RpcContext>,
    request: Request,
    room: &mut usize,
) -> Option<String> {
    let most = node.limits.max_answer_bytes;
    if *room == 0 {
        let error =
            format!("the call was not made, since the whole answer has at most {most} bytes");
        return Some(response(&request.id?, Err(RpcError::server(error))).to_string());
    }
    let answer = match arguments_of(METHODS, &request.method) {
        None => Err(RpcError::method_not_found(&request.method)),
        Some(names) => match Params::from_json(request.params, names) {
            Ok(params) => call(node, &request.method, params).await,
            Err(error) => Err(error),
        },
    };
    let id = request.id?;
    let text = response(&id, answer).to_string();
    node.usage.answered(text.len());
    match room.checked_sub(text.len()) {
        Some(rest) => {
            *room = rest;
            Some(text)
        }
        None => {
            *room = 0;
            node.usage.refuse();
            Some(response(&id, Err(RpcError::answer_too_large(most))).to_string())
        }
    }
}

/// Calls a method of [`METHODS`].
pub(crate) async fn call(node: &Arc<RpcContext>, method: &str, params: Params) -> Answer {
    let run: fn(&RpcContext, &Params) -> Answer = match method {
        "broadcast_tx_async" => return txs::broadcast_async(node, &params),
        "broadcast_tx_commit" => return txs::broadcast_commit(node, &params).await,
        "broadcast_tx_sync" => return txs::broadcast_sync(node, &params).await,
        "abci_info" => info::abci_info,
        "abci_query" => info::abci_query,
        "block" => blocks::block,
        "block_by_hash" => blocks::block_by_hash,
        "block_results" => blocks::block_results,
        "blockchain" => blocks::blockchain,
        "check_tx" => txs::check_tx,
        "commit" => blocks::commit,
        "consensus_params" => info::consensus_params,
        "genesis" => info::genesis,
        "genesis_chunked" => info::genesis_chunked,
        "header" => blocks::header,
        "header_by_hash" => blocks::header_by_hash,
        "health" => info::health,
        "net_info" => info::net_info,
        "num_unconfirmed_txs" => txs::num_unconfirmed,
        "status" => info::status,
        "tx" => txs::tx,
        "tx_search" => txs::search,
        "unconfirmed_txs" => txs::unconfirmed,
        "validators" => blocks::validators,
        other => return Err(RpcError::method_not_found(other)),
    };
    let Ok(running) = Arc::clone(&node.running).acquire_owned().await else {
        return Err(RpcError::internal("the node is shutting down"));
    };
    // The application and the store block. Asynchronous threads must not wait for them.
    let node = Arc::clone(node);
    let work = move || {
        let _running = running;
        run(&node, &params)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(RpcError::internal(match error.is_panic() {
            true => "the call failed by a bug of the node",
            false => "the node is shutting down",
        }))
    })
}
