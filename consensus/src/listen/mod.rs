//! Connections of HTTP servers: no more at a time than allowed, and none that is idle for long.

mod budget;
mod call;
mod clients;
mod connection;
mod counted;
mod incoming;
mod quotes;
mod serve;
mod streams;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use clients::Clients;

pub use budget::{Budget, BudgetBounds, Reserved, Share, held};
pub use call::Call;
pub(crate) use counted::Counted;
pub use incoming::{Incoming, Intake, Unread, read};
pub use streams::{Stream, Streams};

/// Pause after a failure to accept a connection, which is the operating system's and may last.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the connections of a server, and what is counted of them. Clones share the counters.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Maximum number of open connections. For a further one, the connection that is idle longest is closed.
    pub most: usize,
    /// The part of them that one address may have, in percent. At least one.
    pub address_percent: u8,
    /// Time in which the first request of a connection must begin.
    pub first: Duration,
    /// Time without a byte in either direction after which a connection is closed, and time for which the header of
    /// a request may take.
    pub idle: Duration,
    /// Memory for bodies and answers.
    pub budget: Budget,
    /// Number of open connections.
    pub open: Arc<AtomicUsize>,
    /// Number of connections that were closed because they were idle, or refused because their address has its share.
    pub dropped: Arc<AtomicU64>,
}

impl Bounds {
    /// Returns the maximum number of connections of one address.
    pub(crate) fn of_address(&self) -> usize {
        part(self.most, self.address_percent)
    }
}

/// Returns a part of a number in percent, at least one.
pub(crate) fn part(number: usize, percent: u8) -> usize {
    (number.saturating_mul(usize::from(percent.min(100))) / 100).max(1)
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

/// Accepts connections, no more at a time than allowed. While all are at work, further ones wait in the operating
/// system's queue.
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
    let clients = Clients::new(bounds.clone());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(seat) = clients.admit(address.ip()).await else {
            bounds.dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (router, bounds) = (router.clone(), bounds.clone());
        match protocol {
            Protocol::Http1 => {
                tokio::spawn(serve::http1(stream, router, bounds, seat));
            }
            Protocol::Http2 { streams } => {
                tokio::spawn(serve::http2(stream, router, bounds, seat, streams));
            }
        }
    }
}

#[cfg(test)]
impl Bounds {
    /// Returns bounds of so many connections.
    pub(crate) fn test(most: usize, address_percent: u8) -> Self {
        let (open, dropped) = Default::default();
        let budget =
            Budget::new(BudgetBounds { bytes: 1 << 20, connections: most, address_percent });
        let idle = Duration::from_secs(60);
        Self { most, address_percent, first: idle, idle, budget, open, dropped }
    }
}
