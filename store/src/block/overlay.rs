//! A block that is being executed: a stack of levels in memory, over a committed state.

use std::{cell::RefCell, collections::BTreeMap, ops::Bound, sync::Arc};

use capstan_kernel_ports::{
    Hash,
    store::{Entry, LOCAL, LevelSize, Overlay, Read, StoreFault},
};
use sha2::{Digest, Sha256};

use crate::{
    Error, StateView,
    block::{
        committed::Committed,
        empty::EmptyPrefixes,
        level::Level,
        merge::{Head, Merge},
        pin::Pin,
        warm::WarmKeys,
    },
    proven::tree::Change,
    view::{
        gap::{Gaps, begins_by},
        state_view::start,
    },
};

/// Writes of a block that is being executed, over the state that was committed when it began.
///
/// A block owns everything it needs. The store goes on serving readers, and dropping the block discards it. When it
/// is complete, [`Store::prepare`](crate::Store::prepare) takes it.
pub struct Block {
    /// The levels, the block's own first and the top one last. Never empty.
    levels: Vec<Level>,
    /// The state below the levels, with the block's reads cached.
    committed: RefCell<Committed>,
    /// Key ranges in which the top level shows no key, as far as searches have found out.
    gaps: RefCell<Gaps>,
    /// Prefixes without keys that were searched last.
    empty: RefCell<EmptyPrefixes>,
    /// Keys that are warm.
    warm: WarmKeys,
    /// Changes of the proven tree, and the height that they are made at.
    proven: Option<(u64, Vec<Change>)>,
}

impl Block {
    pub(crate) fn new(state: StateView) -> Self {
        Self {
            levels: vec![Level::default()],
            committed: RefCell::new(Committed::new(state)),
            gaps: RefCell::default(),
            empty: RefCell::default(),
            warm: WarmKeys::default(),
            proven: None,
        }
    }

    /// Returns the number of open levels, the block's own included.
    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Sets the block's height, and the records of the proven tree that it changes: each key with its new value, or
    /// `None` if it has none any more.
    ///
    /// Others can prove these records under the app hash: see [`StateView::record`](crate::StateView::record).
    pub fn set_proven(&mut self, height: u64, records: BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        self.proven = Some((height, records.into_iter().collect()));
    }

    /// Takes what [`Block::set_proven`] set. Without it, returns the next height and no change.
    pub(crate) fn take_proven(&mut self) -> (u64, Vec<Change>) {
        let next = || (self.committed.borrow().state().height().saturating_add(1), Vec::new());
        self.proven.take().unwrap_or_else(next)
    }

    /// Returns the block's own writes and the state below them. Only one level may be open.
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

