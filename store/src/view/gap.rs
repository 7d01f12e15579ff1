//! Key ranges that are known to hold no keys.
//!
//! A search goes through all removals in its range, and without a note the next search would do so again. A noted gap
//! replaces all removals and gaps that the search went through. A write or a rolled-back removal adds at most one
//! gap. So all searches of a block together take no more steps than it has writes and searches, up to a constant
//! factor.
//!
//! A committed state has gaps too, since the removals of earlier blocks stay in memory until a checkpoint. Blocks hand
//! on what they find, so that later blocks and queries need not go through the same removals.

use std::{collections::BTreeMap, ops::Bound};

/// A set of disjoint gaps. A gap includes its beginning and excludes its end.
#[derive(Clone, Default)]
pub(crate) struct Gaps {
    /// Ends by beginnings. A gap whose end is `None` is unbounded.
    ends: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Approximate size in memory, in bytes.
    size_bytes: usize,
}

/// Approximate size of a gap besides the bytes of its ends.
const GAP_BYTES: usize = 64;

impl Gaps {
    /// Returns the approximate size in memory, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn insert(&mut self, begin: Vec<u8>, end: Option<Vec<u8>>) {
        self.remove(&begin);
        self.size_bytes += size_bytes(&begin, end.as_deref());
        self.ends.insert(begin, end);
    }

    fn remove(&mut self, begin: &[u8]) {
        if let Some(end) = self.ends.remove(begin) {
            self.size_bytes -= size_bytes(begin, end.as_deref());
        }
    }

    /// Returns the end of the gap that contains the lower bound `from`, or `None` if no gap does.
    pub(crate) fn end_at(&self, from: Bound<&[u8]>) -> Option<Option<&[u8]>> {
        if self.ends.is_empty() {
            return None;
        }
        let place = place(from);
        let (_, end) = self.around(&place)?;
        Some(end.as_deref())
    }

    /// Returns the beginning of the first gap that begins after the lower bound `from`.
    pub(crate) fn next_after(&self, from: Bound<&[u8]>) -> Option<&[u8]> {
        if self.ends.is_empty() {
            return None;
        }
        let later = (Bound::Excluded(place(from)), Bound::Unbounded);
        self.ends.range(later).next().map(|(begin, _)| begin.as_slice())
    }

    /// Adds all gaps of `other`.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (begin, end) in &other.ends {
            self.add(Bound::Included(begin), end.as_deref());
        }
    }

    /// Adds the gap from the lower bound `from` up to `to`, exclusive, or unbounded.
    pub(crate) fn add(&mut self, from: Bound<&[u8]>, to: Option<&[u8]>) {
        let mut begin = place(from);
        let mut end = to.map(<[u8]>::to_vec);
        // A gap that ends where this one begins is joined with it.
        let mut before =
            self.ends.range::<[u8], _>((Bound::Unbounded, Bound::Included(begin.as_slice())));
        if let Some((earlier, its_end)) = before.next_back()
            && its_end.as_ref().is_none_or(|its_end| *its_end >= begin)
        {
            begin.clone_from(earlier);
        }
        while let Some((next, its_end)) = self.ends.range(begin.clone()..).next()
            && end.as_ref().is_none_or(|end| next <= end)
        {
            let next = next.clone();
            end = match (end, its_end) {
                (Some(end), Some(its_end)) => Some(end.max(its_end.clone())),
                _ => None,
            };
            self.remove(&next);
        }
        if end.as_ref().is_none_or(|end| begin < *end) {
            self.insert(begin, end);
        }
    }

    /// Removes `key` from the gaps, since it may exist now.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        let Some((begin, end)) = self.around(key) else {
            return;
        };
        let (begin, end, after) = (begin.clone(), end.clone(), place(Bound::Excluded(key)));
        match begin == key {
            true => self.remove(&begin),
            false => self.insert(begin, Some(key.to_vec())),
        }
        if end.as_ref().is_none_or(|end| after < *end) {
            self.insert(after, end);
        }
    }

    /// Returns the gap that contains `place`.
    fn around(&self, place: &[u8]) -> Option<(&Vec<u8>, &Option<Vec<u8>>)> {
        let up_to = (Bound::Unbounded, Bound::Included(place));
        let found = self.ends.range::<[u8], _>(up_to).next_back()?;
        found.1.as_deref().is_none_or(|end| place < end).then_some(found)
    }
}

