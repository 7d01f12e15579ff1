//! Delays, reorderings and losses of runs ahead, for tests. No result may show them.

use std::time::Duration;

/// A seeded source of trouble.
#[derive(Clone, Debug)]
pub(crate) struct Chaos(u64);

/// The longest delay of a run, in microseconds.
const MAX_DELAY_US: u64 = 1_500;

impl Chaos {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `bound`, by splitmix64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// Returns true once in `times` calls.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns how long a run waits before it begins.
    pub(crate) fn delay(&mut self) -> Duration {
        match self.once_in(2) {
            true => Duration::ZERO,
            false => Duration::from_micros(self.below(MAX_DELAY_US)),
        }
    }
}
