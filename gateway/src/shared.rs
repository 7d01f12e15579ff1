//! What the handlers of both protocols share.

use std::sync::Arc;

use axum::http::HeaderMap;
use capstan_consensus::listen::Intake;
use tonic::Status;

use crate::backend::Backend;
use crate::reply::Reply;
use crate::service;
use crate::status::shortened;
use crate::usage::Usage;

/// Maximum size of a request that carries no transaction, in bytes.
const MAX_QUERY_BYTES: usize = 64 << 10;

/// Header with the height of a state, in requests and in answers.
pub(crate) const HEIGHT: &str = "x-cosmos-block-height";

/// Header of an answer with the height at which a search ended because it had read enough.
pub(crate) const CUT_AT: &str = "x-capstan-cut-at-height";

/// The backend, and the bounds and counters of requests.
pub(crate) struct Shared {
    pub(crate) backend: Arc<Backend>,
    pub(crate) intake: Intake,
    pub(crate) usage: Arc<Usage>,
}

impl Shared {
    /// Returns the bounds of the request of a call.
    pub(crate) fn intake_of(&self, path: &str) -> Intake {
        match service::carries_transaction(path) {
            true => self.intake,
            false => Intake { most: self.intake.most.min(MAX_QUERY_BYTES), ..self.intake },
        }
    }
}

/// Returns the height that a request asks for, 0 for the last one.
///
/// # Errors
/// The header is not a height.
pub(crate) fn height(headers: &HeaderMap) -> Result<i64, Status> {
    let Some(given) = headers.get(HEIGHT) else { return Ok(0) };
    let height = given.to_str().ok().and_then(|text| text.parse().ok());
    height.filter(|height| *height >= 0).ok_or_else(|| {
        let given = String::from_utf8_lossy(given.as_bytes());
        let text = format!("{HEIGHT} must be a height, 0 for the last one, and is {given:?}");
        Status::invalid_argument(shortened(&text))
    })
}

/// Adds the heights that an answer carries to its headers.
pub(crate) fn tell(headers: &mut HeaderMap, reply: &Reply) {
    if reply.height > 0 {
        headers.insert(HEIGHT, reply.height.into());
    }
    if let Some(height) = reply.cut_at {
        headers.insert(CUT_AT, height.into());
    }
}
