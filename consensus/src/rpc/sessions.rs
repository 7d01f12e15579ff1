//! The WebSockets that are open, and the share of them that one address may have.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::RpcLimits;
use crate::listen::part;

/// The WebSockets that are open.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Maximum number of all.
    pub(crate) most: usize,
    /// Maximum number of those of one address.
    pub(crate) of_address: usize,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// The place of an open WebSocket. Dropping it makes it free.
#[derive(Debug)]
pub(crate) struct Place {
    sessions: Arc<Sessions>,
    address: IpAddr,
}

impl Sessions {
    /// Makes an empty list.
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        let most = limits.max_websockets;
        Self { most, of_address: part(most, limits.max_address_percent), open: Mutex::default() }
    }

    /// Returns a place for a WebSocket of an address. Returns `None` if all are taken, or the address has its share.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.open();
        if open.values().sum::<usize>() >= self.most {
            return None;
        }
        let count = open.entry(address).or_default();
        if *count >= self.of_address {
            return None;
        }
        *count += 1;
        Some(Place { sessions: Arc::clone(self), address })
    }

    // What the lock guards is whole whenever it is free.
    fn open(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.sessions.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_all_have_what_there_is() {
        let limits =
            RpcLimits { max_websockets: 3, max_address_percent: 70, ..RpcLimits::default() };
        let sessions = Arc::new(Sessions::new(&limits));
        let enter = |last: u8| sessions.enter([10, 0, 0, last].into());
        let (first, second) = (enter(1), enter(1));
        assert!(first.is_some() && second.is_some() && enter(1).is_none());
        let third = enter(2);
        assert!(third.is_some() && enter(3).is_none());
        drop((first, second, third));
        assert!(sessions.open().is_empty() && enter(3).is_some());
    }
}
