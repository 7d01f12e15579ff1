//! JSON-RPC over HTTP: POST with JSON, GET with URIs.
//!
//! Status codes are those of CometBFT: 500 for a request that cannot be parsed or a failed GET, 200 for all else. A
//! body over the limit gets 413.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::call::{self, METHODS, Request, RpcError, WEBSOCKET_METHODS};
use super::context::RpcContext;
use super::params::Params;
use super::websocket;

/// The state that all handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) node: Arc<RpcContext>,
    pub(crate) websockets: Arc<Semaphore>,
}

/// Returns the routes of the server.
pub(crate) fn router(node: Arc<RpcContext>) -> Router {
    let websockets = Arc::new(Semaphore::new(node.limits.max_websockets));
    let limit = node.limits.max_body_bytes;
    Router::new()
        .route("/", get(index).post(post))
        .route("/websocket", get(websocket::upgrade))
        .route("/metrics", get(metrics))
        .route("/{method}", get(uri))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(limit))
        .with_state(Shared { node, websockets })
}

/// Answers one request or a batch. Returns `None` if all were notifications.
pub(crate) async fn answer_json(node: &Arc<RpcContext>, value: Value) -> Option<Value> {
    let Value::Array(batch) = value else { return answer_one(node, &value).await };
    if batch.is_empty() || batch.len() > node.limits.max_batch {
        let most = node.limits.max_batch;
        let error = RpcError::invalid_request(format!(
            "a batch has 1 to {most} requests, not {}",
            batch.len()
        ));
        return Some(call::response(&Value::Null, Err(error)));
    }
    let mut answers = Vec::new();
    for request in &batch {
        answers.extend(answer_one(node, request).await);
    }
    if answers.is_empty() { None } else { Some(answers.into()) }
}

/// Makes a response with a JSON body.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn answer_one(node: &Arc<RpcContext>, value: &Value) -> Option<Value> {
    match Request::parse(value) {
        Ok(request) => call::answer(node, request).await,
        Err(response) => Some(response),
    }
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

async fn post(State(shared): State<Shared>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unreadable(&shared.node, &rejection),
    };
    let value = match serde_json::from_slice(&body) {
        Ok(value) => value,
        Err(error) => {
            let error = RpcError::parse(format!("error unmarshaling request: {error}"));
            return json_response(
                StatusCode::INTERNAL_SERVER_ERROR,
                &call::response(&json!(-1), Err(error)),
            );
        }
    };
    match answer_json(&shared.node, value).await {
        Some(answer) => json_response(StatusCode::OK, &answer),
        None => StatusCode::OK.into_response(),
    }
}

fn unreadable(node: &RpcContext, rejection: &BytesRejection) -> Response {
    let too_large = matches!(
        rejection,
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_))
    );
    let (status, why) = if too_large {
        let why = format!("the request has more than {} bytes", node.limits.max_body_bytes);
        (StatusCode::PAYLOAD_TOO_LARGE, why)
    } else {
        (StatusCode::BAD_REQUEST, format!("error reading request body: {rejection}"))
    };
    json_response(status, &call::response(&json!(-1), Err(RpcError::invalid_request(why))))
}

async fn uri(
    State(shared): State<Shared>,
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
    json_response(status, &call::response(&json!(-1), answer))
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
    crate::metrics::answer(metrics, &own).await
}

async fn unknown(uri: axum::http::Uri) -> Response {
    let error = RpcError::invalid_request(format!("path {:?} is invalid; POST to /", uri.path()));
    json_response(StatusCode::NOT_FOUND, &call::response(&json!(-1), Err(error)))
}
