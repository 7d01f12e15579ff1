//! The vats in memory.

use std::collections::{BTreeSet, VecDeque};

use capstan_kernel_ports::VatId;

use crate::vats::{ahead::RunsAhead, prepare::Preparations};

/// The vats in memory, in the order of their last use, with the bytes that each takes.
#[derive(Debug)]
pub(crate) struct Online {
    /// What is known of those that run ahead of their turn.
    pub(crate) ahead: RunsAhead,
    /// Those that come back ahead of their turn.
    pub(crate) preparations: Preparations,
    order: VecDeque<(VatId, u64)>,
    /// Those of them that made room for others ahead of their turn. If one is used all the same, it comes back as if it had
    /// never left.
    aside: BTreeSet<VatId>,
    max: usize,
    max_bytes: u64,
}

impl Online {
    pub(crate) fn new(max: usize, max_bytes: u64) -> Self {
        Self {
            ahead: RunsAhead::default(),
            preparations: Preparations::default(),
            order: VecDeque::new(),
            aside: BTreeSet::new(),
            max: max.max(1),
            max_bytes,
        }
    }

    /// Notes a use of a vat that takes so many bytes. Returns the vats that have to leave memory for it, those that were
    /// used least recently.
    pub(crate) fn touch(&mut self, vat: VatId, bytes: u64) -> Vec<VatId> {
        if self.order.back() == Some(&(vat, bytes)) && self.preparations.size().0 == 0 {
            return Vec::new();
        }
        self.remove(vat);
        self.order.push_back((vat, bytes));
        let mut idle = Vec::new();
        while self.order.len() > 1 && (self.order.len() > self.max || self.bytes() > self.max_bytes)
        {
            idle.extend(self.pop());
        }
        // Nobody stays away for those that may come, but for those that it was known of.
        while !self.has_room(self.present(), 0, 0)
            && let Some(coming) = self.preparations.take_last()
        {
            // It may be back already.
            self.ahead.lose(coming, 0);
            idle.push(coming);
        }
        idle
    }

    /// Returns the number of workers in memory, those that come back included, and their bytes.
    fn present(&self) -> (usize, u64) {
        let (coming, coming_bytes) = self.preparations.size();
        let here = self.order.iter().filter(|(vat, _)| !self.aside.contains(vat));
        let size = |(count, sum): (usize, u64), bytes: u64| (count + 1, sum.saturating_add(bytes));
        here.fold((coming, coming_bytes), |all, (_, bytes)| size(all, *bytes))
    }

    fn has_room(&self, (count, sum): (usize, u64), more: usize, bytes: u64) -> bool {
        count + more <= self.max && sum.saturating_add(bytes) <= self.max_bytes
    }

    /// Makes room for a vat that comes back ahead of its turn and takes so many bytes. Returns those that leave for it ahead of
    /// theirs, but none of `needed`. Returns `None` if there is no room.
    pub(crate) fn make_room(&mut self, bytes: u64, needed: &BTreeSet<VatId>) -> Option<Vec<VatId>> {
        let (mut left, mut leaving) = (self.present(), Vec::new());
        for (vat, size) in &self.order {
            if self.has_room(left, 1, bytes) {
                break;
            }
            let stays = needed.contains(vat) || self.ahead.has_begun(*vat);
            if !stays && !self.aside.contains(vat) {
                leaving.push(*vat);
                left = (left.0 - 1, left.1.saturating_sub(*size));
            }
        }
        let fits = self.has_room(left, 1, bytes);
        self.aside.extend(leaving.iter().copied().filter(|_| fits));
        fits.then_some(leaving)
    }

    /// Returns whether the vat made room for others, though it is one of those in memory.
    pub(crate) fn is_aside(&self, vat: VatId) -> bool {
        self.aside.contains(&vat)
    }

    /// Notes that the vat is used. Returns whether it had made room for others.
    pub(crate) fn come_back(&mut self, vat: VatId) -> bool {
        self.aside.remove(&vat)
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
        self.aside.remove(&vat);
        Some(vat)
    }

    /// Notes that the vat's worker is gone. What ran ahead for it was in vain.
    pub(crate) fn forget(&mut self, vat: VatId) {
        self.ahead.lose_all(vat);
        self.ahead.forget(vat);
        self.aside.remove(&vat);
        self.preparations.take(vat);
        self.remove(vat);
    }

    fn remove(&mut self, vat: VatId) {
        self.order.retain(|(other, _)| *other != vat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vats::prepare::Prepared;

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
    fn those_that_come_back_find_room_and_those_that_are_needed_stay() {
        let mut online = Online::new(3, 100 * MIB);
        (1..=3).for_each(|vat| assert_eq!(online.touch(VatId(vat), MIB), []));
        let needed = [VatId(1), VatId(9)].into();
        assert_eq!(online.make_room(MIB, &needed), Some(vec![VatId(2)]));
        online.preparations.add(VatId(9), Prepared::of_size(MIB, 5));
        assert!(online.is_aside(VatId(2)) && !online.is_aside(VatId(1)));
        assert_eq!(online.make_room(MIB, &[VatId(1), VatId(3)].into()), None);
        assert_eq!(online.make_room(99 * MIB, &needed), None, "too large");
        // It comes, and those leave that would have left for it.
        assert!(online.preparations.take(VatId(9)).is_some());
        assert_eq!(online.touch(VatId(9), MIB), [VatId(1)]);
        assert!(online.come_back(VatId(2)) && !online.is_aside(VatId(2)));
        // One that is used all the same takes the room of one that only may come.
        assert_eq!(online.make_room(MIB, &[VatId(2), VatId(9)].into()), Some(vec![VatId(3)]));
        online.preparations.add(VatId(8), Prepared::of_size(MIB, 6));
        assert!(online.come_back(VatId(3)));
        assert_eq!(online.touch(VatId(3), MIB), [VatId(8)]);
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
