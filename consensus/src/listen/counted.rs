//! Numbers that are part of a counter for as long as something exists.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number that is part of one or two counters until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    counters: [Option<Arc<AtomicUsize>>; 2],
    amount: usize,
}

impl Counted {
    /// Adds `amount` to `counter`.
    pub(crate) fn new(counter: &Arc<AtomicUsize>, amount: usize) -> Self {
        counter.fetch_add(amount, Ordering::Relaxed);
        Self { counters: [Some(Arc::clone(counter)), None], amount }
    }

    /// Adds the amount to a second counter too.
    pub(crate) fn and(mut self, counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(self.amount, Ordering::Relaxed);
        self.counters[1] = Some(Arc::clone(counter));
        self
    }

    /// Changes what is counted.
    pub(crate) fn set(&mut self, amount: usize) {
        for counter in self.counters.iter().flatten() {
            counter.fetch_add(amount, Ordering::Relaxed);
            counter.fetch_sub(self.amount, Ordering::Relaxed);
        }
        self.amount = amount;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0);
    }
}
