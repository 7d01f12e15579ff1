//! Connections of HTTP servers: no more at a time than allowed, and none that is idle for long.

mod connection;
mod counted;
mod quotes;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use connection::Connection;
pub(crate) use connection::time_for;
pub(crate) use counted::Counted;

/// Pause after a failure to accept a connection, which is the operating system's and may last.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the connections of a server, and what is counted of them. Clones share the counters.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Maximum number of open connections.
    pub(crate) most: usize,
    /// Time without a byte in either direction after which a connection is closed, and time for which the header of
    /// a request may take.
    pub(crate) idle: Duration,
    /// Number of open connections.
    pub(crate) open: Arc<AtomicUsize>,
    /// Number of connections that were closed because they were idle.
    pub(crate) dropped: Arc<AtomicU64>,
}

/// Accepts connections, no more at a time than allowed. Further ones wait in the operating system's queue.
///
/// # Errors
/// The listener cannot be used.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let open = Arc::new(Semaphore::new(bounds.most.min(Semaphore::MAX_PERMITS)));
    loop {
        let Ok(permit) = Arc::clone(&open).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, router.clone(), bounds.clone(), permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection until it ends. A WebSocket takes the connection over, with its permit.
async fn converse(stream: TcpStream, router: Router, bounds: Bounds, permit: OwnedSemaphorePermit) {
    let counted = Counted::new(&bounds.open, 1);
    let stream = Connection::new(stream, bounds.idle, (counted, permit));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.idle)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if served.is_err_and(|error| error.is_timeout() || timed_out(&error)) {
        bounds.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns whether a connection failed because it was idle.
fn timed_out(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}
