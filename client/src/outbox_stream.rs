//! An account's outbox as an asynchronous stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use futures_channel::mpsc::{self, Receiver, Sender};
use futures_core::Stream;

use crate::{ClientError, OutboxEntry, OutboxFollower, OutboxStopper};

/// Number of entries that are read ahead of the stream's consumer, besides the page that the follower has read.
const READ_AHEAD: usize = 16;

type Item = Result<OutboxEntry, ClientError>;

/// Asynchronous stream of an account's outbox, which runs on any executor.
///
/// A thread of its own follows the outbox, since the client's calls block. It waits while the consumer is behind. It
/// ends when the stream is dropped.
#[derive(Debug)]
pub struct OutboxStream {
    entries: Receiver<Item>,
    stopper: OutboxStopper,
}

impl OutboxFollower {
    /// Makes an asynchronous stream of the follower.
    ///
    /// # Errors
    /// [`std::io::Error`] if the system starts no thread.
    pub fn into_stream(self) -> std::io::Result<OutboxStream> {
        let (sender, entries) = mpsc::channel(READ_AHEAD);
        let stopper = self.stopper();
        thread::Builder::new().name("outbox".to_owned()).spawn(move || forward(self, sender))?;
        Ok(OutboxStream { entries, stopper })
    }
}

impl OutboxStream {
    /// Returns a handle that ends the stream. Entries that were read are still given.
    pub fn stopper(&self) -> OutboxStopper {
        self.stopper.clone()
    }
}

impl Stream for OutboxStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        Pin::new(&mut self.entries).poll_next(context)
    }
}

impl Drop for OutboxStream {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

/// Hands entries to the stream until either side ends.
fn forward(follower: OutboxFollower, mut sender: Sender<Item>) {
    for item in follower {
        if !wait_for_room(&mut sender) || sender.start_send(item).is_err() {
            return;
        }
    }
}

/// Blocks until the queue has room. Returns false if the stream was dropped.
fn wait_for_room(sender: &mut Sender<Item>) -> bool {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match sender.poll_ready(&mut context) {
            Poll::Ready(ready) => return ready.is_ok(),
            Poll::Pending => thread::park(),
        }
    }
}

/// Waker that lets a blocked thread go on.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
