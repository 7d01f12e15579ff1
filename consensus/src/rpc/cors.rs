//! Answers to web pages of other origins, with the headers that CometBFT's option sends, and the time of the server.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// CometBFT's `cors_allowed_methods`.
const METHODS: [&str; 3] = ["HEAD", "GET", "POST"];
/// CometBFT's `cors_allowed_headers`, in lower case.
const HEADERS: [&str; 5] =
    ["origin", "accept", "content-type", "x-requested-with", "x-server-time"];
const SERVER_TIME: HeaderName = HeaderName::from_static("x-server-time");

/// Answers, or refuses, what a page asks for beforehand, and marks all other answers. Without `allowed` it only adds
/// the time.
pub(crate) async fn mark(State(allowed): State<bool>, request: Request, next: Next) -> Response {
    let asked = request.headers();
    if allowed
        && request.method() == Method::OPTIONS
        && asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    {
        let mut headers = preflight(asked);
        stamp(&mut headers);
        return (StatusCode::NO_CONTENT, headers).into_response();
    }
    let is_listed =
        METHODS.contains(&request.method().as_str()) || request.method() == Method::OPTIONS;
    let is_allowed = asked.contains_key(ORIGIN) && is_listed;
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    stamp(headers);
    if allowed {
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        if is_allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
    }
    response
}

/// The headers of the answer to a question beforehand. Without the allowing ones, the browser makes no call.
fn preflight(asked: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    headers.insert(VARY, HeaderValue::from_static(vary));
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let method = text(ACCESS_CONTROL_REQUEST_METHOD).unwrap_or_default();
    let wanted = text(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let mut names = wanted.split(',').map(|name| name.trim().to_ascii_lowercase());
    let is_known = |name: &str| name.is_empty() || HEADERS.contains(&name);
    if asked.contains_key(ORIGIN) && METHODS.contains(&method) && names.all(|name| is_known(&name))
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        for (name, value) in
            [(ACCESS_CONTROL_ALLOW_METHODS, method), (ACCESS_CONTROL_ALLOW_HEADERS, wanted)]
        {
            if let Ok(value) = HeaderValue::from_str(value)
                && !value.is_empty()
            {
                headers.insert(name, value);
            }
        }
    }
    headers
}

fn stamp(headers: &mut HeaderMap) {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    headers.insert(SERVER_TIME, HeaderValue::from(seconds));
}
