//! One level of a block: an overlay of writes.

use std::collections::{BTreeMap, btree_map::Entry as Slot};

use capstan_kernel_ports::{
    Hash,
    store::{LOCAL, LevelSize},
};

/// Written keys with their values, `None` if removed.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Writes and blobs of one level.
#[derive(Default)]
pub(crate) struct Level {
    pub(crate) writes: Writes,
    size: LevelSize,
    pub(crate) blobs: BTreeMap<Hash, Vec<u8>>,
}

impl Level {
    pub(crate) fn write(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        match self.writes.get_mut(key) {
            Some(slot) => {
                self.size.write(key, Some(slot.as_deref()), value.as_deref());
                *slot = value;
            }
            None => {
                self.size.write(key, None, value.as_deref());
                self.writes.insert(key.to_vec(), value);
            }
        }
    }

    pub(crate) fn size(&self) -> LevelSize {
        self.size
    }

    /// Takes over the writes of the level above, as [`Level::take_over`] does, and counts nothing.
    ///
    /// The smaller map goes into the larger one. A savepoint within a crank has most of the crank's writes, and the
    /// level below it a few.
    pub(crate) fn join(&mut self, mut above: Self) {
        if above.writes.len() <= self.writes.len() {
            self.take_over(above, |_| false);
            return;
        }
        for (key, value) in std::mem::take(&mut self.writes) {
            if let Slot::Vacant(slot) = above.writes.entry(key) {
                above.size.write(slot.key(), None, value.as_deref());
                slot.insert(value);
            }
        }
        (self.writes, self.size) = (above.writes, above.size);
        self.blobs.extend(above.blobs);
    }

    /// Takes over the writes of the level above. Returns the number of entries outside of `local.` that this level has not
    /// written, and that are new to the levels below by `is_new`.
    pub(crate) fn take_over(&mut self, above: Self, is_new: impl Fn(&[u8]) -> bool) -> u64 {
        let mut added = 0;
        let mut count = |key: &[u8]| added += u64::from(!key.starts_with(LOCAL) && is_new(key));
        if self.writes.is_empty() {
            above.writes.keys().for_each(|key| count(key));
            (self.writes, self.size) = (above.writes, above.size);
        } else {
            // Not `append`, which rebuilds the whole map: the one below is the large one.
            for (key, value) in above.writes {
                match self.writes.entry(key) {
                    Slot::Occupied(mut slot) => {
                        let before = Some(slot.get().as_deref());
                        self.size.write(slot.key(), before, value.as_deref());
                        slot.insert(value);
                    }
                    Slot::Vacant(slot) => {
                        count(slot.key());
                        self.size.write(slot.key(), None, value.as_deref());
                        slot.insert(value);
                    }
                }
            }
        }
        self.blobs.extend(above.blobs);
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a level that sets or removes keys.
    fn level(writes: &[(&str, Option<&str>)]) -> Level {
        let mut level = Level::default();
        for (key, value) in writes {
            level.write(key.as_bytes(), value.map(|value| value.as_bytes().to_vec()));
        }
        level
    }

    #[test]
    fn joined_levels_are_those_that_are_taken_over_whichever_is_larger() {
        let small = [("b", Some("old")), ("local.x", Some("1"))];
        let large = [
            ("a", Some("1")),
            ("b", None),
            ("c", Some("long value")),
            ("local.x", None),
            ("local.y", Some("2")),
        ];
        for (below, above) in
            [(&small[..], &large[..]), (&large, &small), (&small, &small), (&[], &large)]
        {
            let (mut joined, mut taken) = (level(below), level(below));
            joined.blobs.insert(Hash([1; 32]), vec![1]);
            let mut other = level(above);
            other.blobs.insert(Hash([2; 32]), vec![2]);
            joined.join(other);
            taken.take_over(level(above), |_| true);
            assert_eq!(joined.writes, taken.writes);
            assert_eq!(joined.size(), taken.size());
            assert_eq!(joined.blobs.len(), 2);
        }
    }
}
