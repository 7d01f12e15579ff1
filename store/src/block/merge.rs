//! Ordered iteration over the levels of a block.

use std::{collections::btree_map, iter::Peekable, ops::Bound};

use crate::block::level::Writes;

/// A merge of the written keys of several levels, in key order. The topmost write of a key counts.
pub(crate) struct Merge<'a> {
    /// Cursors of the levels, top level first. Levels without a key in the range are left out.
    cursors: Vec<Cursor<'a>>,
}

/// The next key of a [`Merge`] and the state below it.
pub(crate) enum Head<'a> {
    /// There is no further key.
    End,
    /// The key of the state below comes first.
    Below,
    /// This written key comes first. Its value is `None` if it was removed.
    Written(&'a [u8], Option<&'a Vec<u8>>),
}

impl<'a> Merge<'a> {
    /// Begins at the lower bound `from`. `levels` come top level first.
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

    /// Returns the least of the next written key and `below`, the next key of the state. A key that is both counts as
    /// written.
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

    /// Advances all levels past `key`, which must not be less than the least next key.
    pub(crate) fn skip(&mut self, key: &[u8]) {
        for cursor in &mut self.cursors {
            cursor.next_if(|(next, _)| next.as_slice() <= key);
        }
    }
}

type Cursor<'a> = Peekable<btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>>;
