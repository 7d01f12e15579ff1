//! JSON-RPC over HTTP: bodies with JSON, and URIs.
//!
//! Status codes and headers are those of CometBFT: 500 for a body that is no request and for a URI whose call fails, 200
//! for all else. A body over the limit gets 400.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{self, Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, Method as HttpMethod, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::Value;

use super::call::{self, Form, Outcome};
use super::context::RpcContext;
use super::cors;
use super::error::RpcError;
use super::index;
use super::methods::{METHODS, Method, WEBSOCKET_METHODS};
use super::params::Params;
use super::request::{Request, no_id, response, response_text, without_id};
use super::sessions::Sessions;
use super::{body, uri, websocket};
use crate::listen::{self, Call, Incoming, Intake, Reserved, Unread};

/// Answers that may be kept are good for a day, as in CometBFT.
const CACHE_CONTROL: &str = "public, max-age=86400";

/// Bytes around the answers of a batch.
const BRACKETS: usize = 2;

/// Maximum size of a form, in bytes.
const MAX_FORM_BYTES: usize = 64 << 10;

/// The state that all handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) node: Arc<RpcContext>,
    pub(crate) sessions: Arc<Sessions>,
}

/// Returns the routes of the server.
pub(crate) fn router(node: Arc<RpcContext>) -> Router {
    let sessions = Arc::new(Sessions::new(&node.limits));
    let cors = middleware::from_fn_with_state(node.cors, cors::mark);
    Router::new()
        .route("/", any(root))
        .route("/websocket", any(websocket::upgrade))
        .route("/metrics", get(metrics))
        .route("/{method}", any(of_uri))
        .fallback(not_found)
        .with_state(Shared { node, sessions })
        .layer(cors)
}

/// The answer to a body, and the memory that was reserved for it.
struct Answered {
    text: String,
    reserved: Reserved,
    is_cacheable: bool,
}

/// What a body gets instead of its answers.
enum Refusal {
    /// The error of the whole body, and whether the handler is at fault.
    Error(RpcError, bool),
    /// No memory is left.
    Busy,
}

/// Answers the requests of a body. Returns `None` if all of them were notifications.
async fn answer_all(
    node: &Arc<RpcContext>,
    by: &Call,
    value: Value,
) -> Result<Option<Answered>, Refusal> {
    let parsed = match value {
        Value::Array(batch) if batch.len() > node.limits.max_batch => {
            let most = node.limits.max_batch;
            node.usage.refuse();
            return Err(Refusal::Error(
                RpcError::invalid_request(format!(
                    "batch request exceeds maximum ({most}) allowed number of requests"
                )),
                false,
            ));
        }
        Value::Array(batch) => Request::parse_all(batch),
        Value::Null => Ok(Vec::new()),
        single => Request::parse(single).map(|request| vec![request]),
    };
    let requests = parsed.map_err(|why| Refusal::Error(RpcError::parse(&why), false))?;
    let mut room = node.limits.max_answer_bytes;
    let mut reserved = by.reserve(0).ok_or(Refusal::Busy)?;
    let (mut text, mut count, mut is_cacheable) = (String::new(), 0_usize, true);
    let begun = Instant::now();
    for request in requests.into_iter().flatten() {
        // Whoever asked may have left, which nobody sees while a further request is on the way.
        let is_late = count > 0 && begun.elapsed() > node.limits.max_batch_time;
        let outcome = match is_late {
            true => call::too_late(node, &request),
            false => call::answer(node, request, Form::Http, &mut room).await,
        };
        match outcome {
            Outcome::Answered(answer, cacheable) => {
                is_cacheable &= cacheable;
                count += 1;
                if count > 1 {
                    text.push(',');
                }
                if !reserved.grow(text.len() + answer.len() + BRACKETS) {
                    return Err(Refusal::Busy);
                }
                text.push_str(&answer);
            }
            Outcome::Failed(error) => return Err(Refusal::Error(error, true)),
        }
    }
    match count {
        0 => return Ok(None),
        1 => {}
        _ => {
            text.insert(0, '[');
            text.push(']');
        }
    }
    Ok(Some(Answered { text, reserved, is_cacheable }))
}

/// Makes a response with a JSON body.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Sends an answer, which counts as pending until it is sent.
fn send(node: &RpcContext, status: StatusCode, answered: Answered) -> Response {
    node.usage.answered(answered.text.len());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if answered.is_cacheable {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static(CACHE_CONTROL));
    }
    (status, headers, listen::held(answered.text, answered.reserved)).into_response()
}

