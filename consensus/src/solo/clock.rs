//! Clocks that block times come from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tendermint::Time;

/// A source of block times. A time is moved forward if necessary, so that every block is at least a millisecond later
/// than the one before.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time now, in UTC.
    fn now(&self) -> Time;
}

/// The clock of the computer.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::now()
    }
}

/// A [`Clock`] that stands still until it is moved. Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Time>>);

impl ManualClock {
    /// Makes a clock that shows `start`.
    pub fn new(start: Time) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    /// Moves the clock forward. A time that cannot be represented (after the year 9999) leaves it
    /// where it is.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(later) = *now + by {
            *now = later;
        }
    }

    /// Sets the clock, forward or backward.
    pub fn set(&self, to: Time) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
