//! JSON-RPC over HTTP: POST with JSON, GET with URIs.
//!
//! Status codes are those of CometBFT: 500 for a request that cannot be parsed or a failed GET, 200 for all else. A
//! body over the limit gets 413.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{self, Extension, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::call::{self, METHODS, Request, RpcError, WEBSOCKET_METHODS};
use super::context::RpcContext;
use super::params::Params;
use super::sessions::Sessions;
use super::{body, websocket};
use crate::listen::{self, Call, Incoming, Intake, Unread};

/// The state that all handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) node: Arc<RpcContext>,
    pub(crate) sessions: Arc<Sessions>,
}

/// Returns the routes of the server.
pub(crate) fn router(node: Arc<RpcContext>) -> Router {
    let sessions = Arc::new(Sessions::new(&node.limits));
    Router::new()
        .route("/", get(index).post(post))
        .route("/websocket", get(websocket::upgrade))
        .route("/metrics", get(metrics))
        .route("/{method}", get(uri))
        .fallback(unknown)
        .with_state(Shared { node, sessions })
}

/// Answers one request or a batch. Returns `None` if all were notifications.
pub(crate) async fn answer_json(node: &Arc<RpcContext>, value: Value) -> Option<String> {
    let mut room = node.limits.max_answer_bytes;
    let Value::Array(batch) = value else { return answer_one(node, value, &mut room).await };
    if batch.is_empty() || batch.len() > node.limits.max_batch {
        let most = node.limits.max_batch;
        let error = RpcError::invalid_request(format!(
            "a batch has 1 to {most} requests, not {}",
            batch.len()
        ));
        return Some(call::response(&Value::Null, Err(error)).to_string());
    }
    let mut answers = String::new();
    for request in batch {
        if let Some(answer) = answer_one(node, request, &mut room).await {
            answers.push(if answers.is_empty() { '[' } else { ',' });
            answers.push_str(&answer);
        }
    }
    if answers.is_empty() { None } else { Some(answers + "]") }
}

/// Makes a response with a JSON body.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn answer_one(node: &Arc<RpcContext>, value: Value, room: &mut usize) -> Option<String> {
    match Request::parse(value) {
        Ok(request) => call::answer(node, request, room).await,
        Err(response) => Some(response.to_string()),
    }
}

/// Sends an answer, which counts as pending until it is sent.
fn send(node: &RpcContext, call: &Call, status: StatusCode, text: String) -> Response {
    node.usage.answered(text.len());
    match call.reserve(text.len()) {
        Some(reserved) => {
            let header = [(header::CONTENT_TYPE, "application/json")];
            (status, header, listen::held(text, reserved)).into_response()
        }
        None => busy(node),
    }
}

/// The answer to a request for which there is no memory.
fn busy(node: &RpcContext) -> Response {
    node.usage.refuse();
    let error = RpcError::busy(node.limits.max_pending_bytes);
    json_response(StatusCode::SERVICE_UNAVAILABLE, &call::response(&json!(-1), Err(error)))
}

async fn index() -> String {
    let names = |methods: &[(&str, &[&str])]| -> String {
        methods
            .iter()
            .map(|(name, arguments)| format!("  /{name}  {}\n", arguments.join(" ")))
            .collect()
    };
    format!(
        "JSON-RPC 2.0, CometBFT 0.38 compatible.\nPOST / with JSON, or GET:\n{}WebSocket at /websocket also has:\n{}",
        names(METHODS),
        names(WEBSOCKET_METHODS)
    )
}

async fn post(
    State(shared): State<Shared>,
    Extension(call): Extension<Call>,
    request: extract::Request,
) -> Response {
    let node = &shared.node;
    let incoming = listen::read(&intake(node), &call, request).await;
    let Incoming { bytes, reserved: _reserved } = match incoming {
        Ok(incoming) => incoming,
        Err(unread) => return unreadable(node, &unread),
    };
    let value = match body::parse(&bytes, node.limits.max_batch) {
        Ok(value) => value,
        Err(error) => {
            let status = match error.is_parse_error() {
                true => StatusCode::INTERNAL_SERVER_ERROR,
                false => StatusCode::OK,
            };
            node.usage.refuse();
            return json_response(status, &call::response(&json!(-1), Err(error)));
        }
    };
    drop(bytes);
    match answer_json(node, value).await {
        Some(answer) => send(node, &call, StatusCode::OK, answer),
        None => StatusCode::OK.into_response(),
    }
}

fn intake(node: &RpcContext) -> Intake {
    let (most, idle) = (node.limits.max_body_bytes, node.limits.idle_timeout);
    Intake { most, idle }
}

fn unreadable(node: &RpcContext, unread: &Unread) -> Response {
    let status = match unread {
        Unread::Busy => return busy(node),
        Unread::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Unread::TooSlow => {
            node.usage.drop_client();
            StatusCode::REQUEST_TIMEOUT
        }
        Unread::Broken(_) => StatusCode::BAD_REQUEST,
    };
    let error = RpcError::invalid_request(unread.to_string());
    json_response(status, &call::response(&json!(-1), Err(error)))
}

async fn uri(
    State(shared): State<Shared>,
    Extension(by): Extension<Call>,
    Path(method): Path<String>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Response {
    if call::arguments_of(METHODS, &method).is_none() {
        let answer = call::response(&json!(-1), Err(RpcError::method_not_found(&method)));
        return json_response(StatusCode::NOT_FOUND, &answer);
    }
    let answer = match query {
        Ok(Query(arguments)) => call::call(&shared.node, &method, Params::Uri(arguments)).await,
        Err(error) => Err(RpcError::invalid_params(error.to_string())),
    };
    let status = if answer.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let text = call::response(&json!(-1), answer).to_string();
    let most = shared.node.limits.max_answer_bytes;
    if text.len() > most {
        shared.node.usage.refuse();
        let error = RpcError::answer_too_large(most);
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return json_response(status, &call::response(&json!(-1), Err(error)));
    }
    send(&shared.node, &by, status, text)
}

/// The application's metrics, and those of the mempool.
async fn metrics(State(shared): State<Shared>) -> Response {
    let Some(metrics) = shared.node.metrics.clone() else {
        return (StatusCode::NOT_FOUND, "metrics are switched off").into_response();
    };
    let (_, txs, bytes) = shared.node.mempool.peek(0);
    let own = format!(
        "# HELP capstan_mempool_transactions Transactions that wait.\n\
         # TYPE capstan_mempool_transactions gauge\ncapstan_mempool_transactions {txs}\n\
         # HELP capstan_mempool_bytes Their bytes.\n\
         # TYPE capstan_mempool_bytes gauge\ncapstan_mempool_bytes {bytes}\n"
    );
    let usage = shared.node.usage.text(shared.node.budget.used());
    crate::metrics::answer(metrics, &(own + &usage)).await
}

async fn unknown(uri: axum::http::Uri) -> Response {
    let error = RpcError::invalid_request(format!("path {:?} is invalid; POST to /", uri.path()));
    json_response(StatusCode::NOT_FOUND, &call::response(&json!(-1), Err(error)))
}