    fn lend(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreFault> {
        for level in self.levels.iter().rev() {
            if let Some(written) = level.writes.get(key) {
                see(written.as_deref());
                return Ok(());
            }
        }
        Ok(self.committed.borrow_mut().look(key, see)?)
    }

    fn value_len(&self, key: &[u8]) -> Result<Option<usize>, StoreFault> {
        for level in self.levels.iter().rev() {
            if let Some(written) = level.writes.get(key) {
                return Ok(written.as_ref().map(Vec::len));
            }
        }
        Ok(self.committed.borrow_mut().value_len(key)?)
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        let is_whole = after == prefix;
        if is_whole && self.empty.borrow().has(prefix) {
            return Ok(None);
        }
        let found = self.search(prefix, start(prefix, after))?.0;
        if is_whole && found.is_none() {
            self.empty.borrow_mut().note(prefix);
        }
        Ok(found)
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        for level in self.levels.iter().rev() {
            if let Some(bytes) = level.blobs.get(hash) {
                return Ok(Some(bytes.clone()));
            }
        }
        self.committed.borrow().state().blob(hash)
    }
}

impl Overlay for Block {
    fn set(&mut self, key: &[u8], value: Vec<u8>) {
        self.gaps.get_mut().forget(key);
        self.empty.get_mut().forget(key);
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
    /// Panics if only the block's own level is open, which is a bug of the caller.
    fn rollback(&mut self) {
        assert!(self.levels.len() > 1, "rollback of the block's own level");
        // Keys that the level had removed are back.
        *self.empty.get_mut() = EmptyPrefixes::default();
        let gaps = self.gaps.get_mut();
        for (key, value) in self.levels.pop().into_iter().flat_map(|level| level.writes) {
            if value.is_none() {
                gaps.forget(&key); // it may be back
            }
        }
    }

    /// # Panics
    ///
    /// Panics if only the block's own level is open, which is a bug of the caller.
    fn merge(&mut self) -> u64 {
        assert!(self.levels.len() > 1, "merge of the block's own level");
        let Some(level) = self.levels.pop() else { return 0 };
        let top = self.levels.len() - 1; // never empty
        let (below, top) = self.levels.split_at_mut(top);
        let is_new = |key: &[u8]| !below.iter().any(|level| level.writes.contains_key(key));
        top[0].take_over(level, is_new)
    }

    /// # Panics
    ///
    /// Panics if only the block's own level is open, which is a bug of the caller.
    fn keep(&mut self) {
        assert!(self.levels.len() > 1, "merge of the block's own level");
        let Some(level) = self.levels.pop() else { return };
        self.top().join(level);
    }

    fn is_written_below(&self, key: &[u8]) -> bool {
        self.levels.iter().rev().skip(1).any(|level| level.writes.contains_key(key))
    }

    fn warm_up(&mut self, key: &[u8]) -> bool {
        self.warm.add(key) && !self.levels.iter().any(|level| level.writes.contains_key(key))
    }

    fn top_size(&self) -> LevelSize {
        self.levels.last().map_or(LevelSize::default(), Level::size)
    }

    fn pin(&self, prefix: &[u8]) -> Option<Arc<dyn Read + Send + Sync>> {
        let levels = self.levels.iter().map(|level| &level.writes);
        Some(Arc::new(Pin::new(levels, self.committed.borrow().state(), prefix)))
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
            .field("over", self.committed.borrow().state())
            .field("levels", &self.levels.len())
            .finish_non_exhaustive()
    }
}

/// Number of steps from which a search notes the gap that it found.
const LONG: usize = 4;

/// The end of one part of a search.
enum Reached<'a> {
    /// The search is over: at this key, with this entry if it matches. Both are `None` if no key is left.
    End(Option<Vec<u8>>, Option<Entry>),
    /// A known gap continues after this removed key.
    Gap(&'a [u8]),
}

impl Block {
    /// Returns the first entry at or after `from` if it starts with `prefix`, and the number of removals and gaps
    /// passed.
    fn search(&self, prefix: &[u8], from: Bound<&[u8]>) -> Result<(Option<Entry>, usize), Error> {
        let mut committed = self.committed.borrow_mut();
        let mut gaps = self.gaps.borrow_mut();
        let before = committed.skipped();
        let (mut at, mut steps) = (from, 0);
        let (end, entry) = loop {
            match gaps.end_at(at) {
                Some(Some(end)) => (at, steps) = (Bound::Included(end), steps + 1),
                Some(None) => break (None, None),
                None => {}
            }
            match self.walk(&mut committed, &gaps, prefix, at, &mut steps)? {
                Reached::Gap(key) => at = Bound::Excluded(key),
                Reached::End(end, entry) => break (end, entry),
            }
        };
        steps += committed.skipped() - before;
        if steps >= LONG {
            gaps.add(from, end.as_deref());
        }
        Ok((entry, steps))
    }

