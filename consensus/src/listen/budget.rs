//! The memory that bodies of requests and answers may take together, and the share that one client may have of it.
//!
//! A connection has a little memory of its own, which nobody else can take. So small requests and answers always go. What
//! is larger comes from the rest, of which one connection and one address have a share only.
//!
//! An address may have no more than it leaves free, unless no other one has anything, or it has one thing only. So each
//! further address that fills its share leaves some memory to the next one. When that is not enough, the address that has most
//! loses the connection that holds most.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::Notify;

/// Most bytes that a connection has for itself.
const OWN_BYTES: usize = 64 << 10;
/// The part of all memory that is kept for what connections have for themselves, as a divisor.
const OWN_PART: usize = 8;
/// The part of an address's share that one connection may have, as a divisor.
const CONNECTION_PART: usize = 2;

/// A number of bytes of which parts are reserved. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    bounds: BudgetBounds,
    state: Arc<Mutex<State>>,
    next: Arc<AtomicU64>,
}

/// The bounds of a [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetBounds {
    /// All bytes.
    pub bytes: usize,
    /// Maximum number of connections that share them.
    pub connections: usize,
    /// The part that the connections of one address may have together, in percent.
    pub address_percent: u8,
}

#[derive(Debug, Default)]
struct State {
    /// Reserved bytes, those that connections have for themselves included.
    used: usize,
    /// Reserved bytes of the part that all share.
    shared: usize,
    /// The part of `shared` of each address.
    addresses: BTreeMap<IpAddr, usize>,
    /// What each connection holds: its own bytes, and its part of `shared`.
    connections: BTreeMap<u64, Holder>,
}

/// A connection that holds bytes.
#[derive(Debug)]
struct Holder {
    address: IpAddr,
    amount: Amount,
    /// Whether the connection was told to end.
    leaves: bool,
    leave: Arc<Notify>,
}

/// Bytes that a connection has for itself, and those of the part that all share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    own: usize,
    shared: usize,
}

/// What one connection may have of a [`Budget`]. Clones share it.
#[derive(Clone, Debug)]
pub struct Share {
    budget: Budget,
    address: IpAddr,
    connection: u64,
    leave: Arc<Notify>,
}

/// A part of a [`Budget`]. Dropping it gives it back.
#[derive(Debug)]
pub struct Reserved {
    share: Share,
    amount: Amount,
}

impl Reserved {
    /// Reserves as much as is missing for `bytes` in all. Returns false if so much is not free.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.amount.own + self.amount.shared);
        let more = self.share.take(missing, self.amount.shared);
        let Some(Amount { own, shared }) = more else { return false };
        self.amount.own += own;
        self.amount.shared += shared;
        true
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.share.give_back(self.amount);
    }
}

impl Budget {
    /// Makes a budget.
    pub fn new(bounds: BudgetBounds) -> Self {
        Self { bounds, state: Arc::default(), next: Arc::default() }
    }

    /// Returns the share of a new connection of an address.
    pub fn share(&self, address: IpAddr) -> Share {
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        Share { budget: self.clone(), address, connection, leave: Arc::default() }
    }

    /// Returns the number of reserved bytes.
    pub fn used(&self) -> usize {
        self.state().used
    }

    // What the lock guards is whole whenever it is free.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BudgetBounds {
    /// Returns the bytes that a connection has for itself.
    fn own(&self) -> usize {
        (self.bytes / OWN_PART / self.connections.max(1)).min(OWN_BYTES)
    }

    /// Returns the bytes that all connections share.
    fn shared(&self) -> usize {
        self.bytes - self.own() * self.connections.max(1)
    }

    fn of_address(&self) -> usize {
        self.shared() / 100 * usize::from(self.address_percent.min(100))
    }
}

