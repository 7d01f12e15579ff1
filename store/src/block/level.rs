//! One level of a block: an overlay of writes.

use std::collections::BTreeMap;

use capstan_kernel_ports::Hash;

/// Written keys with their values, `None` if removed.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Writes and blobs of one level.
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
            // Not `append`, which rebuilds the whole map: the one below is the large one.
            false => self.writes.extend(above.writes),
        }
        self.blobs.extend(above.blobs);
    }
}
