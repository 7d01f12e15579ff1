//! A connection that fails when it is idle for too long.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use super::counted::Counted;
use super::quotes::Stream;

/// A connection that counts as open for as long as it exists.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    inner: Stream<S>,
    idle: Duration,
    /// The time at which the connection fails unless a byte is read or written before.
    deadline: Pin<Box<Sleep>>,
    _open: (Counted, OwnedSemaphorePermit),
}

impl<S> Connection<S> {
    /// Makes a connection that fails when nothing was read or written for the time `idle`.
    pub(crate) fn new(inner: S, idle: Duration, open: (Counted, OwnedSemaphorePermit)) -> Self {
        Self { inner: Stream::new(inner), idle, deadline: Box::pin(sleep(idle)), _open: open }
    }

    fn progress(&mut self) {
        let deadline = Instant::now() + self.idle;
        self.deadline.as_mut().reset(deadline);
    }

    /// Passes an outcome on, but a wait that is too long becomes an error.
    fn watch<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        is_progress: impl FnOnce(&T) -> bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Pending if self.deadline.as_mut().poll(context).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Ok(value)) => {
                if is_progress(&value) {
                    self.progress();
                }
                Poll::Ready(Ok(value))
            }
            other => other,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, out);
        let has_read = out.filled().len() > before;
        self.watch(outcome, |()| has_read, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watch(outcome, |count| *count > 0, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.watch(outcome, |count| *count > 0, context)
    }

    /// Returns true, so that a long answer is not copied before it is sent.
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.watch(outcome, |()| false, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.watch(outcome, |()| false, context)
    }
}
