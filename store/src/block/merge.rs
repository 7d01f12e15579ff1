//! Ordered iteration through the levels of a block.

use std::{collections::btree_map, iter::Peekable, ops::Bound};

use crate::block::level::Writes;

/// The written keys of several levels in one order. Of a key that is written in several levels, the
/// topmost write counts.
pub(crate) struct Merge<'a> {
    /// Top level first; levels that have nothing in the range are left out.
    cursors: Vec<Cursor<'a>>,
}

/// What comes next.
pub(crate) enum Head<'a> {
    /// Nothing, neither here nor below.
    End,
    /// The key below: no level wrote one that is less or equal.
    Below,
    /// This key, written here; the value is none if it was removed.
    Written(&'a [u8], Option<&'a Vec<u8>>),
}

impl<'a> Merge<'a> {
    /// Begins at `from`. `levels` come top level first.
    pub(crate) fn new(levels: impl Iterator<Item = &'a Writes>, from: Bound<&[u8]>) -> Self {
        let mut cursors = Vec::new(); // allocates nothing until a level has a key in the range
        for level in levels {
            let mut cursor = level.range::<[u8], _>((from, Bound::Unbounded)).peekable();
            if cursor.peek().is_some() {
                cursors.push(cursor);
            }
        }
        Self { cursors }
    }

    /// The least key of the levels and `below`, the next key of the state under them. A key that is
    /// both written and below counts as written.
    pub(crate) fn least(&mut self, below: Option<&[u8]>) -> Head<'a> {
        let mut least: Option<(&'a [u8], Option<&'a Vec<u8>>)> = None;
        for cursor in &mut self.cursors {
            if let Some((key, value)) = cursor.peek()
                && least.is_none_or(|(found, _)| key.as_slice() < found)
            {
                least = Some((key.as_slice(), value.as_ref()));
            }
        }
        match (least, below) {
            (None, None) => Head::End,
            (None, Some(_)) => Head::Below,
            (Some((key, _)), Some(below)) if below < key => Head::Below,
            (Some((key, value)), _) => Head::Written(key, value),
        }
    }

    /// Steps over `key` in all levels, where it must not be less than any next key.
    pub(crate) fn skip(&mut self, key: &[u8]) {
        for cursor in &mut self.cursors {
            cursor.next_if(|(next, _)| next.as_slice() <= key);
        }
    }
}

type Cursor<'a> = Peekable<btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>>;
