//! One overlay of a block.

use std::collections::BTreeMap;

use capstan_kernel_ports::Hash;

/// Keys and what was written to them; none stands for a removal.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The writes of one level.
#[derive(Default)]
pub(crate) struct Level {
    pub(crate) writes: Writes,
    pub(crate) blobs: BTreeMap<Hash, Vec<u8>>,
}

impl Level {
    pub(crate) fn write(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        match self.writes.get_mut(key) {
            Some(slot) => *slot = value,
            None => {
                self.writes.insert(key.to_vec(), value);
            }
        }
    }

    pub(crate) fn take_over(&mut self, above: Self) {
        match self.writes.is_empty() {
            true => self.writes = above.writes,
            // Not `append`: it rebuilds the whole map, and the one below is the large one.
            false => self.writes.extend(above.writes),
        }
        self.blobs.extend(above.blobs);
    }
}
