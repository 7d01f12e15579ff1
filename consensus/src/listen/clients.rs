//! The open connections of a server, and which of them makes room for a new one.
//!
//! When all seats are taken, the connection that is idle longest is closed, of the address that has most connections. So
//! silent connections keep nobody out. A connection whose request is being answered stays, unless all are at work and
//! another address has two connections more than that of the new one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::Bounds;
use super::budget::Share;
use super::call::Work;

/// The open connections of a server. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    bounds: Bounds,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    state: Mutex<State>,
    /// Notified when a seat is free, or a connection becomes idle.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

/// One connection, and its use.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) share: Share,
    open: Arc<Open>,
    usage: Mutex<Usage>,
    /// Whether the connection was told to end.
    leaves: AtomicBool,
    leave: Notify,
}

#[derive(Debug)]
struct Usage {
    /// Whether a request came.
    has_asked: bool,
    /// Number of requests that are being answered.
    at_work: usize,
    /// The last time at which the connection was of use.
    last: Instant,
}

/// The seat of an open connection. Dropping it makes it free.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    pub(super) client: Arc<Client>,
}

/// What becomes of a new connection.
enum Admission {
    Seat(Seat),
    /// Another connection must end first.
    Wait,
    /// The address has its share, and all of its connections are at work.
    Refused,
}

impl Clients {
    /// Makes an empty list.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, open: Arc::default() }
    }

    /// Gives a seat to a new connection, for which an idle one may have to end. Waits while all are at work. Returns
    /// `None` if its address has no right to another one.
    pub(super) async fn admit(&self, address: IpAddr) -> Option<Seat> {
        let address = network(address);
        loop {
            match self.try_admit(address) {
                Admission::Seat(seat) => return Some(seat),
                Admission::Refused => return None,
                Admission::Wait => self.open.changed.notified().await,
            }
        }
    }

    fn try_admit(&self, address: IpAddr) -> Admission {
        let mut state = self.open.state();
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for client in state.clients.values() {
            *counts.entry(client.address).or_default() += 1;
        }
        let is_over = counts.get(&address).is_some_and(|count| *count >= self.bounds.of_address());
        if !is_over && state.clients.len() < self.bounds.most {
            return Admission::Seat(self.sit(&mut state, address));
        }
        let concerned = |client: &&Arc<Client>| !is_over || client.address == address;
        let mut candidates = state.clients.values().filter(concerned);
        if candidates.clone().any(|client| client.leaves.load(Ordering::Relaxed)) {
            return Admission::Wait;
        }
        let rank = |client: &&Arc<Client>| {
            let count = counts.get(&client.address).copied().unwrap_or(0);
            client.idle_since().map(|since| (count, Reverse(since)))
        };
        let idle = candidates.by_ref().filter(|client| client.idle_since().is_some());
        match idle.max_by_key(rank) {
            Some(client) => client.end(),
            None if is_over => return Admission::Refused,
            None => {
                let mine = counts.get(&address).copied().unwrap_or(0);
                let largest = counts.iter().max_by_key(|(_, count)| **count);
                let largest = largest.filter(|(_, count)| **count > mine + 1);
                // The oldest comes first.
                let of_it = |(address, _): (&IpAddr, _)| {
                    state.clients.values().find(|client| client.address == *address)
                };
                if let Some(client) = largest.and_then(of_it) {
                    client.end();
                }
            }
        }
        Admission::Wait
    }

    fn sit(&self, state: &mut State, address: IpAddr) -> Seat {
        let id = state.next;
        state.next += 1;
        let usage = Usage { has_asked: false, at_work: 0, last: Instant::now() };
        let client = Arc::new(Client {
            address,
            share: self.bounds.budget.share(address),
            open: Arc::clone(&self.open),
            usage: Mutex::new(usage),
            leaves: AtomicBool::new(false),
            leave: Notify::new(),
        });
        state.clients.insert(id, Arc::clone(&client));
        Seat { id, client }
    }
}

impl Open {
    // What the lock guards is whole whenever it is free.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Waits until the connection must end: another one needs its seat, or no request came in the time `first`.
    pub(super) async fn must_end(&self, first: Duration) {
        tokio::select! {
            () = self.must_leave() => return,
            () = sleep(first) => {}
        }
        if self.usage().has_asked {
            self.must_leave().await;
        }
    }

    /// Waits until the connection must end for others: they need its seat, or the memory that it holds.
    pub(super) async fn must_leave(&self) {
        tokio::select! {
            () = self.leave.notified() => {}
            () = self.share.must_leave() => {}
        }
    }

    /// Notes the header of a request.
    pub(super) fn asks(&self) {
        self.usage().has_asked = true;
    }

    /// Notes bytes that the client took.
    pub(super) fn took(&self) {
        self.usage().last = Instant::now();
    }

    /// Begins to answer a request.
    pub(super) fn work(self: &Arc<Self>) -> Work {
        self.usage().at_work += 1;
        Work::new(Arc::clone(self))
    }

    /// Ends what [`Self::work`] began.
    pub(super) fn worked(&self) {
        let mut usage = self.usage();
        usage.at_work -= 1;
        usage.last = Instant::now();
        let is_idle = usage.at_work == 0;
        drop(usage);
        if is_idle {
            self.open.changed.notify_one();
        }
    }

    fn end(&self) {
        self.leaves.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }

    /// Returns the time since which the connection is of no use, or `None` while a request is being answered.
    fn idle_since(&self) -> Option<Instant> {
        let usage = self.usage();
        (usage.at_work == 0).then_some(usage.last)
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let open = &self.client.open;
        open.state().clients.remove(&self.id);
        open.changed.notify_one();
    }
}

/// Returns what counts as one address: with IPv6, everybody has at least a whole network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
#[path = "clients_tests.rs"]
mod tests;
