//! A block in the making: a stack of levels over a snapshot, all in memory.

use std::{cell::RefCell, collections::BTreeMap, ops::Bound};

use capstan_kernel_ports::{
    Hash,
    store::{Entry, LOCAL, Overlay, Read, StoreFault},
};
use sha2::{Digest, Sha256};

use crate::{
    Error, Snapshot,
    committed::Committed,
    gap::Gap,
    merge::{Head, Merge},
    snapshot::start,
};

/// The writes of a block that is being executed, over the state that was committed when it began.
///
/// It owns everything it needs: the store goes on serving readers, and dropping the block forgets
/// it. [`crate::Store::prepare`] takes it when it is complete.
pub struct Block {
    /// The block's own level first, the top level last; never empty.
    levels: Vec<Level>,
    /// What the levels lie over, with the reads of this block cached.
    committed: RefCell<Committed>,
    /// The last long run of removals that an iteration went through.
    gap: RefCell<Option<Gap>>,
}

impl Block {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            levels: vec![Level::default()],
            committed: RefCell::new(Committed::new(snapshot)),
            gap: RefCell::new(None),
        }
    }

    /// The number of levels open, the block's own included.
    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// The block's own writes and the state they lie over. Call it with one level open.
    pub(crate) fn into_parts(mut self) -> (Level, Committed) {
        (std::mem::take(&mut self.levels[0]), self.committed.into_inner())
    }

    fn top(&mut self) -> &mut Level {
        let top = self.levels.len() - 1; // never empty
        &mut self.levels[top]
    }
}

impl Read for Block {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        for level in self.levels.iter().rev() {
            if let Some(written) = level.writes.get(key) {
                return Ok(written.clone());
            }
        }
        Ok(self.committed.borrow_mut().get(key)?)
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        let from = start(prefix, after);
        let mut gap = self.gap.borrow_mut();
        // Taken out, since the search borrows its end; and gone if the search fails.
        let known = gap.take_if(|gap| gap.covers(from));
        let first = match known.as_ref().map(Gap::to) {
            None => from,
            Some(Some(to)) => Bound::Included(to),
            Some(None) => {
                *gap = known;
                return Ok(None);
            }
        };
        let found = self.search(prefix, first)?;
        let end = found.end.as_deref();
        *gap = match known {
            Some(mut known) => {
                known.extend(end);
                Some(known)
            }
            None if found.long => Some(Gap::new(from, end)),
            None => gap.take(),
        };
        Ok(found.entry)
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        for level in self.levels.iter().rev() {
            if let Some(bytes) = level.blobs.get(hash) {
                return Ok(Some(bytes.clone()));
            }
        }
        self.committed.borrow().snapshot().blob(hash)
    }
}

impl Overlay for Block {
    fn set(&mut self, key: &[u8], value: Vec<u8>) {
        self.gap.get_mut().take_if(|gap| gap.contains(key));
        self.top().write(key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.top().write(key, None);
    }

    fn put_blob(&mut self, bytes: Vec<u8>) -> Hash {
        let hash = Hash(Sha256::digest(&bytes).into());
        self.top().blobs.entry(hash).or_insert(bytes);
        hash
    }

    fn push(&mut self) -> usize {
        self.levels.push(Level::default());
        self.levels.len()
    }

    /// # Panics
    ///
    /// If only the block's own level is open: a bug of the caller.
    fn rollback(&mut self) {
        assert!(self.levels.len() > 1, "rollback of the block's own level");
        *self.gap.get_mut() = None; // what the level removed is back
        self.levels.pop();
    }

    /// # Panics
    ///
    /// If only the block's own level is open: a bug of the caller.
    fn merge(&mut self) {
        assert!(self.levels.len() > 1, "merge of the block's own level");
        if let Some(level) = self.levels.pop() {
            self.top().take_over(level);
        }
    }

    fn is_written_below(&self, key: &[u8]) -> bool {
        self.levels.iter().rev().skip(1).any(|level| level.writes.contains_key(key))
    }

    fn top_writes(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        let top = &self.levels[self.levels.len() - 1]; // never empty
        for (key, value) in &top.writes {
            if !key.starts_with(LOCAL) {
                visit(key, value.as_deref());
            }
        }
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("over", self.committed.borrow().snapshot())
            .field("levels", &self.levels.len())
            .finish_non_exhaustive()
    }
}

/// So many removals in a row are worth a note.
const LONG_RUN: u32 = 4;

/// What a search came to.
struct Found {
    entry: Option<Entry>,
    /// The key at which the search ended: every one before is absent. None: all are.
    end: Option<Vec<u8>>,
    /// Whether it passed so many removals that the end is worth a note.
    long: bool,
}

impl Block {
    /// Searches the first entry from `from` on, if it starts with `prefix`.
    fn search(&self, prefix: &[u8], from: Bound<&[u8]>) -> Result<Found, Error> {
        let mut committed = self.committed.borrow_mut();
        let mut merge = Merge::new(self.levels.iter().rev().map(|level| &level.writes), from);
        let mut below = committed.first_from(from)?;
        let mut removed = 0;
        loop {
            let (key, value) = match (merge.least(below.map(|(key, _)| key)), below) {
                (Head::Written(key, None), _) if key.starts_with(prefix) => {
                    removed += 1;
                    merge.skip(key);
                    below = committed.first_from(Bound::Excluded(key))?;
                    continue;
                }
                (Head::Written(key, value), _) => (key, value.map(Vec::as_slice)),
                (Head::Below, Some((key, value))) => (key, Some(value)),
                (Head::End | Head::Below, _) => {
                    return Ok(Found { entry: None, end: None, long: removed >= LONG_RUN });
                }
            };
            let entry = value.filter(|_| key.starts_with(prefix));
            return Ok(Found {
                entry: entry.map(|value| (key.to_vec(), value.to_vec())),
                end: Some(key.to_vec()),
                long: removed >= LONG_RUN,
            });
        }
    }
}

/// Keys and what was written to them; none stands for a removal.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The writes of one level.
#[derive(Default)]
pub(crate) struct Level {
    pub(crate) writes: Writes,
    pub(crate) blobs: BTreeMap<Hash, Vec<u8>>,
}

impl Level {
    fn write(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        match self.writes.get_mut(key) {
            Some(slot) => *slot = value,
            None => {
                self.writes.insert(key.to_vec(), value);
            }
        }
    }

    fn take_over(&mut self, above: Self) {
        match self.writes.is_empty() {
            true => self.writes = above.writes,
            // Not `append`: it rebuilds the whole map, and the one below is the large one.
            false => self.writes.extend(above.writes),
        }
        self.blobs.extend(above.blobs);
    }
}
