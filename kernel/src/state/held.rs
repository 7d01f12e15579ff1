//! Records that cranks read again and again, as they were decoded or written last.
//!
//! A crank reads the records of its vat some twenty times. They are what the overlay says: a write goes to the overlay at
//! once, and whatever undoes writes of the overlay forgets them. Whether a record was held shows nowhere.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use crate::{
    ids::VatId,
    state::{handle::Globals, queue::Queues, vat::VatState, vat_config::VatConfig},
};

/// The held records.
#[derive(Default)]
pub(crate) struct Held {
    /// The globals at the end of the crank before.
    pub(crate) globals: Option<Globals>,
    pub(crate) queues: Cell<Option<Queues>>,
    pub(crate) vats: Few<VatState>,
    pub(crate) configs: Few<Arc<VatConfig>>,
}

/// The records of the vats that were used last.
pub(crate) struct Few<T>(RefCell<Vec<(VatId, T)>>);

/// Number of vats of which records are held.
const VATS: usize = 8;

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Few<T> {
    /// Shows `see` the record of a vat. Returns `None` if it is not held.
    pub(crate) fn see<R>(&self, vat: VatId, see: impl FnOnce(&T) -> R) -> Option<R> {
        let known = self.0.borrow();
        known.iter().find(|(known, _)| *known == vat).map(|(_, record)| see(record))
    }

    /// Returns true if the record of a vat is held.
    pub(crate) fn has(&self, vat: VatId) -> bool {
        self.0.borrow().iter().any(|(known, _)| *known == vat)
    }

    /// Holds the record of a vat. The one that was taken up first makes room.
    pub(crate) fn hold(&self, vat: VatId, record: T) {
        let mut known = self.0.borrow_mut();
        if let Some((_, old)) = known.iter_mut().find(|(known, _)| *known == vat) {
            *old = record;
            return;
        }
        if known.len() == VATS {
            known.remove(0);
        }
        known.push((vat, record));
    }

    /// Takes the record of a vat to change it.
    pub(crate) fn take(&self, vat: VatId) -> Option<T> {
        let mut known = self.0.borrow_mut();
        let at = known.iter().position(|(known, _)| *known == vat)?;
        Some(known.swap_remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_records_are_held_and_the_last_write_counts() {
        let few = Few::<u64>::default();
        let seen = |vat: u64| few.see(VatId(vat), |record| *record);
        (0..VATS as u64).for_each(|vat| few.hold(VatId(vat), vat));
        few.hold(VatId(3), 33);
        assert_eq!((seen(0), seen(3), seen(99)), (Some(0), Some(33), None));
        few.hold(VatId(99), 99);
        assert_eq!((seen(0), seen(3), seen(99)), (None, Some(33), Some(99)));
        assert_eq!((few.take(VatId(3)), few.take(VatId(3)), seen(3)), (Some(33), None, None));
        assert_eq!(few.0.borrow().len(), VATS - 1);
    }
}
