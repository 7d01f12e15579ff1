//! The vats in memory.

use std::collections::VecDeque;

use capstan_kernel_ports::VatId;

use crate::vats::ahead::RunsAhead;

/// The vats in memory, in the order of their last use, with the bytes that each takes.
#[derive(Debug)]
pub(crate) struct Online {
    /// What is known of those that run ahead of their turn.
    pub(crate) ahead: RunsAhead,
    order: VecDeque<(VatId, u64)>,
    max: usize,
    max_bytes: u64,
}

impl Online {
    pub(crate) fn new(max: usize, max_bytes: u64) -> Self {
        Self { ahead: RunsAhead::default(), order: VecDeque::new(), max: max.max(1), max_bytes }
    }

    /// Notes a use of a vat that takes so many bytes. Returns the vats that have to leave memory for it, those that were
    /// used least recently.
    pub(crate) fn touch(&mut self, vat: VatId, bytes: u64) -> Vec<VatId> {
        if self.order.back() == Some(&(vat, bytes)) {
            return Vec::new();
        }
        self.remove(vat);
        self.order.push_back((vat, bytes));
        let mut idle = Vec::new();
        while self.order.len() > 1 && (self.order.len() > self.max || self.bytes() > self.max_bytes)
        {
            idle.extend(self.pop());
        }
        idle
    }

    /// Returns whether the vat stays in memory when as many others come into it.
    pub(crate) fn stays(&self, vat: VatId, others: usize) -> bool {
        let leaving = (self.order.len() + others).saturating_sub(self.max);
        leaving == 0 || self.order.iter().skip(leaving).any(|(online, _)| *online == vat)
    }

    fn bytes(&self) -> u64 {
        self.order.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    pub(crate) fn pop(&mut self) -> Option<VatId> {
        let (vat, _) = self.order.pop_front()?;
        self.ahead.forget(vat);
        Some(vat)
    }

    pub(crate) fn forget(&mut self, vat: VatId) {
        self.ahead.forget(vat);
        self.remove(vat);
    }

    fn remove(&mut self, vat: VatId) {
        self.order.retain(|(other, _)| *other != vat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn those_that_were_used_least_recently_leave_until_the_rest_fits() {
        let mut online = Online::new(4, 10 * MIB);
        for vat in 1..=4 {
            assert_eq!(online.touch(VatId(vat), MIB), []);
        }
        assert_eq!(online.touch(VatId(1), MIB), []);
        assert_eq!(online.touch(VatId(5), MIB), [VatId(2)]);
        // It grows where it is.
        assert_eq!(online.touch(VatId(5), 8 * MIB), [VatId(3)]);
        assert_eq!(online.touch(VatId(6), 3 * MIB), [VatId(4), VatId(1), VatId(5)]);
        // What runs stays, whatever it takes.
        assert_eq!(online.touch(VatId(7), 100 * MIB), [VatId(6)]);
        assert_eq!(online.touch(VatId(7), 200 * MIB), []);
        online.forget(VatId(7));
        assert_eq!(online.pop(), None);
    }

    #[test]
    fn those_that_are_about_to_leave_are_known() {
        let mut online = Online::new(3, u64::MAX);
        (1..=3).for_each(|vat| assert_eq!(online.touch(VatId(vat), MIB), []));
        assert!(online.stays(VatId(1), 0) && !online.stays(VatId(1), 1));
        assert!(online.stays(VatId(2), 1) && !online.stays(VatId(2), 2));
        online.forget(VatId(3));
        assert!(online.stays(VatId(1), 1) && !online.stays(VatId(1), 2));
    }
}
