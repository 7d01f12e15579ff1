//! Where the kernel's state lies: an ordered map under a stack of overlays.
//!
//! Keys are bytes in byte order. Keys that start with [`LOCAL`] are node-local: they are kept and
//! committed like all others, but lie outside the state's root hash and outside
//! [`Overlay::top_writes`]; whatever is written there must be derivable from hashed state or be bound
//! by a hash in it. Blobs are content-addressed bytes.

use crate::Hash;

pub use crate::fault::{Cause, StoreFault};

/// The prefix of keys that lie outside the root hash.
pub const LOCAL: &[u8] = b"local.";

/// The longest key that an overlay takes, in bytes, its prefix included: a key of a vat (65,536 bytes)
/// and 1,024 bytes before it. A block with a longer one cannot be committed.
pub const MAX_KEY_BYTES: usize = (64 << 10) + (1 << 10);

/// The longest value or blob that an overlay takes, in bytes. A block with a longer one cannot be committed.
pub const MAX_VALUE_BYTES: usize = 1 << 30;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Reading state: what committed state, a snapshot of it and an overlay have in common.
pub trait Read {
    /// The value of `key`, if there is one. An empty value and no value are different things.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault>;

    /// The entry with the least key greater than `after` that starts with `prefix`.
    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault>;

    /// The bytes whose SHA-256 is `hash`, if they were put.
    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault>;

    /// All entries whose key starts with `prefix`, in key order.
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

/// Writing state: a stack of levels over committed state. The bottom level is the block; the kernel
/// pushes one level a crank, and more for savepoints within it. Writes go to the top level; reads
/// see all levels. Blobs that were put belong to the level like any write.
pub trait Overlay: Read {
    /// Sets `key` to `value`.
    fn set(&mut self, key: &[u8], value: Vec<u8>);

    /// Removes `key`; no effect if it is absent.
    fn delete(&mut self, key: &[u8]);

    /// Keeps `bytes` and returns their SHA-256. Putting the same bytes twice is one blob.
    fn put_blob(&mut self, bytes: Vec<u8>) -> Hash;

    /// Opens a level. Returns the number of levels then open, the block's own included.
    fn push(&mut self) -> usize;

    /// Drops the top level with all its writes. The block's own level cannot be dropped this way.
    fn rollback(&mut self);

    /// Merges the top level into the one below. The block's own level cannot be merged this way.
    fn merge(&mut self);

    /// Whether a level of the block below the top one has written `key`: a further write costs the commit
    /// nothing.
    fn is_written_below(&self, key: &[u8]) -> bool;

    /// Calls `visit` for each key that the top level wrote, in key order, with its net value (none:
    /// deleted). [`LOCAL`] keys are left out.
    fn top_writes(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>));
}
