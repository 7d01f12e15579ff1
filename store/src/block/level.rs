//! One level of a block: an overlay of writes.

use std::collections::BTreeMap;

use capstan_kernel_ports::{Hash, store::LevelSize};

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

    pub(crate) fn take_over(&mut self, above: Self) {
        match self.writes.is_empty() {
            true => (self.writes, self.size) = (above.writes, above.size),
            // Not `append`, which rebuilds the whole map: the one below is the large one.
            false => {
                for (key, value) in above.writes {
                    let before = self.writes.get(&key).map(Option::as_deref);
                    self.size.write(&key, before, value.as_deref());
                    self.writes.insert(key, value);
                }
            }
        }
        self.blobs.extend(above.blobs);
    }
}
