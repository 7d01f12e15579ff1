//! The two things that `capstan serve` waits for: what the object says, and entries of the outbox.

use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use capstan_client::{ClientError, Deadline, OutboxEntry, OutboxFollower};

/// Events that wait. A program that says more than is taken waits too.
pub(super) const CAPACITY: usize = 64;

/// Time in which a loss of the node is noticed.
const STEP: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) enum Event {
    /// The object's program said a line.
    Said(String),
    /// The object's program ended.
    Ended,
    /// The outbox has a new entry.
    Entry(OutboxEntry),
    /// The node is away, and is tried again.
    Lost(String),
    /// The node is back.
    Back,
    /// The outbox cannot be read.
    Failed(ClientError),
}

/// Follows the outbox, one entry for each permit, until either side ends.
pub(super) fn follow(
    mut follower: OutboxFollower,
    permits: &Receiver<()>,
    events: &SyncSender<Event>,
) {
    let mut lost = false;
    while permits.recv().is_ok() {
        loop {
            let next = follower.next_before(Deadline::after(STEP));
            let change = match (follower.outage(), lost) {
                (Some(error), false) => Some(Event::Lost(error.to_string())),
                (None, true) => Some(Event::Back),
                _ => None,
            };
            lost = follower.outage().is_some();
            if change.is_some_and(|change| events.send(change).is_err()) {
                return;
            }
            let event = match next {
                Ok(Some(entry)) => Event::Entry(entry),
                Ok(None) => return,
                Err(ClientError::Timeout { .. }) => continue,
                Err(error) => Event::Failed(error),
            };
            let failed = matches!(event, Event::Failed(_));
            if events.send(event).is_err() || failed {
                return;
            }
            break;
        }
    }
}
