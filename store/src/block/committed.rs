//! The committed state as one block reads it, with a cache of point reads and a cursor.
//!
//! The state does not change while the block lives, so neither can become stale.

use std::{collections::HashMap, ops::Bound};

use crate::{
    Error, StateView,
    view::{
        entries::Bytes,
        gap::{Gaps, begins_within},
        live::Live,
    },
};

/// A committed state with what a block has read of it.
pub(crate) struct Committed {
    // Before the state, which keeps the database of the cursor open.
    cursor: Option<Cursor>,
    values: PointReads,
    /// Size of the entries in `values`, in bytes.
    size_bytes: usize,
    /// Removed keys that all searches together went through.
    skipped: usize,
    /// Gaps that this block has found, besides those that the state knows.
    found: Gaps,
    state: StateView,
}

/// Number of removed keys in a row from which a gap is noted.
const MANY: usize = 16;

impl Committed {
    pub(crate) fn new(state: StateView) -> Self {
        Self {
            cursor: None,
            values: HashMap::new(),
            size_bytes: 0,
            skipped: 0,
            found: Gaps::default(),
            state,
        }
    }

    pub(crate) fn state(&self) -> &StateView {
        &self.state
    }

    /// Returns the committed value of `key`.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.look(key, |value| value.map(<[u8]>::to_vec))
    }

    /// Returns the length of the committed value of `key`.
    pub(crate) fn value_len(&mut self, key: &[u8]) -> Result<Option<usize>, Error> {
        self.look(key, |value| value.map(<[u8]>::len))
    }

    /// Shows `see` the committed value of `key`, which is then cached. A commit that writes the key reads it, too.
    pub(crate) fn look<T>(
        &mut self,
        key: &[u8],
        see: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, Error> {
        if let Some(value) = self.values.get(key) {
            return Ok(see(value.as_deref()));
        }
        let lent = self.state.lend(key)?;
        let value = lent.as_deref();
        let size_bytes = key.len() + value.map_or(0, <[u8]>::len) + ENTRY_BYTES;
        if size_bytes <= MAX_ENTRY_BYTES {
            if self.size_bytes + size_bytes > MAX_CACHE_BYTES {
                self.values.clear();
                self.size_bytes = 0;
            }
            self.size_bytes += size_bytes;
            self.values.insert(key.into(), value.map(Box::from));
        }
        Ok(see(value))
    }

    /// Returns the committed values in a form that several threads can read.
    pub(crate) fn values(&self) -> CommittedValues<'_> {
        CommittedValues { values: &self.values, state: &self.state }
    }

    /// Returns the first committed entry at or after the lower bound `from`.
    pub(crate) fn first_from(
        &mut self,
        from: Bound<&[u8]>,
    ) -> Result<Option<BorrowedEntry<'_>>, Error> {
        let gaps = [&self.found, self.state.gaps()];
        let mut passed = Some(0);
        if let Some(cursor) = &mut self.cursor {
            passed = cursor.advance_to(&self.state, &gaps, from)?;
        }
        if self.cursor.is_none() || passed.is_none() {
            let cursor = Cursor::seek(&self.state, &gaps, from)?;
            passed = Some(cursor.live.passed());
            self.cursor = Some(cursor);
        }
        let passed = passed.unwrap_or(0);
        self.skipped += passed;
        let entry = self.cursor.as_ref().and_then(Cursor::entry);
        if passed >= MANY {
            self.found.add(from, entry.map(|(key, _)| key));
        }
        Ok(entry)
    }

    /// Returns the state and the gaps in it that this block has found.
    pub(crate) fn into_parts(self) -> (StateView, Gaps) {
        (self.state, self.found)
    }

    /// Returns the number of removed keys that all searches together went through.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped
    }
}

/// Cache of point reads. It is only looked up, never iterated.
type PointReads = HashMap<Box<[u8]>, Option<Box<[u8]>>>;

/// The committed values: from the cache as far as a block has read them, else from the state.
#[derive(Clone, Copy)]
pub(crate) struct CommittedValues<'a> {
    values: &'a PointReads,
    state: &'a StateView,
}

impl CommittedValues<'_> {
    /// Returns whether `value` is the committed value of `key`.
    pub(crate) fn has(&self, key: &[u8], value: Option<&[u8]>) -> Result<bool, Error> {
        if let Some(known) = self.values.get(key) {
            return Ok(known.as_deref() == value);
        }
        Ok(self.state.lend(key)?.as_deref() == value)
    }
}

/// A borrowed key with its value.
type BorrowedEntry<'a> = (&'a [u8], &'a [u8]);

/// Approximate cost of a cached entry besides its bytes.
const ENTRY_BYTES: usize = 64;
/// Size of the largest cached entry. Larger ones are not worth copying twice.
const MAX_ENTRY_BYTES: usize = 16 << 10;
/// Size limit of the cache, in bytes. It is emptied when it would grow beyond.
const MAX_CACHE_BYTES: usize = 64 << 20;

/// A position in the committed entries.
///
/// It knows one entry, and that no other lies between that entry and the lower bound of the search. Iteration thus
/// descends the database's tree once, whatever the levels above insert or remove in between.
struct Cursor {
    live: Live,
    /// Lower bound of the search.
    from: Bound<Vec<u8>>,
    /// The first entry at or after `from`.
    head: Option<(Bytes, Bytes)>,
}

impl Cursor {
    fn seek(state: &StateView, gaps: &[&Gaps], from: Bound<&[u8]>) -> Result<Self, Error> {
        let mut live = Live::at(state, from, gaps)?;
        let head = live.next(state, gaps)?;
        Ok(Self { live, from: from.map(<[u8]>::to_vec), head })
    }

    /// Moves the lower bound to `from` if that is here or one entry ahead. Returns the number of removed keys that it
    /// went through, or `None` if `from` is elsewhere.
    fn advance_to(
        &mut self,
        state: &StateView,
        gaps: &[&Gaps],
        from: Bound<&[u8]>,
    ) -> Result<Option<usize>, Error> {
        let began = self.from.as_ref().map(Vec::as_slice);
        let head = self.head.as_ref().map(|(key, _)| &**key);
        let (Bound::Included(key) | Bound::Excluded(key)) = from else {
            return Ok(None);
        };
        if !begins_within(began, from) {
            return Ok(None);
        }
        match head {
            None => Ok(Some(0)),
            Some(head) if key < head || (key == head && matches!(from, Bound::Included(_))) => {
                Ok(Some(0))
            }
            Some(head) if key == head => {
                replace(&mut self.from, head);
                let before = self.live.passed();
                self.head = self.live.next(state, gaps)?;
                Ok(Some(self.live.passed() - before))
            }
            Some(_) => Ok(None),
        }
    }

    fn entry(&self) -> Option<BorrowedEntry<'_>> {
        let (key, value) = self.head.as_ref()?;
        Some((key, value))
    }
}

/// Sets `bound` to "after `key`", reusing its buffer.
fn replace(bound: &mut Bound<Vec<u8>>, key: &[u8]) {
    let mut buffer = match std::mem::replace(bound, Bound::Unbounded) {
        Bound::Included(buffer) | Bound::Excluded(buffer) => buffer,
        Bound::Unbounded => Vec::new(),
    };
    buffer.clear();
    buffer.extend_from_slice(key);
    *bound = Bound::Excluded(buffer);
}
