//! A stretch of keys that are known to be absent.
//!
//! Emptying a range, one "next key, remove it" after the other, leaves a growing run of removals at its
//! beginning. Without a note of it each step would go through the whole run again.

use std::ops::Bound;

/// No key from `from` up to but without `to` is there.
pub(crate) struct Gap {
    from: Bound<Vec<u8>>,
    /// None: however great.
    to: Option<Vec<u8>>,
}

impl Gap {
    pub(crate) fn new(from: Bound<&[u8]>, to: Option<&[u8]>) -> Self {
        Self { from: from.map(<[u8]>::to_vec), to: to.map(<[u8]>::to_vec) }
    }

    /// Whether a search from `from` on begins in it, and so may begin at its end.
    pub(crate) fn covers(&self, from: Bound<&[u8]>) -> bool {
        begins_within(self.from.as_ref().map(Vec::as_slice), from)
            && match (from, &self.to) {
                (Bound::Included(key), Some(to)) => key <= to.as_slice(),
                (Bound::Excluded(key), Some(to)) => key < to.as_slice(),
                (_, None) => true,
                (Bound::Unbounded, Some(_)) => false,
            }
    }

    /// Whether writing `key` makes it wrong.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        begins_within(self.from.as_ref().map(Vec::as_slice), Bound::Included(key))
            && self.to.as_deref().is_none_or(|to| key < to)
    }

    /// Its end: none if it goes on for ever.
    pub(crate) fn to(&self) -> Option<&[u8]> {
        self.to.as_deref()
    }

    /// Lets it end at `to`, which is beyond its end.
    pub(crate) fn extend(&mut self, to: Option<&[u8]>) {
        match (&mut self.to, to) {
            (Some(end), Some(to)) => {
                end.clear();
                end.extend_from_slice(to);
            }
            (end, to) => *end = to.map(<[u8]>::to_vec),
        }
    }
}

/// Whether every key from `from` on is one from `began` on.
pub(crate) fn begins_within(began: Bound<&[u8]>, from: Bound<&[u8]>) -> bool {
    match (began, from) {
        (Bound::Excluded(began), Bound::Included(key)) => key > began,
        (Bound::Included(began) | Bound::Excluded(began), Bound::Excluded(key))
        | (Bound::Included(began), Bound::Included(key)) => key >= began,
        (Bound::Unbounded, _) => true,
        (_, Bound::Unbounded) => false,
    }
}
