//! Connections of HTTP servers: no more at a time than allowed, and none that is idle for long.

mod budget;
mod connection;
mod counted;
mod incoming;
mod quotes;
mod serve;
mod streams;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use axum::Router;
use tokio::sync::Semaphore;

pub use budget::{Budget, Reserved, held};
pub(crate) use counted::Counted;
pub use incoming::{Incoming, Intake, Unread, read};
pub use streams::{Stream, Streams};

/// Pause after a failure to accept a connection, which is the operating system's and may last.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the connections of a server, and what is counted of them. Clones share the counters.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Maximum number of open connections.
    pub most: usize,
    /// Time without a byte in either direction after which a connection is closed, and time for which the header of
    /// a request may take.
    pub idle: Duration,
    /// Number of open connections.
    pub open: Arc<AtomicUsize>,
    /// Number of connections that were closed because they were idle.
    pub dropped: Arc<AtomicU64>,
}

/// The protocol of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, with upgrades to WebSockets. Quotes in URIs are encoded.
    Http1,
    /// HTTP/2 without TLS, with so many streams of one connection at a time. Handlers find the connection's
    /// [`Streams`] among the extensions of a request.
    Http2 {
        /// Maximum number of streams.
        streams: u32,
    },
}

/// Accepts connections, no more at a time than allowed. Further ones wait in the operating system's queue.
///
/// # Errors
/// The listener cannot be used.
pub async fn accept(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    protocol: Protocol,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let open = Arc::new(Semaphore::new(bounds.most.min(Semaphore::MAX_PERMITS)));
    loop {
        let Ok(permit) = Arc::clone(&open).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (router, bounds) = (router.clone(), bounds.clone());
                match protocol {
                    Protocol::Http1 => {
                        tokio::spawn(serve::http1(stream, router, bounds, permit));
                    }
                    Protocol::Http2 { streams } => {
                        tokio::spawn(serve::http2(stream, router, bounds, permit, streams));
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
