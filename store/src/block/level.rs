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
