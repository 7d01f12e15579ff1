//! Calls of methods: dispatch, and answers within the bounds.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::context::RpcContext;
use super::error::RpcError;
use super::methods::{METHODS, Method};
use super::params::Params;
use super::request::{Request, response, response_text};
use super::{blocks, consensus, evidence, info, search, txs};

/// The result of a method.
pub(crate) type Answer = Result<Value, RpcError>;

/// The answer of a method.
#[derive(Debug)]
pub(crate) enum Rendered {
    /// Values that are still to be written.
    Tree(Value),
    /// JSON that is written already.
    Text(String),
}

/// The way in which a request came. Errors differ a little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Http,
    WebSocket,
}

/// What has become of a request.
pub(crate) enum Outcome {
    /// The text of the response, and whether it may be kept.
    Answered(String, bool),
    /// CometBFT's handler fails: a method with arguments was called without `params`. Nothing else of a batch is answered.
    Failed(RpcError),
}

/// What CometBFT's handler says when it fails.
const TOO_FEW: &str = "reflect: Call with too few input arguments";

/// Answers a request in at most `room` bytes, and subtracts them from it. An answer that is larger becomes an error and
/// leaves no room. Without room nothing is called.
pub(crate) async fn answer(
    node: &Arc<RpcContext>,
    request: Request,
    form: Form,
    room: &mut usize,
) -> Outcome {
    let most = node.limits.max_answer_bytes;
    let id = request.id;
    let failed =
        |error: RpcError| Outcome::Answered(response(Some(&id), Err(error)).to_string(), false);
    if *room == 0 {
        let error =
            format!("the call was not made, since the whole answer has at most {most} bytes");
        return failed(RpcError::server(error));
    }
    let Some(method) = Method::find(METHODS, &request.method) else {
        return failed(RpcError::method_not_found());
    };
    let params = match arguments(method, request.params.as_ref(), form) {
        Ok(Some(params)) => params,
        Ok(None) => return Outcome::Failed(too_few(form)),
        Err(error) => return failed(error),
    };
    let is_cacheable = method.is_cacheable(&params);
    let text = response_text(&id, call(node, method.name, params).await);
    node.usage.answered(text.len());
    match room.checked_sub(text.len()) {
        Some(rest) => {
            *room = rest;
            Outcome::Answered(text, is_cacheable)
        }
        None => {
            *room = 0;
            node.usage.refuse();
            failed(RpcError::answer_too_large(most))
        }
    }
}

/// Answers a call of a batch that has taken too long, without making it.
pub(crate) fn too_late(node: &RpcContext, request: &Request) -> Outcome {
    node.usage.refuse();
    let error = format!(
        "the call was not made, since the batch has taken more than {:?}; send fewer calls at once",
        node.limits.max_batch_time
    );
    let answer = response(Some(&request.id), Err(RpcError::server(error)));
    Outcome::Answered(answer.to_string(), false)
}

/// Reads the arguments of a call. Returns `None` if there are none where there must be.
pub(crate) fn arguments(
    method: &Method,
    params: Option<&Value>,
    form: Form,
) -> Result<Option<Params>, RpcError> {
    let params = match params {
        Some(params) => params,
        None if method.arguments.is_empty() => &Value::Null,
        None => return Ok(None),
    };
    Params::from_json(params, method.arguments).map(Some).map_err(|why| match form {
        Form::Http => RpcError::invalid_params(why),
        Form::WebSocket => RpcError::internal(why),
    })
}

/// The error about a call without arguments.
pub(crate) fn too_few(form: Form) -> RpcError {
    RpcError::internal(match form {
        Form::Http => TOO_FEW.to_owned(),
        Form::WebSocket => format!("WSJSONRPC: {TOO_FEW}"),
    })
}

/// Calls a method of [`METHODS`].
pub(crate) async fn call(
    node: &Arc<RpcContext>,
    method: &str,
    params: Params,
) -> Result<Rendered, RpcError> {
    let run: fn(&RpcContext, &Params) -> Answer = match method {
        "broadcast_tx_async" => return txs::broadcast_async(node, &params).map(Rendered::Text),
        "broadcast_tx_commit" => {
            return txs::broadcast_commit(node, &params).await.map(Rendered::Tree);
        }
        "broadcast_tx_sync" => return txs::broadcast_sync(node, &params).await.map(Rendered::Text),
        "abci_info" => info::abci_info,
        "abci_query" => info::abci_query,
        "block" => blocks::block,
        "block_by_hash" => blocks::block_by_hash,
        "block_results" => blocks::block_results,
        "block_search" => search::blocks,
        "blockchain" => blocks::blockchain,
        "broadcast_evidence" => evidence::broadcast,
        "check_tx" => txs::check_tx,
        "commit" => blocks::commit,
        "consensus_params" => info::consensus_params,
        "consensus_state" => consensus::state,
        "dump_consensus_state" => consensus::dump,
        "genesis" => info::genesis,
        "genesis_chunked" => info::genesis_chunked,
        "header" => blocks::header,
        "header_by_hash" => blocks::header_by_hash,
        "health" => info::health,
        "net_info" => info::net_info,
        "num_unconfirmed_txs" => txs::num_unconfirmed,
        "status" => info::status,
        "tx" => {
            return match txs::recent(node, &params) {
                Some(text) => Ok(Rendered::Text(text)),
                None => blocking(node, None, params, txs::tx).await,
            };
        }
        "tx_search" => search::txs,
        "unconfirmed_txs" => txs::unconfirmed,
        "validators" => blocks::validators,
        _ => return Err(RpcError::method_not_found()),
    };
    let searching = match method {
        "tx_search" | "block_search" => Some(&node.searching),
        _ => None,
    };
    blocking(node, searching, params, move |node, params| run(node, params).map(Rendered::Tree))
        .await
}

/// Runs a method on a thread that may wait, when its turn has come.
async fn blocking(
    node: &Arc<RpcContext>,
    searching: Option<&Arc<Semaphore>>,
    params: Params,
    run: impl FnOnce(&RpcContext, &Params) -> Result<Rendered, RpcError> + Send + 'static,
) -> Result<Rendered, RpcError> {
    let closed = |_| RpcError::internal("the node is shutting down");
    let searching = match searching {
        Some(searching) => Some(Arc::clone(searching).acquire_owned().await.map_err(closed)?),
        None => None,
    };
    let running = Arc::clone(&node.running).acquire_owned().await.map_err(closed)?;
    // The application and the store block. Asynchronous threads must not wait for them, but for checks of small transactions.
    let node = Arc::clone(node);
    let work = move || {
        let _permits = (searching, running);
        run(&node, &params)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(RpcError::internal(match error.is_panic() {
            true => "the call failed by a bug of the node",
            false => "the node is shutting down",
        }))
    })
}

impl Rendered {
    /// Returns the values.
    pub(crate) fn into_tree(self) -> Result<Value, RpcError> {
        match self {
            Self::Tree(value) => Ok(value),
            Self::Text(text) => serde_json::from_str(&text)
                .map_err(|_| RpcError::internal("an answer is no JSON by a bug of the node")),
        }
    }
}
