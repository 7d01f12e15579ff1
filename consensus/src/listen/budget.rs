//! The memory that bodies of requests and answers may take together.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which bytes are counted.
const UNIT: usize = 1024;

/// A number of bytes of which parts are reserved. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    units: usize,
}

/// A part of a [`Budget`]. Dropping it gives it back.
#[derive(Debug)]
pub struct Reserved {
    permit: OwnedSemaphorePermit,
}

impl Reserved {
    /// Reserves as much as is missing for `bytes` in all. Returns false if so much is not free.
    pub fn grow(&mut self, budget: &Budget, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.permit.num_permits().saturating_mul(UNIT));
        match budget.reserve(missing) {
            Some(more) => {
                self.permit.merge(more.permit);
                true
            }
            None => false,
        }
    }
}

impl Budget {
    /// Makes a budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), units }
    }

    /// Reserves room for `bytes`. Returns `None` if so much is not free.
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        Arc::clone(&self.free).try_acquire_many_owned(units).ok().map(|permit| Reserved { permit })
    }

    /// Returns the number of reserved bytes.
    pub fn used(&self) -> usize {
        (self.units - self.free.available_permits()) * UNIT
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

    #[test]
    fn what_is_reserved_is_free_again_when_the_last_bytes_are_dropped() {
        let budget = Budget::new(10 * UNIT);
        let first = budget.reserve(6 * UNIT).unwrap();
        assert!(budget.reserve(4 * UNIT + 1).is_none());
        assert_eq!(budget.used(), 6 * UNIT);
        let bytes = held("text", first);
        let copy = bytes.clone();
        drop(bytes);
        assert_eq!((budget.used(), copy.as_ref()), (6 * UNIT, b"text".as_slice()));
        drop(copy);
        assert_eq!(budget.used(), 0);
        assert!(budget.reserve(usize::MAX).is_none());
    }

    #[test]
    fn what_grows_reserves_what_is_missing() {
        let budget = Budget::new(10 * UNIT);
        let mut reserved = budget.reserve(0).unwrap();
        for (bytes, used) in [(1, 1), (UNIT, 1), (UNIT + 1, 2), (10 * UNIT, 10)] {
            assert!(reserved.grow(&budget, bytes));
            assert_eq!(budget.used(), used * UNIT);
        }
        assert!(!reserved.grow(&budget, 10 * UNIT + 1));
        drop(reserved);
        assert_eq!(budget.used(), 0);
    }
}
