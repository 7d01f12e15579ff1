//! Stretches of keys that are known to be absent.
//!
//! Where many keys were removed a search goes through all their removals, and without a note of it the next search
//! would do so again. A stretch that is noted takes the place of all removals and stretches that the search went
//! through, and a write or what is rolled back of one adds one at most. So all searches in a block together take
//! no more steps than it has writes and searches, but for a constant.

use std::{collections::BTreeMap, ops::Bound};

/// Stretches apart from each other: no key from the beginning of one up to but without its end is there.
#[derive(Default)]
pub(crate) struct Gaps {
    /// Ends by beginnings; without an end a stretch goes on for ever.
    ends: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Gaps {
    /// The end of the stretch that has the place where `from` begins, if one has.
    pub(crate) fn end_at(&self, from: Bound<&[u8]>) -> Option<Option<&[u8]>> {
        if self.ends.is_empty() {
            return None;
        }
        let place = place(from);
        let (_, end) = self.around(&place)?;
        Some(end.as_deref())
    }

    /// The beginning of the first stretch that begins after the place where `from` begins.
    pub(crate) fn next_after(&self, from: Bound<&[u8]>) -> Option<&[u8]> {
        if self.ends.is_empty() {
            return None;
        }
        let later = (Bound::Excluded(place(from)), Bound::Unbounded);
        self.ends.range(later).next().map(|(begin, _)| begin.as_slice())
    }

    /// Notes that no key from `from` on is there up to but without `to`, or at all.
    pub(crate) fn add(&mut self, from: Bound<&[u8]>, to: Option<&[u8]>) {
        let mut begin = place(from);
        let mut end = to.map(<[u8]>::to_vec);
        // One that ends where this one begins counts as one that it touches.
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
            self.ends.remove(&next);
        }
        if end.as_ref().is_none_or(|end| begin < *end) {
            self.ends.insert(begin, end);
        }
    }

    /// Forgets that `key` is absent.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        let Some((begin, end)) = self.around(key) else {
            return;
        };
        let (begin, end, after) = (begin.clone(), end.clone(), place(Bound::Excluded(key)));
        match begin == key {
            true => self.ends.remove(&begin),
            false => self.ends.insert(begin, Some(key.to_vec())),
        };
        if end.as_ref().is_none_or(|end| after < *end) {
            self.ends.insert(after, end);
        }
    }

    /// The stretch that has `place`.
    fn around(&self, place: &[u8]) -> Option<(&Vec<u8>, &Option<Vec<u8>>)> {
        let up_to = (Bound::Unbounded, Bound::Included(place));
        let found = self.ends.range::<[u8], _>(up_to).next_back()?;
        found.1.as_deref().is_none_or(|end| place < end).then_some(found)
    }
}

/// Whether a stretch that begins at `begin` has the place after `key`, or lies before it.
pub(crate) fn begins_by(begin: &[u8], key: &[u8]) -> bool {
    begin <= key || begin.strip_prefix(key) == Some(&[0])
}

/// The least key that is in `from`: after a key comes the same with a zero byte.
fn place(from: Bound<&[u8]>) -> Vec<u8> {
    match from {
        Bound::Included(key) => key.to_vec(),
        Bound::Excluded(key) => [key, &[0]].concat(),
        Bound::Unbounded => Vec::new(),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All keys of up to three letters: enough for stretches that touch, overlap, nest and end inside each other.
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
        let mut seed = 7_u64;
        let mut next = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
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
        }
    }
}