impl State {
    /// Tells the connection to end that holds most of those of the address that holds most, if that is more than `most`.
    /// Until it has ended, no other one of this address is told.
    fn make_room(&mut self, most: usize) {
        let Some((address, held)) = self.addresses.iter().max_by_key(|(_, held)| **held) else {
            return;
        };
        if *held <= most {
            return;
        }
        let address = *address;
        let theirs = self.connections.values_mut().filter(|holder| holder.address == address);
        let theirs: Vec<_> = theirs.filter(|holder| holder.amount.shared > 0).collect();
        if theirs.iter().any(|holder| holder.leaves) {
            return;
        }
        if let Some(holder) = theirs.into_iter().max_by_key(|holder| holder.amount.shared) {
            holder.leaves = true;
            holder.leave.notify_one();
        }
    }
}

impl Share {
    /// Waits until the connection must end, because it holds what others need.
    pub(super) async fn must_leave(&self) {
        self.leave.notified().await;
    }

    /// Reserves room for `bytes`. Returns `None` if so much is not free for this connection.
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        self.take(bytes, 0).map(|amount| Reserved { share: self.clone(), amount })
    }

    /// Takes bytes, for something that has `before` of the shared ones already.
    fn take(&self, bytes: usize, before: usize) -> Option<Amount> {
        let (bounds, mut state) = (self.budget.bounds, self.budget.state());
        let used = state.used.checked_add(bytes).filter(|used| *used <= bounds.bytes)?;
        let mine = state.connections.get(&self.connection);
        let mine = mine.map(|holder| holder.amount).unwrap_or_default();
        if mine.own.saturating_add(bytes) <= bounds.own() {
            state.used = used;
            self.holder(&mut state).own += bytes;
            return Some(Amount { own: bytes, shared: 0 });
        }
        let of_address = state.addresses.get(&self.address).copied().unwrap_or(0);
        // One thing alone may have more than the share: otherwise nobody could get a large answer.
        let fits = |held: usize, most: usize| held <= before || held.saturating_add(bytes) <= most;
        if !fits(of_address, bounds.of_address())
            || !fits(mine.shared, bounds.of_address() / CONNECTION_PART)
        {
            return None;
        }
        let wanted = of_address.saturating_add(bytes);
        let shared = state.shared.saturating_add(bytes);
        let free = bounds.shared().checked_sub(shared);
        // One thing alone may have more here, too.
        let leaves_room = of_address <= before || state.shared == of_address;
        if free.is_none_or(|free| !leaves_room && wanted > free) {
            state.make_room(wanted);
            return None;
        }
        (state.used, state.shared) = (used, shared);
        *state.addresses.entry(self.address).or_default() += bytes;
        self.holder(&mut state).shared += bytes;
        Some(Amount { own: 0, shared: bytes })
    }

    /// Returns what this connection holds.
    fn holder<'a>(&self, state: &'a mut State) -> &'a mut Amount {
        let new = || Holder {
            address: self.address,
            amount: Amount::default(),
            leaves: false,
            leave: Arc::clone(&self.leave),
        };
        &mut state.connections.entry(self.connection).or_insert_with(new).amount
    }

    fn give_back(&self, Amount { own, shared }: Amount) {
        let mut state = self.budget.state();
        state.used -= own + shared;
        state.shared -= shared;
        if let Some(held) = state.addresses.get_mut(&self.address) {
            *held -= shared;
            if *held == 0 {
                state.addresses.remove(&self.address);
            }
        }
        if let Some(held) = state.connections.get_mut(&self.connection) {
            let amount = &mut held.amount;
            *amount = Amount { own: amount.own - own, shared: amount.shared - shared };
            if *amount == Amount::default() {
                state.connections.remove(&self.connection);
            }
        }
    }
}

/// Bytes that give back what they hold when they were sent.
struct Held<T> {
    bytes: Vec<u8>,
    _held: T,
}

