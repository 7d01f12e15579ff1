//! A request on its way through the handlers, and the connection that it came by.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::budget::Reserved;
use super::clients::Client;

/// A request, which handlers find among its extensions. While it exists after its body was read, its connection is at
/// work, and is not closed to make room for another one. Clones are the same request.
#[derive(Clone, Debug)]
pub struct Call(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Arc<Client>,
    work: OnceLock<Work>,
}

/// The time in which a connection is at work. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Work(Arc<Client>);

impl Work {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self(client)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.worked();
    }
}

impl Call {
    /// Reserves memory of the connection's share of the budget. Returns `None` if so much is not free for it.
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        self.0.client.share.reserve(bytes)
    }

    /// Returns the address that counts as that of the client.
    pub fn address(&self) -> IpAddr {
        self.0.client.address
    }

    /// Waits until the connection must end, because others need its seat or the memory that it holds.
    pub(crate) async fn must_leave(&self) {
        self.0.client.must_leave().await;
    }

    /// Notes that the request came as a whole.
    pub(super) fn begin(&self) {
        self.0.work.get_or_init(|| self.0.client.work());
    }
}

/// Gives each request its [`Call`].
pub(super) async fn attach(
    State(client): State<Arc<Client>>,
    mut request: Request,
    next: Next,
) -> Response {
    client.asks();
    let call = Call(Arc::new(Inner { client, work: OnceLock::new() }));
    if request.body().is_end_stream() {
        call.begin();
    }
    request.extensions_mut().insert(call);
    next.run(request).await
}