fn size_bytes(begin: &[u8], end: Option<&[u8]>) -> usize {
    GAP_BYTES + begin.len() + end.map_or(0, <[u8]>::len)
}

/// Returns whether a gap that begins at `begin` contains the place right after `key` or lies before it.
pub(crate) fn begins_by(begin: &[u8], key: &[u8]) -> bool {
    begin <= key || begin.strip_prefix(key) == Some(&[0])
}

/// Returns the least key within the lower bound `from`. The successor of a key is the key with a zero byte appended.
fn place(from: Bound<&[u8]>) -> Vec<u8> {
    match from {
        Bound::Included(key) => key.to_vec(),
        Bound::Excluded(key) => [key, &[0]].concat(),
        Bound::Unbounded => Vec::new(),
    }
}

/// Returns whether the lower bound `from` is not below the lower bound `began`.
pub(crate) fn begins_within(began: Bound<&[u8]>, from: Bound<&[u8]>) -> bool {
    match (began, from) {
        (Bound::Excluded(began), Bound::Included(key)) => key > began,
        (Bound::Included(began) | Bound::Excluded(began), Bound::Excluded(key))
        | (Bound::Included(began), Bound::Included(key)) => key >= began,
        (Bound::Unbounded, _) => true,
        (_, Bound::Unbounded) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns all keys of up to three letters. They suffice for gaps that touch, overlap, nest and end inside each
    /// other.
    fn keys() -> Vec<Vec<u8>> {
        let letters: [u8; 3] = [0, 1, 255];
        let mut keys = vec![Vec::new()];
        let mut last = keys.clone();
        for _ in 0..3 {
            last = last
                .iter()
                .flat_map(|key| letters.map(|letter| [key.as_slice(), &[letter]].concat()))
                .collect();
            keys.extend(last.clone());
        }
        keys.sort();
        keys
    }

    #[test]
    fn stretches_say_what_a_set_of_absent_keys_says() {
        let keys = keys();
        let mut random = capstan_test_random::Random::seeded(7);
        let mut next = |below: usize| random.index(below);
        let (mut gaps, mut absent) = (Gaps::default(), BTreeSet::new());
        for step in 0..20_000 {
            let key = &keys[next(keys.len())];
            if next(2) == 0 {
                gaps.forget(key);
                absent.remove(key);
            } else {
                let from = match next(2) {
                    0 => Bound::Included(key.as_slice()),
                    _ => Bound::Excluded(key.as_slice()),
                };
                let to = (next(9) > 0).then(|| keys[next(keys.len())].as_slice());
                if to.is_none_or(|to| place(from).as_slice() <= to) {
                    gaps.add(from, to);
                    let added = keys.iter().filter(|key| {
                        key.as_slice() >= place(from).as_slice()
                            && to.is_none_or(|to| key.as_slice() < to)
                    });
                    absent.extend(added.cloned());
                }
            }
            for key in &keys {
                let known = gaps.end_at(Bound::Included(key)).is_some();
                assert_eq!(known, absent.contains(key), "step {step}, key {key:?}");
            }
            let mut last: Option<&Option<Vec<u8>>> = None;
            for (begin, end) in &gaps.ends {
                assert!(last.is_none_or(|last| last.as_ref().is_some_and(|last| last < begin)));
                assert!(end.as_ref().is_none_or(|end| begin < end));
                last = Some(end);
            }
            let sizes = gaps.ends.iter().map(|(begin, end)| size_bytes(begin, end.as_deref()));
            assert_eq!(gaps.size_bytes(), sizes.sum::<usize>(), "step {step}");
        }
    }
}