impl<T> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns bytes that hold something, such as a part of the budget, for as long as they are in memory.
pub fn held<T: Send + 'static>(bytes: impl Into<Vec<u8>>, what: T) -> Bytes {
    Bytes::from_owner(Held { bytes: bytes.into(), _held: what })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    /// Ten connections have 12 KiB each, and share 904 KiB.
    fn budget(address_percent: u8) -> Budget {
        Budget::new(BudgetBounds { bytes: 1024 * KIB, connections: 10, address_percent })
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn what_is_reserved_is_free_again_when_the_last_bytes_are_dropped() {
        let budget = budget(100);
        let share = budget.share(address(1));
        let first = share.reserve(600 * KIB).unwrap();
        assert!(budget.share(address(2)).reserve(400 * KIB).is_none());
        assert_eq!(budget.used(), 600 * KIB);
        let bytes = held("text", first);
        let copy = bytes.clone();
        drop(bytes);
        assert_eq!((budget.used(), copy.as_ref()), (600 * KIB, b"text".as_slice()));
        drop(copy);
        assert_eq!(budget.used(), 0);
        assert!(share.reserve(usize::MAX).is_none());
        let state = budget.state();
        assert!(state.addresses.is_empty() && state.connections.is_empty());
    }

    #[test]
    fn what_grows_reserves_what_is_missing() {
        let budget = budget(100);
        let mut reserved = budget.share(address(1)).reserve(0).unwrap();
        for bytes in [1, KIB, 13 * KIB, 14 * KIB, 700 * KIB] {
            assert!(reserved.grow(bytes));
            assert_eq!(budget.used(), bytes);
        }
        assert!(!reserved.grow(1024 * KIB));
        drop(reserved);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_address_and_a_connection_have_a_share_and_small_things_always_go() {
        let budget = budget(50);
        let mut held = Vec::new();
        for _ in 0..4 {
            let share = budget.share(address(1));
            held.extend((0..40).map_while(|_| share.reserve(20 * KIB)));
        }
        // Two connections took half of the address's share each, and the address has no more than its half.
        assert_eq!(held.len(), 2 * 11);
        let other = budget.share(address(2)).reserve(220 * KIB);
        assert!(other.is_some());
        let third = budget.share(address(3));
        assert!(third.reserve(250 * KIB).is_none(), "all is taken");
        let small: Vec<_> = (0..20).map_while(|_| third.reserve(KIB)).collect();
        assert!(small.len() >= 12);
    }

    /// Returns whether a connection was told to end.
    fn is_told(share: &Share) -> bool {
        use futures_util::FutureExt as _;
        share.must_leave().now_or_never().is_some()
    }

    #[test]
    fn each_further_address_leaves_memory_to_the_next_one() {
        let budget = budget(50);
        let mut held = Vec::new();
        for last in 1..=4 {
            for _ in 0..4 {
                let share = budget.share(address(last));
                held.extend((0..60).map_while(|_| share.reserve(14 * KIB)));
            }
        }
        // They hold a half, a quarter, an eighth and a sixteenth.
        let newcomer = budget.share(address(9));
        assert!(newcomer.reserve(26 * KIB).is_some());
        drop(held);
    }

    #[test]
    fn the_address_that_has_most_loses_the_connection_that_holds_most() {
        let budget = budget(50);
        let [small, large, second] = [1, 1, 2].map(|last| budget.share(address(last)));
        let _held = [small.reserve(150 * KIB), large.reserve(220 * KIB), second.reserve(200 * KIB)]
            .map(Option::unwrap);
        let third = budget.share(address(3));
        assert!(third.reserve(350 * KIB).is_none());
        assert_eq!([&small, &large, &second, &third].map(is_told), [false, true, false, false]);
        // Until it has left, nobody else is told. Nor is anybody for one that would have more.
        assert!(third.reserve(350 * KIB).is_none());
        assert!(budget.share(address(4)).reserve(450 * KIB).is_none());
        assert!(![&small, &large, &second, &third].into_iter().any(is_told));
    }

    #[test]
    fn one_thing_alone_may_have_more_than_a_share() {
        let budget = budget(10);
        let share = budget.share(address(1));
        let large = share.reserve(500 * KIB).unwrap();
        assert!(share.reserve(100 * KIB).is_none());
        drop(large);
        assert!(share.reserve(100 * KIB).is_some());
    }
}
