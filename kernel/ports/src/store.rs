//! The storage port: an ordered map from bytes to bytes, and a stack of overlays above it.
//!
//! Keys are ordered as byte strings. A key that starts with [`LOCAL`] is node-local. It is committed like any other,
//! but lies outside the state's root hash and outside [`Overlay::top_writes`]. A node-local value must therefore be
//! derivable from hashed state, or hashed state must hold its hash. Blobs are content-addressed: their key is their
//! SHA-256.

use std::sync::Arc;

use crate::Hash;

pub use crate::fault::{Cause, StoreFault};

/// Prefix of the node-local keys, which lie outside the root hash.
pub const LOCAL: &[u8] = b"local.";

/// Prefix of the keys under which a store keeps the tree of the records that others can prove. Nobody else writes them.
pub const PROVEN: &[u8] = b"local.proven.";

/// Maximum length of a key in bytes: 65,536 bytes for a vat's own key, and 1,024 for the prefix before it.
///
/// A block with a longer key cannot be committed.
pub const MAX_KEY_BYTES: usize = (64 << 10) + (1 << 10);

/// Maximum length of a value or blob in bytes. A block with a longer one cannot be committed.
pub const MAX_VALUE_BYTES: usize = 1 << 30;

/// The size of a level of an [`Overlay`]. Keys that start with [`LOCAL`] are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelSize {
    /// The number of entries that the level sets or removes.
    pub entries: u64,
    /// The bytes of their keys and last values.
    pub bytes: u64,
}

impl LevelSize {
    /// Adds the write of an entry to a level. `before` is what the level wrote to the key until then, if it did.
    pub fn write(&mut self, key: &[u8], before: Option<Option<&[u8]>>, value: Option<&[u8]>) {
        if key.starts_with(LOCAL) {
            return;
        }
        let len = |value: Option<&[u8]>| value.map_or(0, <[u8]>::len) as u64;
        match before {
            Some(before) => self.bytes = self.bytes.saturating_sub(len(before)),
            None => {
                self.entries += 1;
                self.bytes += key.len() as u64;
            }
        }
        self.bytes += len(value);
    }
}

/// A key and its value, both owned.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Read access to state. Committed state and every [`Overlay`] over it implement this trait.
///
/// Every method fails with a [`StoreFault`] if this node's storage fails.
pub trait Read {
    /// Returns the value of `key`, or `None` if the key is absent. An empty value is not an absent one.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault>;

    /// Shows `see` the value of `key`, or `None` if the key is absent.
    ///
    /// An implementation that has the value in memory lends it without a copy. `see` must not read the state.
    fn lend(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreFault> {
        see(self.get(key)?.as_deref());
        Ok(())
    }

    /// Returns the length of the value of `key` in bytes, or `None` if the key is absent.
    fn value_len(&self, key: &[u8]) -> Result<Option<usize>, StoreFault> {
        Ok(self.get(key)?.map(|value| value.len()))
    }

    /// Returns the [`Entry`] with the least key that starts with `prefix` and is greater than `after`.
    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault>;

    /// Returns the blob whose SHA-256 is `hash`, or `None` if no such blob was put.
    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault>;

    /// Returns all entries whose key starts with `prefix`, in key order.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreFault> {
        let mut entries = Vec::new();
        // The prefix itself may be a key.
        if let Some(value) = self.get(prefix)? {
            entries.push((prefix.to_vec(), value));
        }
        let mut after = prefix.to_vec();
        while let Some((key, value)) = self.next_after(prefix, &after)? {
            after.clone_from(&key);
            entries.push((key, value));
        }
        Ok(entries)
    }
}

/// Write access to state: a stack of levels over committed state.
///
/// The bottom level is the block. The kernel pushes one level for each crank, and further ones as savepoints within a
/// crank. Writes, blobs included, go to the top level. Reads see all levels, the top one first.
pub trait Overlay: Read {
    /// Sets `key` to `value` in the top level.
    fn set(&mut self, key: &[u8], value: Vec<u8>);

    /// Removes `key` in the top level. Has no effect if the key is absent.
    fn delete(&mut self, key: &[u8]);

    /// Stores `bytes` as a blob and returns their SHA-256. Equal bytes are stored once.
    fn put_blob(&mut self, bytes: Vec<u8>) -> Hash;

    /// Opens a level and returns the number of open levels, the block's own included.
    fn push(&mut self) -> usize;

    /// Drops the top level and all its writes. The block's own level cannot be rolled back.
    fn rollback(&mut self);

    /// Merges the top level into the one below. The block's own level cannot be merged.
    ///
    /// Returns the number of its entries that are not [written below](Overlay::is_written_below). Keys that start with
    /// [`LOCAL`] are left out.
    fn merge(&mut self) -> u64;

    /// Merges the top level into the one below, as [`Overlay::merge`] does, for a caller that does not need the count.
    fn keep(&mut self) {
        self.merge();
    }

    /// Returns whether a level below the top one, but not committed state, has written `key`.
    ///
    /// The commit writes such a key anyway, so a further write adds nothing to its cost.
    fn is_written_below(&self, key: &[u8]) -> bool;

    /// Makes `key` warm for the rest of the block, also if the top level is rolled back. Returns whether it was cold: the
    /// block had neither warmed it up nor has it written.
    ///
    /// A cold key may lie anywhere in the committed state, so its first read is dear.
    fn warm_up(&mut self, key: &[u8]) -> bool;

    /// Returns the size of the top level, in constant time.
    fn top_size(&self) -> LevelSize;

    /// Returns the present entries whose key starts with `prefix`, for another thread to read while the overlay changes.
    ///
    /// Returns `None` if the overlay cannot be read so. Entries with other keys, and blobs, may be missing.
    fn pin(&self, prefix: &[u8]) -> Option<Arc<dyn Read + Send + Sync>> {
        let _ = prefix;
        None
    }

    /// Calls `visit` for each key that the top level wrote, in key order, with its last value.
    ///
    /// The value is `None` if the key was deleted. Keys that start with [`LOCAL`] are left out.
    fn top_writes(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>));
}
