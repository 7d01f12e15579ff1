//! A reference implementation of the storage port in memory, for tests and tools.
//!
//! It has no root hash, no proofs and no durability. Rolling back or merging its bottom level panics.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    Hash,
    store::{Entry, LOCAL, LevelSize, Overlay, Read, StoreFault},
};

/// The writes of one level. `None` stands for a deletion.
#[derive(Debug, Default)]
struct Level {
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    size: LevelSize,
}

impl Level {
    fn write(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        let before = self.writes.get(key).map(Option::as_deref);
        self.size.write(key, before, value.as_deref());
        self.writes.insert(key.to_vec(), value);
    }
}

/// State in memory: an [`Overlay`] whose bottom level is the committed state.
///
/// Blobs are never dropped, not even by a rollback.
#[derive(Debug)]
pub struct MemoryState {
    levels: Vec<Level>,
    blobs: BTreeMap<Hash, Vec<u8>>,
    /// Keys that are warm until only the bottom level is open: a block is what happens until then.
    warm: BTreeSet<Vec<u8>>,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self { levels: vec![Level::default()], blobs: BTreeMap::new(), warm: BTreeSet::new() }
    }
}

impl MemoryState {
    fn top(&mut self) -> &mut Level {
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    /// Forgets which keys are warm if only committed state is left.
    fn cool(&mut self) {
        if self.levels.len() == 1 {
            self.warm.clear();
        }
    }

    /// Merges all open levels into the bottom one.
    pub fn settle(&mut self) {
        while self.levels.len() > 1 {
            self.merge();
        }
    }
}

impl Read for MemoryState {
    fn lend(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreFault> {
        let written = self.levels.iter().rev().find_map(|level| level.writes.get(key));
        see(written.and_then(Option::as_deref));
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.levels.iter().rev().find_map(|level| level.writes.get(key)).cloned().flatten())
    }

    fn value_len(&self, key: &[u8]) -> Result<Option<usize>, StoreFault> {
        let written = self.levels.iter().rev().find_map(|level| level.writes.get(key));
        Ok(written.and_then(Option::as_ref).map(Vec::len))
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        let mut after = after.to_vec();
        loop {
            let range = (Bound::Excluded(after.as_slice()), Bound::Unbounded);
            let firsts =
                self.levels.iter().filter_map(|level| level.writes.range::<[u8], _>(range).next());
            let Some(key) = firsts.map(|(key, _)| key).min() else { return Ok(None) };
            if !key.starts_with(prefix) {
                return Ok(None);
            }
            if let Some(value) = self.get(key)? {
                return Ok(Some((key.clone(), value)));
            }
            after.clone_from(key);
        }
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.blobs.get(hash).cloned())
    }
}

impl Overlay for MemoryState {
    fn set(&mut self, key: &[u8], value: Vec<u8>) {
        self.top().write(key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        match self.levels.len() {
            1 => drop(self.top().writes.remove(key)),
            _ => self.top().write(key, None),
        }
    }

    fn put_blob(&mut self, bytes: Vec<u8>) -> Hash {
        let hash = Hash(Sha256::digest(&bytes).into());
        self.blobs.insert(hash, bytes);
        hash
    }

    fn push(&mut self) -> usize {
        self.levels.push(Level::default());
        self.levels.len()
    }

    fn rollback(&mut self) {
        assert!(self.levels.len() > 1, "the bottom level cannot be rolled back");
        self.levels.pop();
        self.cool();
    }

    fn merge(&mut self) -> u64 {
        assert!(self.levels.len() > 1, "the bottom level cannot be merged");
        let mut added = 0;
        self.top_writes(&mut |key, _| added += u64::from(!self.is_written_below(key)));
        let top = self.levels.pop().unwrap_or_default();
        let is_bottom = self.levels.len() == 1;
        self.cool();
        for (key, value) in top.writes {
            match value {
                // Nothing lies below the bottom level, so a deletion there hides nothing and need not be recorded.
                None if is_bottom => drop(self.top().writes.remove(&key)),
                value => self.top().write(&key, value),
            }
        }
        added
    }

    fn is_written_below(&self, key: &[u8]) -> bool {
        // The bottom level is committed state, which does not count.
        let below = self.levels.iter().skip(1).rev().skip(1);
        below.into_iter().any(|level| level.writes.contains_key(key))
    }

    fn warm_up(&mut self, key: &[u8]) -> bool {
        let is_new = self.warm.insert(key.to_vec());
        is_new && !self.levels.iter().skip(1).any(|level| level.writes.contains_key(key))
    }

    fn top_size(&self) -> LevelSize {
        self.levels.last().map_or(LevelSize::default(), |level| level.size)
    }

    fn pin(&self, prefix: &[u8]) -> Option<Arc<dyn Read + Send + Sync>> {
        let mut pinned = Self::default();
        for (key, value) in self.scan(prefix).ok()? {
            pinned.set(&key, value);
        }
        Some(Arc::new(pinned))
    }

    fn top_writes(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        let top = self.levels.last().into_iter().flat_map(|level| &level.writes);
        for (key, value) in top.filter(|(key, _)| !key.starts_with(LOCAL)) {
            visit(key, value.as_deref());
        }
    }
}
