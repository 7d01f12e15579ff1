//! What waits to be sent over a WebSocket. A client that reads slowly makes it grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::context::Committed;
use crate::chain::query::Query;
use crate::listen::{Counted, Reserved, held};

/// A subscription to the events that match a query.
pub(crate) struct Subscription {
    pub(crate) id: Value,
    pub(crate) query: Query,
}

/// One thing to send.
enum Item {
    /// An answer to a call, with its part of the budget.
    Answer(String, Reserved),
    /// An event for a subscription. The event is shared by all that wait for it.
    Event(Arc<Committed>, usize, Arc<Subscription>),
    /// A ping.
    Ping,
}

/// The sending half of a session. Dropping it stops the sending.
pub(crate) struct Outgoing {
    items: UnboundedSender<(Item, Counted)>,
    backlog: Arc<AtomicUsize>,
    total: Arc<AtomicUsize>,
    sent: Arc<Notify>,
    writer: JoinHandle<()>,
}

impl Outgoing {
    /// Starts to send over `sink`. The bytes that wait are part of `total` too.
    pub(crate) fn start(sink: SplitSink<WebSocket, Message>, total: &Arc<AtomicUsize>) -> Self {
        let (items, queue) = unbounded_channel();
        let sent = Arc::<Notify>::default();
        let writer = tokio::spawn(write(sink, queue, Arc::clone(&sent)));
        Self { items, backlog: Arc::default(), total: Arc::clone(total), sent, writer }
    }

    /// Returns the number of bytes that wait.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Returns what is notified whenever something was sent.
    pub(crate) fn sent(&self) -> Arc<Notify> {
        Arc::clone(&self.sent)
    }

    /// Returns whether the connection is broken, so that nothing is sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.writer.is_finished()
    }

    /// Sends an answer.
    pub(crate) fn answer(&self, text: String, reserved: Reserved) {
        let bytes = text.len();
        self.push(Item::Answer(text, reserved), bytes);
    }

    /// Sends the event with that index in a block.
    pub(crate) fn event(&self, block: &Arc<Committed>, index: usize, to: &Arc<Subscription>) {
        let bytes = block.events().get(index).map_or(0, |event| event.members.len());
        self.push(Item::Event(Arc::clone(block), index, Arc::clone(to)), bytes);
    }

    /// Asks the client for a sign of life.
    pub(crate) fn ping(&self) {
        self.push(Item::Ping, 1);
    }

    fn push(&self, item: Item, bytes: usize) {
        let own = Counted::new(&self.backlog, bytes);
        let counted = own.and(&self.total);
        // If nobody receives, the connection has ended.
        let _ = self.items.send((item, counted));
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

/// Sends one item after another. Only one message is in memory at a time.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: UnboundedReceiver<(Item, Counted)>,
    sent: Arc<Notify>,
) {
    while let Some((item, counted)) = queue.recv().await {
        let Some(message) = message(item) else { continue };
        if sink.send(message).await.is_err() {
            return;
        }
        drop(counted);
        sent.notify_one();
    }
}

fn message(item: Item) -> Option<Message> {
    Some(match item {
        Item::Answer(text, reserved) => {
            Message::Text(Utf8Bytes::try_from(held(text, reserved)).ok()?)
        }
        Item::Event(block, index, to) => {
            let event = block.events().get(index)?;
            Message::Text(event.message(&to.id, to.query.text()).into())
        }
        Item::Ping => Message::Ping(Bytes::new()),
    })
}