/// The answer to a request for which there is no memory.
fn busy(node: &RpcContext) -> Response {
    node.usage.refuse();
    let error = RpcError::busy(node.limits.max_pending_bytes);
    json_response(StatusCode::SERVICE_UNAVAILABLE, &without_id(Err(error)))
}

/// Answers a body with JSON, however it is sent. Without a body, the answer is a page with all methods.
async fn root(
    State(shared): State<Shared>,
    Extension(by): Extension<Call>,
    request: extract::Request,
) -> Response {
    let node = &shared.node;
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default().to_owned();
    let read = listen::read(&intake(node, node.limits.max_body_bytes), &by, request).await;
    let Incoming { bytes, reserved: _reserved } = match read {
        Ok(incoming) => incoming,
        Err(unread) => return unreadable(node, &unread),
    };
    if bytes.is_empty() {
        return index::page(&host);
    }
    let value = match body::parse(&bytes, node.limits.max_batch, Form::Http) {
        Ok(value) => value,
        Err(error) => return refused(node, error, false),
    };
    drop(bytes);
    match answer_all(node, &by, value).await {
        Ok(Some(answered)) => send(node, StatusCode::OK, answered),
        Ok(None) => StatusCode::OK.into_response(),
        Err(Refusal::Error(error, is_failure)) => refused(node, error, is_failure),
        Err(Refusal::Busy) => busy(node),
    }
}

/// The error of a whole body. It has no id, but for a failure of the handler.
fn refused(node: &RpcContext, error: RpcError, is_failure: bool) -> Response {
    node.usage.refuse();
    let status = match is_failure || error.is_parse_error() {
        true => StatusCode::INTERNAL_SERVER_ERROR,
        false => StatusCode::OK,
    };
    let body = if is_failure { without_id(Err(error)) } else { response(None, Err(error)) };
    json_response(status, &body)
}

fn intake(node: &RpcContext, most: usize) -> Intake {
    Intake { most, idle: node.limits.idle_timeout }
}

fn unreadable(node: &RpcContext, unread: &Unread) -> Response {
    let (status, why) = match unread {
        Unread::Busy => return busy(node),
        Unread::TooLarge(_) => (
            StatusCode::BAD_REQUEST,
            "error reading request body: http: request body too large".to_owned(),
        ),
        Unread::TooSlow => {
            node.usage.drop_client();
            (StatusCode::REQUEST_TIMEOUT, unread.to_string())
        }
        Unread::Broken(_) => (StatusCode::BAD_REQUEST, unread.to_string()),
    };
    json_response(status, &response(None, Err(RpcError::invalid_request(why))))
}

/// Answers a call whose arguments are in the URI, or in a form.
async fn of_uri(
    State(shared): State<Shared>,
    Extension(by): Extension<Call>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: extract::Request,
) -> Response {
    let node = &shared.node;
    let Some(method) = Method::find(METHODS, &name) else {
        return match Method::find(WEBSOCKET_METHODS, &name) {
            Some(_) => {
                let answer = without_id(Err(RpcError::method_not_found()));
                json_response(StatusCode::NOT_FOUND, &answer)
            }
            None => not_found().await,
        };
    };
    // What the URI has counts before what the form has.
    let mut given = uri::pairs(&query.unwrap_or_default());
    given.retain(|(_, value)| !value.is_empty());
    if is_form(&request) {
        match listen::read(&intake(node, MAX_FORM_BYTES), &by, request).await {
            Ok(form) => given.extend(uri::pairs(&String::from_utf8_lossy(&form.bytes))),
            Err(unread) => return unreadable(node, &unread),
        }
    }
    let (answer, is_cacheable) = match Params::from_uri(&given, method.arguments) {
        Ok(params) => {
            let is_cacheable = method.is_cacheable(&params);
            (call::call(node, method.name, params).await, is_cacheable)
        }
        Err(why) => (Err(RpcError::invalid_params(why)), false),
    };
    let status = if answer.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let is_cacheable = is_cacheable && answer.is_ok();
    let text = response_text(&no_id(), answer);
    let most = node.limits.max_answer_bytes;
    if text.len() > most {
        node.usage.refuse();
        let error = RpcError::answer_too_large(most);
        return json_response(StatusCode::INTERNAL_SERVER_ERROR, &without_id(Err(error)));
    }
    match by.reserve(text.len()) {
        Some(reserved) => send(node, status, Answered { text, reserved, is_cacheable }),
        None => busy(node),
    }
}

fn is_form(request: &extract::Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let has_body =
        [HttpMethod::POST, HttpMethod::PUT, HttpMethod::PATCH].contains(request.method());
    has_body && kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
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

/// What Go's HTTP library answers for a path that is not there.
async fn not_found() -> Response {
    index::plain(StatusCode::NOT_FOUND, "404 page not found\n")
}
