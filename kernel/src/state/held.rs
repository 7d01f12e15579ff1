//! Records that cranks read again and again, as they were decoded or written last.
//!
//! A crank reads the records of its vat some twenty times. They are what the overlay says: a write goes to the overlay at
//! once, and whatever undoes writes of the overlay forgets them. Whether a record was held shows nowhere.

use std::{any::Any, cell::RefCell};

/// The held records, each by its type and a number that tells it from others of that type.
#[derive(Default)]
pub(crate) struct Held(RefCell<Vec<(u64, Record)>>);

/// A record of any type.
type Record = Box<dyn Any + Send>;

/// Number of records that are held. A delivery reads three of its vat, and a few of others.
const RECORDS: usize = 16;

impl Held {
    /// Shows `see` a record. Returns `None` if it is not held.
    pub(crate) fn see<T: Any, R>(&self, number: u64, see: impl FnOnce(&T) -> R) -> Option<R> {
        let held = self.0.borrow();
        held.iter().find_map(|entry| record::<T>(entry, number)).map(see)
    }

    /// Holds a record. The one that was taken up first makes room.
    pub(crate) fn hold<T: Any + Send>(&self, number: u64, record: Box<T>) {
        self.take::<T>(number);
        let mut held = self.0.borrow_mut();
        if held.len() == RECORDS {
            held.remove(0);
        }
        held.push((number, record));
    }

    /// Takes a record to change it.
    pub(crate) fn take<T: Any>(&self, number: u64) -> Option<Box<T>> {
        let mut held = self.0.borrow_mut();
        let at = held.iter().position(|entry| record::<T>(entry, number).is_some())?;
        held.swap_remove(at).1.downcast().ok()
    }
}

fn record<T: Any>((number, record): &(u64, Record), wanted: u64) -> Option<&T> {
    if *number == wanted { record.downcast_ref() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_apart_by_type_and_number_and_the_last_write_counts() {
        let held = Held::default();
        let seen = |number: u64| held.see(number, |record: &u64| *record);
        (0..RECORDS as u64).for_each(|number| held.hold(number, Box::new(number)));
        held.hold(3, Box::new(33_u64));
        assert_eq!((seen(0), seen(3), seen(99)), (Some(0), Some(33), None));
        assert_eq!(held.see(3, |record: &String| record.clone()), None);
        held.hold(3, Box::new("three".to_owned()));
        assert_eq!(held.see(3, |record: &String| record.clone()).as_deref(), Some("three"));
        assert_eq!((seen(0), seen(3)), (None, Some(33)), "the oldest made room");
        assert_eq!(
            (held.take(3), held.take::<u64>(3), seen(3)),
            (Some(Box::new(33_u64)), None, None)
        );
        assert_eq!(held.0.borrow().len(), RECORDS - 1);
    }
}
