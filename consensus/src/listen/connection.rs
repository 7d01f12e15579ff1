//! A connection that fails when it is idle for too long.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::clients::Seat;
use super::counted::Counted;
use super::quotes::Stream;

/// Bytes for each second that a body or an answer takes longer than the time without a byte that is allowed.
const BYTES_PER_SECOND: usize = 64 << 10;

/// Returns the time in which `bytes` must be moved, if a connection may be idle for the time `idle`.
pub(crate) fn time_for(bytes: usize, idle: Duration) -> Duration {
    idle.saturating_add(Duration::from_secs((bytes / BYTES_PER_SECOND) as u64))
}

/// A connection that counts as open for as long as it exists.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    inner: Stream<S>,
    idle: Duration,
    /// The time at which the connection fails unless a byte is read or written before.
    deadline: Pin<Box<Sleep>>,
    /// The time since which the client keeps the connection from writing, and the bytes that were written since. `None`
    /// when all is written.
    slow: Option<(Instant, usize)>,
    open: (Counted, Seat),
}

impl<S> Connection<S> {
    /// Makes a connection that fails when nothing was read or written for the time `idle`.
    pub(crate) fn new(inner: Stream<S>, idle: Duration, open: (Counted, Seat)) -> Self {
        let deadline = Box::pin(sleep(idle));
        Self { inner, idle, deadline, slow: None, open }
    }

    fn progress(&mut self) {
        let deadline = Instant::now() + self.idle;
        self.deadline.as_mut().reset(deadline);
    }

    /// Passes the outcome of a write on, but a client that reads too slowly is an error.
    fn watch_write(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(1..))) {
            self.open.1.client.took();
        }
        match (&outcome, &mut self.slow) {
            (Poll::Ready(Ok(count)), Some((since, bytes))) => {
                *bytes += *count;
                if since.elapsed() > time_for(*bytes, self.idle) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            (Poll::Pending, slow @ None) => *slow = Some((Instant::now(), 0)),
            _ => {}
        }
        self.watch(outcome, |count| *count > 0, context)
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
        self.watch_write(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.watch_write(outcome, context)
    }

    /// Returns true, so that a long answer is not copied before it is sent.
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        if outcome.is_ready() {
            self.slow = None;
        }
        self.watch(outcome, |()| false, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.watch(outcome, |()| false, context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::super::Bounds;
    use super::super::clients::Clients;
    use super::*;

    const IDLE: Duration = Duration::from_millis(100);

    async fn connection<S>(stream: S) -> Connection<S> {
        let seat = Clients::new(Bounds::test(1, 100)).admit([127, 0, 0, 1].into()).await.unwrap();
        let open = (Counted::new(&Arc::<AtomicUsize>::default(), 1), seat);
        Connection::new(Stream::new(stream), IDLE, open)
    }

    fn run(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(work);
    }

    #[test]
    fn a_client_that_reads_byte_by_byte_is_given_up() {
        run(async {
            let (near, mut far) = duplex(16);
            let mut near = connection(near).await;
            let reader = tokio::spawn(async move {
                while far.read_u8().await.is_ok() {
                    sleep(IDLE / 10).await;
                }
            });
            let error = near.write_all(&[0; 1 << 20]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            reader.abort();
        });
    }

    #[test]
    fn a_client_that_reads_in_time_gets_one_answer_after_another() {
        run(async {
            let (near, mut far) = duplex(16);
            let mut near = connection(near).await;
            let reader = tokio::spawn(async move {
                let mut answer = [0; 1024];
                while far.read_exact(&mut answer).await.is_ok() {}
            });
            for _ in 0..10 {
                near.write_all(&[0; 1024]).await.unwrap();
                near.flush().await.unwrap();
                sleep(IDLE / 4).await;
            }
            reader.abort();
        });
    }
}
