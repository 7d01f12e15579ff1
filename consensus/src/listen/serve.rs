//! Connections from their first byte to their last.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;

use super::Bounds;
use super::call;
use super::clients::Seat;
use super::connection::Connection;
use super::counted::Counted;
use super::quotes;
use super::streams::{End, Streams};

/// Maximum size of the header of a request under HTTP/2, in bytes.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// Bytes of bodies that one connection may send before they are read.
const CONNECTION_WINDOW: u32 = 512 << 10;
/// Bytes of one body that may be sent before they are read.
const STREAM_WINDOW: u32 = 128 << 10;
/// Bytes of one answer that are buffered besides the answer itself.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that a client resets, or that it makes fail, before its connection is closed.
const MAX_RESETS: usize = 20;

/// Answers the requests of one connection until it ends. A WebSocket takes the connection over, with its seat.
pub(super) async fn http1(stream: TcpStream, router: Router, bounds: Bounds, seat: Seat) {
    let counted = Counted::new(&bounds.open, 1);
    let client = Arc::clone(&seat.client);
    let router = router.layer(from_fn_with_state(Arc::clone(&client), call::attach));
    let stream = quotes::Stream::new(stream);
    let stream = Connection::new(stream, bounds.idle, (counted, seat));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.idle)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::select! {
        served = served => note(served, &bounds),
        () = client.must_end(bounds.first) => {
            bounds.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Answers the requests of one connection until it ends. A connection without requests is closed, even if its client
/// pings. So is one whose client does not take an answer.
pub(super) async fn http2(
    stream: TcpStream,
    router: Router,
    bounds: Bounds,
    seat: Seat,
    most: u32,
) {
    let counted = Counted::new(&bounds.open, 1);
    let client = Arc::clone(&seat.client);
    let stream = quotes::Stream::unchanged(stream);
    let stream = Connection::new(stream, bounds.idle, (counted, seat));
    let streams = Arc::new(Streams::default());
    let router = router
        .layer(Extension(Arc::clone(&streams)))
        .layer(from_fn_with_state(Arc::clone(&client), call::attach));
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(most)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let (mut served, mut ended) = (pin!(served), pin!(streams.ended(bounds.idle)));
    tokio::select! {
        served = &mut served => return note(served, &bounds),
        end = &mut ended => {
            bounds.dropped.fetch_add(1, Ordering::Relaxed);
            if end == End::Stuck {
                return;
            }
        }
        () = client.must_end(bounds.first) => {
            bounds.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
    served.as_mut().graceful_shutdown();
    // The client is told that the connection ends, and has no longer than this to take note.
    let _ = tokio::time::timeout(bounds.idle, served).await;
}

fn note(served: Result<(), hyper::Error>, bounds: &Bounds) {
    if served.is_err_and(|error| error.is_timeout() || timed_out(&error)) {
        bounds.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns whether a connection failed because it was idle.
fn timed_out(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}
