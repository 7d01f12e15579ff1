//! An account's outbox, followed entry by entry.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use capstan_abi::Delivery;
use capstan_abi::json::delivery_from_json;
use capstan_proto::v1::{self as proto, SettledCall};
use capstan_proto::{Address, Method, Request as _};

use crate::{Client, ClientError, Deadline, Subscription};

/// Number of entries that one query asks for, if they are not too large for one answer.
const PAGE: u32 = 100;

/// Longest time after which the outbox is queried again although no event came, since events may be lost.
const RECHECK: Duration = Duration::from_secs(30);

/// Longest time for which a stop or a deadline goes unnoticed.
const STEP: Duration = Duration::from_millis(500);

/// Shortest and longest pause between two attempts to reach a node.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Entry of an account's outbox: a delivery to the account.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEntry {
    /// Number of the entry, from 1. [`Wallet::acknowledge`](crate::Wallet::acknowledge) takes it.
    pub number: u64,
    /// The [`Delivery`]. Its references are those of the account's c-list.
    pub delivery: Delivery,
    /// True for a call whose result the account had still to settle when the entry was read.
    pub unanswered: bool,
    /// Messages of the account that the notification answers.
    pub settles: Vec<SettledCall>,
}

/// Reader of an account's outbox, which waits for new entries and outlives connections.
///
/// It is an iterator that blocks. [`OutboxFollower::into_stream`] makes an asynchronous stream of it.
///
/// ```no_run
/// # use capstan_client::{Client, ClientError, Delivery, Key, Wallet};
/// # fn main() -> Result<(), ClientError> {
/// let client = Client::new("http://127.0.0.1:26657")?;
/// let alice = Wallet::new(&client, Key::dev(0));
/// for entry in client.follow_outbox(&alice.address()) {
///     let entry = entry?;
///     if let Delivery::Message { target, message } = &entry.delivery {
///         println!("{target} is called: {}", message.methargs.body);
///     }
///     alice.acknowledge(entry.number)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OutboxFollower {
    client: Client,
    address: Address,
    /// Number of the last entry that was read.
    after: u64,
    /// Number of entries that the next query asks for.
    page: u32,
    /// Entries that were read and not yet given.
    read: VecDeque<OutboxEntry>,
    events: Option<Subscription>,
    /// When the outbox was last queried with success.
    queried: Option<Instant>,
    outage: Outage,
    stopped: Arc<AtomicBool>,
    ended: bool,
}

/// Time for which the node cannot be reached.
#[derive(Debug)]
struct Outage {
    patience: Option<Duration>,
    since: Option<Instant>,
    /// Error of the last attempt, if it failed.
    error: Option<ClientError>,
    /// Time of the next attempt.
    retry: Option<Instant>,
    pause: Duration,
}

/// Handle that ends an [`OutboxFollower`] from another thread.
#[derive(Clone, Debug)]
pub struct OutboxStopper {
    stopped: Arc<AtomicBool>,
}

impl OutboxEntry {
    /// Decodes an entry of a node's answer.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if what it holds is no delivery.
    pub fn read(entry: proto::OutboxEntry) -> Result<Self, ClientError> {
        let proto::OutboxEntry { number, delivery_json, unanswered, settles } = entry;
        let delivery = delivery_from_json(delivery_json.as_bytes())
            .map_err(|why| ClientError::Tx(format!("outbox entry {number}: {why}")))?;
        Ok(Self { number, delivery, unanswered, settles })
    }
}

impl OutboxStopper {
    /// Ends the follower. Entries that it has read are still given. A call that waits returns within half a second.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl Client {
    /// Follows the outbox of an account, from the first entry that is not acknowledged. It connects at the first read.
    ///
    /// An account without an outbox is waited for: it has one after its first message.
    pub fn follow_outbox(&self, address: &Address) -> OutboxFollower {
        OutboxFollower {
            client: self.clone(),
            address: *address,
            after: 0,
            page: PAGE,
            read: VecDeque::new(),
            events: None,
            queried: None,
            outage: Outage::new(),
            stopped: Arc::default(),
            ended: false,
        }
    }
}

impl OutboxFollower {
    /// Leaves out entries up to and including `number`, which the program has handled already.
    #[must_use]
    pub fn after(mut self, number: u64) -> Self {
        self.after = number;
        self
    }

