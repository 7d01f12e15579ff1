//! Bodies of requests as they come in: a part of the budget for each byte that came, and no more time than their length
//! needs.

use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::budget::Reserved;
use super::call::Call;
use super::connection::time_for;

/// Bodies that are too large are read and discarded up to so many times the limit.
const DISCARDED: usize = 2;

/// A body with its part of the budget.
#[derive(Debug)]
pub struct Incoming {
    /// The whole body.
    pub bytes: Vec<u8>,
    /// The part of the budget, which the bytes have for as long as this exists.
    pub reserved: Reserved,
}

/// The bounds of bodies.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    /// Maximum size of a body, in bytes.
    pub most: usize,
    /// Time for which a body may take. It has a second more for each 64 KiB.
    pub idle: Duration,
}

/// Reason why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The body is longer than allowed.
    #[error("the request has more than {0} bytes")]
    TooLarge(usize),
    /// The connection's share of the budget has no room for the body.
    #[error("no memory is left for the request: try again later")]
    Busy,
    /// The body came too slowly.
    #[error("the request came too slowly")]
    TooSlow,
    /// The connection failed.
    #[error("error reading request body: {0}")]
    Broken(String),
}

/// Reads the body of a request, which counts as the work of its connection from then on. What is announced and does not
/// come takes no memory.
///
/// # Errors
/// The [`Unread`] that says why the body was not read to its end.
pub async fn read(intake: &Intake, call: &Call, request: Request) -> Result<Incoming, Unread> {
    let most = intake.most;
    let is_too_large = announced(&request).is_some_and(|length| length > most);
    let mut parts = Parts {
        stream: request.into_body().into_data_stream(),
        idle_timeout: intake.idle,
        start: Instant::now(),
        came: 0,
    };
    let read = match is_too_large {
        true => Err(Unread::TooLarge(most)),
        false => collect(call, &mut parts, most).await,
    };
    if read.as_ref().is_err_and(|unread| *unread == Unread::TooLarge(most)) {
        parts.discard(most.saturating_mul(DISCARDED)).await;
    }
    call.begin();
    read
}

async fn collect(call: &Call, parts: &mut Parts, most: usize) -> Result<Incoming, Unread> {
    let mut bytes = Vec::new();
    let mut reserved = call.reserve(0).ok_or(Unread::Busy)?;
    while let Some(part) = parts.next().await? {
        let length = bytes.len() + part.len();
        if length > most {
            return Err(Unread::TooLarge(most));
        }
        // A vector that grows may have twice as much room as it needs.
        if !reserved.grow(length.saturating_mul(2).min(most)) {
            return Err(Unread::Busy);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(Incoming { bytes, reserved })
}

/// Parts of a body as they come.
struct Parts {
    stream: BodyDataStream,
    idle_timeout: Duration,
    start: Instant,
    /// Number of bytes that came.
    came: usize,
}

impl Parts {
    async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        let deadline = self.start + time_for(self.came, self.idle_timeout);
        let part = timeout_at(deadline, self.stream.next()).await.map_err(|_| Unread::TooSlow)?;
        let part = part.transpose().map_err(|error| Unread::Broken(error.to_string()))?;
        self.came = self.came.saturating_add(part.as_ref().map_or(0, Bytes::len));
        Ok(part)
    }

    /// Reads what still comes, up to `most` bytes in all. Many clients read no answer before they have sent everything.
    async fn discard(&mut self, most: usize) {
        while self.came < most && matches!(self.next().await, Ok(Some(_))) {}
    }
}

/// Returns the number of bytes that the header announces.
fn announced(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
