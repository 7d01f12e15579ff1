//! REST: calls of methods by the HTTP rules of their descriptors, in JSON.

mod answer;
mod openapi;
mod request;
mod rules;

pub use answer::json as to_json;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use capstan_consensus::listen::{self, Call, Incoming, held};
use percent_encoding::percent_decode_str;
use prost::Message as _;
use tonic::Status;

use crate::reply::Reply;
use crate::shared::{Shared, height, tell};
use crate::status::{self, busy};
use rules::Rule;

/// Header of an answer with the height of the state, as gateways name it.
const GATEWAY_HEIGHT: HeaderName = HeaderName::from_static("grpc-metadata-x-cosmos-block-height");
/// Maximum size of a path with its query string, in bytes.
const MAX_URI_BYTES: usize = 16 << 10;
/// Headers of an answer that allow web pages of any origin to call.
const CORS: [(HeaderName, HeaderValue); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS")),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("content-type, x-cosmos-block-height"),
    ),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "grpc-metadata-x-cosmos-block-height, x-cosmos-block-height, x-capstan-cut-at-height",
        ),
    ),
];

/// What the handlers of REST share.
struct Rest {
    shared: Arc<Shared>,
    rules: Vec<Rule>,
    /// The OpenAPI document, once somebody asked for it.
    document: OnceLock<String>,
}

/// The answer to a call, whose value is JSON.
type Answered = Result<Reply, Status>;

/// Returns the routes of REST. With `cors`, web pages of any origin may call.
pub(crate) fn router(shared: Arc<Shared>, cors: bool) -> Router {
    let rules = rules::all(&shared.backend.pool);
    let rest = Arc::new(Rest { shared, rules, document: OnceLock::new() });
    let router =
        Router::new().route("/openapi.json", get(document)).fallback(call).with_state(rest);
    if cors { router.layer(middleware::from_fn(allow)) } else { router }
}

/// Answers preflight requests, and lets pages read answers.
async fn allow(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    response.headers_mut().extend(CORS);
    response
}

async fn document(State(rest): State<Arc<Rest>>, Extension(by): Extension<Call>) -> Response {
    let text = rest.document.get_or_init(|| openapi::document(&rest.rules).to_string());
    send(&by, Ok(Reply::of_node(text.clone().into_bytes())))
}

async fn call(
    State(rest): State<Arc<Rest>>,
    Extension(by): Extension<Call>,
    request: Request,
) -> Response {
    let answered = answer(&rest, &by, request).await;
    let counted = answered.as_ref().map(|_| ()).map_err(Status::code);
    rest.shared.usage.rest.called(counted);
    send(&by, answered)
}

async fn answer(rest: &Rest, by: &Call, request: Request) -> Answered {
    let (uri, verb) = (request.uri().clone(), request.method().clone());
    if uri.to_string().len() > MAX_URI_BYTES {
        return Err(Status::invalid_argument(format!("a URI has at most {MAX_URI_BYTES} bytes")));
    }
    let height = height(request.headers())?;
    let path = segments(uri.path())?;
    let Some((rule, variables)) = rules::find(&rest.rules, verb.as_str(), &path) else {
        return Err(Status::unimplemented("Not Implemented"));
    };
    let intake = rest.shared.intake_of(&rule.path());
    let incoming = listen::read(&intake, by, request).await;
    let Incoming { bytes, reserved } = incoming.map_err(|e| status::of_unread(&e))?;
    let (parameters, kind, method) = (parameters(&uri)?, rule.method.output(), rule.path());
    let (backend, rule) = (&rest.shared.backend, rule.clone());
    let build = move || {
        let built = request::build(&rule, variables, &parameters, &bytes)?.encode_to_vec();
        Ok((built, reserved))
    };
    let (request, reserved) = backend.run(build).await?;
    let reply = backend.call(&method, request, height, reserved).await?;
    // While the response is turned into JSON, both are in memory.
    let reserved = by.reserve(reply.value.len()).ok_or_else(busy)?;
    let most = backend.max_answer_bytes;
    let shown = move || {
        let value = answer::json(kind, &reply.value, most)?;
        drop(reserved);
        Ok(Reply { value, ..reply })
    };
    backend.run(shown).await
}

/// Returns the decoded segments of a path.
fn segments(path: &str) -> Result<Vec<String>, Status> {
    let decode = |segment: &str| {
        let text = percent_decode_str(segment).decode_utf8();
        text.map(|text| text.into_owned())
            .map_err(|_| Status::invalid_argument("the path is not UTF-8"))
    };
    path.trim_matches('/').split('/').map(decode).collect()
}

fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Status> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
    query.map(|query| query.0).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn send(by: &Call, answered: Answered) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = answered.and_then(|mut reply| {
        let reserved = by.reserve(reply.value.len()).ok_or_else(busy)?;
        tell(&mut headers, &reply);
        if reply.height > 0 {
            headers.insert(GATEWAY_HEIGHT, reply.height.into());
        }
        Ok(held(std::mem::take(&mut reply.value), reserved))
    });
    let (status, body) = match body {
        Ok(body) => (200, Body::from(body)),
        Err(status) => (answer::http_status(status.code()), Body::from(answer::error(&status))),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, headers, body).into_response()
}