    /// Sets the time for which a node may be out of reach before the follower ends with an error. Without it the
    /// follower tries for ever.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.outage.patience = Some(patience);
        self
    }

    /// Returns the error of the last attempt to reach the node, or `None` if it succeeded. The follower tries again while
    /// a program waits with [`OutboxFollower::next_before`].
    pub fn outage(&self) -> Option<&ClientError> {
        self.outage.error.as_ref()
    }

    /// Returns a handle that ends the follower.
    pub fn stopper(&self) -> OutboxStopper {
        OutboxStopper { stopped: Arc::clone(&self.stopped) }
    }

    /// Waits for the next entry. Returns `None` if the follower has ended.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] if no entry comes in time, in which case later calls can still return one. Any other
    /// error ends the follower.
    pub fn next_before(&mut self, deadline: Deadline) -> Result<Option<OutboxEntry>, ClientError> {
        self.wait(Some(deadline))
    }

    fn wait(&mut self, deadline: Option<Deadline>) -> Result<Option<OutboxEntry>, ClientError> {
        loop {
            if let Some(entry) = self.read.pop_front() {
                return Ok(Some(entry));
            }
            if self.ended || self.stopped.load(Ordering::Relaxed) {
                self.end();
                return Ok(None);
            }
            let left = deadline.map_or(STEP, |deadline| deadline.left());
            if let Some(deadline) = deadline.filter(|_| left.is_zero()) {
                let what = "the next entry of the outbox".to_owned();
                return Err(ClientError::Timeout { what, waited: deadline.limit() });
            }
            self.step(left.min(STEP))?;
        }
    }

    /// Reads or waits for at most `limit`, not counting calls of the node.
    fn step(&mut self, limit: Duration) -> Result<(), ClientError> {
        let pause = self.outage.pause_left();
        if !pause.is_zero() {
            std::thread::sleep(pause.min(limit));
            return Ok(());
        }
        let Err(error) = self.read_or_wait(limit) else {
            self.outage.over();
            return Ok(());
        };
        // The next attempt begins with a new connection and a query, so that nothing is left out.
        (self.events, self.queried) = (None, None);
        if !error.is_transient() || self.outage.exhausted() {
            self.end();
            return Err(error);
        }
        if matches!(error, ClientError::Malformed { .. }) {
            // The answer may have been too large.
            self.page = (self.page / 2).max(1);
        }
        self.outage.failed(error);
        Ok(())
    }

    fn read_or_wait(&mut self, limit: Duration) -> Result<(), ClientError> {
        // Events are subscribed to before the query, so that what is posted after it is heard of.
        let events = match &mut self.events {
            Some(events) => events,
            none => none.insert(self.client.subscribe(&posted_to(&self.address))?),
        };
        if self.queried.is_none_or(|at| at.elapsed() > RECHECK) {
            self.queried = None;
            return self.query();
        }
        match events.next(Deadline::after(limit)) {
            Ok(_) => {
                self.queried = None;
                Ok(())
            }
            Err(ClientError::Timeout { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads one page. Others may follow it as long as it is not the last.
    fn query(&mut self) -> Result<(), ClientError> {
        let page = self.client.outbox(&self.address, self.after, self.page)?;
        for entry in page.entries {
            let entry = OutboxEntry::read(entry).map_err(|why| self.malformed(why.to_string()))?;
            self.after = self.after.max(entry.number);
            self.read.push_back(entry);
        }
        // On the last page this is 0.
        self.after = self.after.max(page.next);
        self.queried = (page.next == 0).then(Instant::now);
        Ok(())
    }

    fn malformed(&self, why: String) -> ClientError {
        let method: &Method = proto::QueryOutboxRequest::METHOD;
        let addr = self.client.addr().to_owned();
        ClientError::Malformed { addr, method: method.full_path.to_owned(), why }
    }

    fn end(&mut self) {
        self.ended = true;
        self.events = None;
    }
}

impl Iterator for OutboxFollower {
    type Item = Result<OutboxEntry, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.wait(None).transpose()
    }
}

impl Outage {
    fn new() -> Self {
        Self { patience: None, since: None, error: None, retry: None, pause: PAUSES.0 }
    }

    fn over(&mut self) {
        *self = Self { patience: self.patience, ..Self::new() };
    }

    /// Returns whether the node is out of reach for longer than it may be.
    fn exhausted(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.patience.is_some_and(|patience| since.elapsed() >= patience)
    }

    /// Notes a failed attempt. The next one comes after a pause, each longer than the one before.
    fn failed(&mut self, error: ClientError) {
        self.error = Some(error);
        let spent = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        let left = self.patience.map_or(self.pause, |patience| patience.saturating_sub(spent));
        self.retry = Some(Instant::now() + self.pause.min(left));
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    fn pause_left(&self) -> Duration {
        self.retry.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }
}

/// The subscription to blocks that post to the outbox of `address`.
fn posted_to(address: &Address) -> String {
    format!("tm.event='NewBlockEvents' AND outbox.posted.account='{address}'")
}
