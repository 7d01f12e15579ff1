//! Reads through maps of writes to a state below them.

use std::{collections::BTreeMap, ops::Bound};

use crate::store::{Entry, Read, StoreFault};

/// Entries over others: each key with its value, or `None` if it is removed.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Maps of writes over a state, the topmost first.
pub struct Through<'a> {
    /// The maps.
    pub writes: &'a [&'a Writes],
    /// The state below them.
    pub below: &'a dyn Read,
}

impl std::fmt::Debug for Through<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Through").field("maps", &self.writes.len()).finish_non_exhaustive()
    }
}

impl Through<'_> {
    /// Returns the value of `key`.
    ///
    /// # Errors
    /// Returns a [`StoreFault`] if the state below cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        match self.writes.iter().find_map(|writes| writes.get(key)) {
            Some(written) => Ok(written.clone()),
            None => self.below.get(key),
        }
    }

    /// Returns the entry with the least key that starts with `prefix` and is greater than `after`. The outer result is
    /// `None` if more than `most` removed keys lie before it.
    ///
    /// # Errors
    /// Returns a [`StoreFault`] if the state below cannot be read.
    pub fn next_after(
        &self,
        prefix: &[u8],
        after: &[u8],
        most: usize,
    ) -> Result<Option<Option<Entry>>, StoreFault> {
        let mut after = after.to_vec();
        let mut below = self.below.next_after(prefix, &after)?;
        for _ in 0..=most {
            let written = self.writes.iter().filter_map(|writes| first_after(writes, &after));
            let written = written.min_by_key(|(key, _)| *key);
            let written = written.filter(|(key, _)| key.starts_with(prefix));
            let (key, value) = match (written, &below) {
                (Some((key, _)), Some((first, _))) if first < key => return Ok(Some(below)),
                (None, _) => return Ok(Some(below)),
                // Of equal keys, `min_by_key` takes the first, which is that of the topmost map.
                (Some((key, value)), _) => (key, value),
            };
            if let Some(value) = value {
                return Ok(Some(Some((key.clone(), value.clone()))));
            }
            if below.as_ref().is_some_and(|(first, _)| first == key) {
                below = self.below.next_after(prefix, key)?;
            }
            after.clone_from(key);
        }
        Ok(None)
    }
}

/// Returns the first of `writes` whose key is greater than `after`.
fn first_after<'w>(writes: &'w Writes, after: &[u8]) -> Option<(&'w Vec<u8>, &'w Option<Vec<u8>>)> {
    writes.range::<[u8], _>((Bound::Excluded(after), Bound::Unbounded)).next()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{memory::MemoryState, store::Overlay};

    /// Applies `count` seeded writes to `writes` and to `all`.
    fn scatter(writes: &mut Writes, all: &mut MemoryState, count: u64, seed: &mut u64) {
        for _ in 0..count {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = format!("v{}.{}", *seed >> 63, (*seed >> 40) % 40).into_bytes();
            let value = (*seed >> 33).is_multiple_of(3).then(|| seed.to_be_bytes().to_vec());
            match &value {
                Some(value) => all.set(&key, value.clone()),
                None => all.delete(&key),
            }
            writes.insert(key, value);
        }
    }

    #[test]
    fn a_read_through_writes_is_as_of_one_state() {
        let mut seed = 7;
        for _ in 0..200 {
            let (mut below, mut all) = (MemoryState::default(), MemoryState::default());
            let (mut lower, mut upper, mut first) = (Writes::new(), Writes::new(), Writes::new());
            scatter(&mut first, &mut below, 30, &mut seed);
            for (key, value) in &first {
                value.iter().for_each(|value| all.set(key, value.clone()));
            }
            scatter(&mut lower, &mut all, 15, &mut seed);
            scatter(&mut upper, &mut all, 15, &mut seed);
            let through = Through { writes: &[&upper, &lower], below: &below };
            for number in 0..40 {
                let key = format!("v0.{number}").into_bytes();
                assert_eq!(through.get(&key), all.get(&key));
                let found = through.next_after(b"v0.", &key, 100).unwrap();
                assert_eq!(found, Some(all.next_after(b"v0.", &key).unwrap()));
            }
        }
    }

    #[test]
    fn a_search_ends_after_so_many_removed_keys() {
        let mut writes: Writes = (0..10_u8).map(|number| (vec![b'v', number], None)).collect();
        writes.insert(vec![b'v', 10], Some(vec![1]));
        let below = MemoryState::default();
        let through = Through { writes: &[&writes], below: &below };
        assert_eq!(through.next_after(b"v", b"v", 9), Ok(None));
        let found = (vec![b'v', 10], vec![1]);
        assert_eq!(through.next_after(b"v", b"v", 10), Ok(Some(Some(found))));
    }
}