    /// Walks from `from` through removed keys that start with `prefix`, up to a known gap or to any other key.
    fn walk(
        &self,
        committed: &mut Committed,
        gaps: &Gaps,
        prefix: &[u8],
        from: Bound<&[u8]>,
        steps: &mut usize,
    ) -> Result<Reached<'_>, Error> {
        let mut merge = Merge::new(self.levels.iter().rev().map(|level| &level.writes), from);
        let mut gap = gaps.next_after(from);
        let mut below = committed.first_from(from)?;
        loop {
            let (key, value) = match (merge.least(below.map(|(key, _)| key)), below) {
                (Head::Written(key, None), _) if key.starts_with(prefix) => {
                    *steps += 1;
                    if gap.is_some_and(|begin| begins_by(begin, key)) {
                        let after = Bound::Excluded(key);
                        if gaps.end_at(after).is_some() {
                            return Ok(Reached::Gap(key));
                        }
                        gap = gaps.next_after(after);
                    }
                    merge.skip(key);
                    below = committed.first_from(Bound::Excluded(key))?;
                    continue;
                }
                (Head::Written(key, value), _) => (key, value.map(Vec::as_slice)),
                (Head::Below, Some((key, value))) => (key, Some(value)),
                (Head::End | Head::Below, _) => return Ok(Reached::End(None, None)),
            };
            let value = value.filter(|_| key.starts_with(prefix));
            let entry = value.map(|value| (key.to_vec(), value.to_vec()));
            return Ok(Reached::End(Some(key.to_vec()), entry));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Store;

    const KEYS: u32 = 20_000;

    fn key(i: u32) -> Vec<u8> {
        [&b"v7."[..], &i.to_be_bytes()].concat()
    }

    /// Returns the first key after `after`, and the steps that the search for it took.
    fn next(block: &Block, after: &[u8]) -> (Option<Vec<u8>>, usize) {
        let (entry, steps) = block.search(b"v7.", start(b"v7.", after)).unwrap();
        (entry.map(|(key, _)| key), steps)
    }

    /// Returns four blocks in which all keys are removed. The first sets and removes them itself, and the second removes
    /// them in a level above. The third removes committed keys. In the last one the removals are committed too, and
    /// still in memory.
    fn emptied() -> Vec<Block> {
        let all = |block: &mut Block, value: Option<&[u8]>| {
            for i in 0..KEYS {
                match value {
                    Some(value) => block.set(&key(i), value.to_vec()),
                    None => block.delete(&key(i)),
                }
            }
        };
        let filled = Store::in_memory().unwrap();
        let mut block = filled.begin_block();
        all(&mut block, Some(b"x"));
        filled.commit(filled.prepare(block).unwrap(), 1).unwrap();

        let store = Store::in_memory().unwrap();
        let mut within = store.begin_block();
        all(&mut within, Some(b"x"));
        all(&mut within, None);
        let mut above = store.begin_block();
        all(&mut above, Some(b"x"));
        above.push();
        all(&mut above, None);
        let mut of_committed = filled.begin_block();
        all(&mut of_committed, None);
        let mut removed = filled.begin_block();
        all(&mut removed, None);
        filled.commit(filled.prepare(removed).unwrap(), 2).unwrap();
        vec![within, above, of_committed, filled.begin_block()]
    }

    #[test]
    fn a_key_is_cold_once_in_a_block_unless_the_block_wrote_it() {
        let store = Store::in_memory().unwrap();
        let mut block = store.begin_block();
        block.set(b"written", vec![1]);
        block.push();
        block.set(b"above", vec![1]);
        assert!(!block.warm_up(b"written") && !block.warm_up(b"above"));
        assert!(block.warm_up(b"read") && block.warm_up(b"absent"));
        block.rollback();
        for key in [&b"written"[..], b"above", b"read", b"absent"] {
            assert!(!block.warm_up(key), "{key:?}");
        }
        store.commit(store.prepare(block).unwrap(), 1).unwrap();
        let mut block = store.begin_block();
        assert!(block.warm_up(b"written") && block.warm_up(b"read"));
    }

    #[test]
    fn removed_keys_are_gone_through_once_whatever_is_written_and_searched_between() {
        for (case, mut block) in emptied().into_iter().enumerate() {
            let (found, first) = next(&block, b"v7.");
            assert_eq!(found, None);
            assert!(first >= KEYS as usize, "case {case}: no removals were gone through: {first}");
            let mut steps = 0;
            let mut count = |block: &Block, after: &[u8], expected: Option<&[u8]>| {
                let (found, taken) = next(block, after);
                assert_eq!(found.as_deref(), expected, "case {case}");
                steps += taken;
            };
            for i in 0..5_000_u32 {
                let (one, other) = (key(i * 7919 % KEYS), key(i * 104_729 % KEYS));
                block.set(&one, b"y".to_vec());
                count(&block, b"v7.", Some(&one));
                count(&block, &one, None);
                block.push();
                block.delete(&one);
                count(&block, b"v7.", None);
                count(&block, &other, None);
                if i % 2 == 0 {
                    block.rollback();
                    count(&block, b"v7.", Some(&one));
                } else {
                    block.merge();
                }
                block.delete(&one);
                count(&block, &one[..one.len() - 1], None);
            }
            // Two deletions and five searches a round, a few steps each.
            assert!(steps < 5_000 * 30, "case {case}: {steps} steps in 5,000 rounds");
        }
    }

    #[test]
    fn committed_removals_are_gone_through_once_in_all_later_blocks_together() {
        let store = Store::in_memory().unwrap();
        let mut height = 0;
        let mut in_block = |change: &mut dyn FnMut(&mut Block)| {
            let mut block = store.begin_block();
            change(&mut block);
            height += 1;
            store.commit(store.prepare(block).unwrap(), height).unwrap();
        };
        in_block(&mut |block| (0..KEYS).for_each(|i| block.set(&key(i), vec![1])));
        in_block(&mut |block| (0..KEYS).for_each(|i| block.delete(&key(i))));
        let mut steps = 0;
        for i in 0..100 {
            let one = key(i * 199);
            in_block(&mut |block| {
                block.set(&one, vec![2]);
                let (found, taken) = next(block, b"v7.");
                assert_eq!(found.as_ref(), Some(&one));
                steps += taken + next(block, &one).1;
            });
            assert_eq!(store.reader().next_after(b"v7.", b"v7.").unwrap().unwrap().0, one);
            in_block(&mut |block| {
                block.push();
                block.delete(&one);
                block.merge();
                let (found, taken) = next(block, b"v7.");
                assert_eq!(found, None);
                steps += taken;
            });
            assert_eq!(store.reader().next_after(b"v7.", b"v7.").unwrap(), None);
        }
        assert!(steps >= KEYS as usize, "no removals were gone through: {steps}");
        assert!(steps < 2 * KEYS as usize, "{steps} steps for {KEYS} removals in 200 blocks");
    }

    #[test]
    fn committed_removals_are_gone_through_once_by_searches_that_go_back_and_forth() {
        let mut block = emptied().pop().unwrap();
        let mut steps = 0;
        for i in 0..1_000 {
            for place in [i * 7 % 1_000, KEYS / 2 + i * 11 % 1_000] {
                let one = key(place);
                block.set(&one, b"y".to_vec());
                let (found, taken) = next(&block, &one[..one.len() - 1]);
                assert_eq!(found.as_ref(), Some(&one));
                steps += taken + next(&block, &one).1;
                block.delete(&one);
            }
        }
        assert!(steps < 2 * KEYS as usize, "{steps} steps in 4,000 searches");
    }

    #[test]
    fn a_level_that_is_rolled_back_again_and_again_costs_what_it_writes() {
        for (case, mut block) in emptied().into_iter().enumerate() {
            next(&block, b"v7.");
            let mut steps = 0;
            for i in 0..500_u32 {
                block.push();
                for j in 0..20 {
                    let key = key((i * 20 + j) * 7919 % KEYS);
                    block.set(&key, b"y".to_vec());
                    block.delete(&key);
                }
                let (found, taken) = next(&block, b"v7.");
                assert_eq!(found, None, "case {case}, round {i}");
                block.rollback();
                steps += taken + next(&block, b"v7.").1;
            }
            assert!(steps < 500 * 20 * 8, "case {case}: {steps} steps for 10,000 writes");
        }
    }

    #[test]
    fn a_range_that_is_emptied_from_its_beginning_takes_a_few_steps_a_key() {
        let store = Store::in_memory().unwrap();
        let mut block = store.begin_block();
        (0..KEYS).for_each(|i| block.set(&key(i), vec![1]));
        store.commit(store.prepare(block).unwrap(), 1).unwrap();
        let mut block = store.begin_block();
        let mut steps = 0;
        while let (Some(key), taken) = next(&block, b"v7.") {
            block.delete(&key);
            steps += taken;
        }
        assert!(steps < 5 * KEYS as usize, "{steps} steps for {KEYS} keys");
    }
}
