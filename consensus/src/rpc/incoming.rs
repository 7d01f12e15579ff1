//! Bodies of requests as they come in: a part of the budget for each byte that came, and no more time than their length
//! needs.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::budget::Reserved;
use super::context::RpcContext;
use crate::listen::time_for;

/// A body with its part of the budget.
pub(crate) struct Incoming {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reserved: Reserved,
}

/// Reason why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    /// It is longer than allowed.
    #[error("the request has more than {0} bytes")]
    TooLarge(usize),
    /// The budget has no room for it.
    #[error("no memory is left for the request")]
    Busy,
    /// It came too slowly.
    #[error("the request came too slowly")]
    TooSlow,
    /// The connection failed.
    #[error("error reading request body: {0}")]
    Broken(String),
}

/// Reads the body of a request. What is announced and does not come takes no memory.
pub(crate) async fn read(node: &RpcContext, request: Request) -> Result<Incoming, Unread> {
    let most = node.limits.max_body_bytes;
    if announced(&request).is_some_and(|length| length > most) {
        return Err(Unread::TooLarge(most));
    }
    collect(node, request.into_body(), most).await
}

async fn collect(node: &RpcContext, body: Body, most: usize) -> Result<Incoming, Unread> {
    let start = Instant::now();
    let mut parts = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut reserved = node.budget.reserve(0).ok_or(Unread::Busy)?;
    loop {
        let deadline = start + time_for(bytes.len(), node.limits.idle_timeout);
        let part = timeout_at(deadline, parts.next()).await.map_err(|_| Unread::TooSlow)?;
        let Some(part) = part else { return Ok(Incoming { bytes, reserved }) };
        let part = part.map_err(|error| Unread::Broken(error.to_string()))?;
        let length = bytes.len() + part.len();
        if length > most {
            return Err(Unread::TooLarge(most));
        }
        // A vector that grows may have twice as much room as it needs.
        if !reserved.grow(&node.budget, length.saturating_mul(2).min(most)) {
            return Err(Unread::Busy);
        }
        bytes.extend_from_slice(&part);
    }
}

/// Returns the number of bytes that the header announces.
fn announced(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
