//! The WebSockets that are open, and the share of them that one address may have.
//!
//! When all places are taken, the oldest session ends of the address that has most, if that has two more than the address
//! of the new one. So a few addresses keep nobody out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::RpcLimits;
use crate::listen::part;

/// The WebSockets that are open.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Maximum number of all.
    pub(crate) most: usize,
    /// Maximum number of those of one address.
    pub(crate) of_address: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// The address of each, and what tells it to end. The oldest come first.
    places: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
}

/// The place of an open WebSocket. Dropping it makes it free.
#[derive(Debug)]
pub(crate) struct Place {
    sessions: Arc<Sessions>,
    id: u64,
    leave: Arc<Notify>,
}

impl Sessions {
    /// Makes an empty list.
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        let most = limits.max_websockets;
        Self { most, of_address: part(most, limits.max_address_percent), open: Mutex::default() }
    }

    /// Returns a place for a WebSocket of an address, for which another one may have to end. Returns `None` if all are
    /// taken by addresses that have no more, or the address has its share.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.open();
        let mine = open.places.values().filter(|(one, _)| *one == address).count();
        if mine >= self.of_address {
            return None;
        }
        if open.places.len() >= self.most {
            open.make_room(mine)?;
        }
        let (id, leave) = (open.next, Arc::new(Notify::new()));
        open.next += 1;
        open.places.insert(id, (address, Arc::clone(&leave)));
        Some(Place { sessions: Arc::clone(self), id, leave })
    }

    // What the lock guards is whole whenever it is free.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Takes the place from the oldest session of the address that has most, and tells it to end. Returns `None` if no
    /// address has two more than `mine`.
    fn make_room(&mut self, mine: usize) -> Option<()> {
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for (address, _) in self.places.values() {
            *counts.entry(*address).or_default() += 1;
        }
        let (largest, _) = counts
            .into_iter()
            .filter(|(_, count)| *count > mine + 1)
            .max_by_key(|(_, count)| *count)?;
        let oldest = self.places.iter().find(|(_, (address, _))| *address == largest);
        let id = *oldest?.0;
        let (_, leave) = self.places.remove(&id)?;
        leave.notify_one();
        Some(())
    }
}

impl Place {
    /// Waits until the session must end to make room for another one.
    pub(crate) async fn must_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.open().places.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn sessions(max_websockets: usize, max_address_percent: u8) -> Arc<Sessions> {
        let limits = RpcLimits { max_websockets, max_address_percent, ..RpcLimits::default() };
        Arc::new(Sessions::new(&limits))
    }

    fn leaves(place: &Place) -> bool {
        place.must_leave().now_or_never().is_some()
    }

    #[test]
    fn an_address_has_its_share_and_all_have_what_there_is() {
        let sessions = sessions(3, 70);
        let enter = |last: u8| sessions.enter([10, 0, 0, last].into());
        let (first, second) = (enter(1), enter(1));
        assert!(first.is_some() && second.is_some() && enter(1).is_none());
        let third = enter(2);
        assert!(third.is_some() && enter(2).is_none(), "the other one has no two more");
        drop((first, second, third));
        assert!(sessions.open().places.is_empty() && enter(3).is_some());
    }

    #[test]
    fn the_oldest_session_of_the_address_with_most_makes_room() {
        let sessions = sessions(6, 50);
        let enter = |last: u8| sessions.enter([10, 0, 0, last].into());
        let held: Vec<_> = [1, 2, 1, 2, 1, 2].iter().map(|last| enter(*last).unwrap()).collect();
        let third = enter(3).unwrap();
        let fourth = enter(3).unwrap();
        let told: Vec<_> = held.iter().map(leaves).collect();
        // An address whose sessions are as many as those of others makes no room any more.
        assert_eq!(told.iter().filter(|told| **told).count(), 1 + 1, "{told:?}");
        assert!(told[..2].iter().all(|told| *told), "the oldest: {told:?}");
        assert!(enter(3).is_none());
        assert!(enter(4).is_some(), "of three addresses with two each");
        assert!(!leaves(&third) || !leaves(&fourth));
        drop((held, third, fourth));
    }
}
