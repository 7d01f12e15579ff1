//! The kernel's own work in a crank, as it is done: what it writes, and what it looks at.
//!
//! A delivery may cause any amount of this work by its syscalls. So it counts against the limit of the delivery while it is
//! done, and a delivery that exceeds the limit ends there.

use capstan_kernel_ports::Computrons;

use crate::{
    billing::COLD_READS,
    error::{Refusal, Translated},
    state::handle::State,
};

impl State<'_> {
    /// Counts entries that were looked at, in a crank that is undone as well.
    pub(crate) fn count_reads(&mut self, entries: u64) {
        self.reads = self.reads.saturating_add(entries);
    }

    /// Counts what it takes beyond that to look at an entry whose key is cold, which may lie anywhere in the state.
    pub(crate) fn count_first_look(&mut self, key: &[u8]) {
        if !self.leaves_cold && self.over.warm_up(key) {
            self.count_reads(COLD_READS);
        }
    }

    /// Returns the computrons that are due for this crank so far: those that were spent, what the top level has written, and
    /// what was looked at.
    pub(crate) fn due(&self) -> u64 {
        let size = self.over.top_size();
        let billing = &self.globals().options.billing;
        self.spent.saturating_add(billing.work(size.entries, size.bytes, self.reads))
    }

    /// Takes bytes that the transcript entry of the delivery will have off what the delivery may cause.
    pub(crate) fn foresee_bytes(&mut self, bytes: usize) {
        let price = self.globals().options.billing.write_byte.saturating_mul(bytes as u64);
        self.work_limit = self.work_limit.map(|limit| limit.saturating_sub(price));
    }

    /// Insists that the delivery has not caused more work than its limit allows.
    pub(crate) fn insist_within_limit(&self) -> Translated<()> {
        // Outside of deliveries nothing is to be computed.
        match self.work_limit {
            Some(limit) if self.due() > limit => Err(Refusal::Exhausted),
            _ => Ok(()),
        }
    }

    /// Counts what the top level has written as spent, because the level is about to be undone.
    pub(crate) fn count_undone(&mut self) {
        let size = self.over.top_size();
        let price = self.globals().options.billing.work(size.entries, size.bytes, 0);
        self.count(Computrons(price));
    }
}
