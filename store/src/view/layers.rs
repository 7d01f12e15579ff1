//! The changes since the checkpoint, in layers.
//!
//! While a checkpoint is being written, later commits go to a layer of their own. When it is complete, the layers
//! below are dropped as a whole, so that nothing is sorted or copied while a commit waits.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use capstan_kernel_ports::Hash;

use crate::{
    changes::{Changes, Shared, Written},
    view::memory::Memory,
};

/// The changes since the checkpoint. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    /// The layer that takes new commits.
    top: Arc<Memory>,
    /// The layers that take no more commits, the oldest first. There are some only while a checkpoint is being
    /// written, or after that has failed.
    sealed: Arc<[Arc<Memory>]>,
}

impl Layers {
    /// Adds a commit, whose serial must be greater than all others.
    pub(crate) fn add(&self, serial: u64, changes: Changes) {
        self.top.add(serial, changes);
    }

    /// Returns the same layers with an empty one on top, to which later commits go.
    pub(crate) fn seal(&self) -> Self {
        let sealed = self.sealed.iter().chain([&self.top]).cloned().collect();
        Self { top: Arc::default(), sealed }
    }

    /// Returns the layers still needed over a checkpoint at `serial`.
    ///
    /// A layer with a later commit stays whole: what it has of earlier commits equals the checkpoint.
    pub(crate) fn after(&self, serial: u64) -> Self {
        let needed = |layer: &&Arc<Memory>| layer.last() > serial;
        Self {
            top: Some(&self.top).filter(needed).cloned().unwrap_or_default(),
            sealed: self.sealed.iter().filter(needed).cloned().collect(),
        }
    }

    /// Returns the last write of commits up to `serial` to `key`, or `None` if there is none.
    pub(crate) fn get(&self, key: &[u8], serial: u64) -> Option<Option<Shared>> {
        self.newest_first().find_map(|layer| layer.get(key, serial))
    }

    /// Returns the first key at or after `from` that commits up to `serial` wrote, with its last value.
    pub(crate) fn first_from(&self, from: Bound<&[u8]>, serial: u64) -> Option<Written> {
        // Of equal keys this takes the first, which is the newest.
        self.newest_first()
            .filter_map(|layer| layer.first_from(from, serial))
            .min_by(|(one, _), (other, _)| one.cmp(other))
    }

    /// Returns the blob `hash` if a commit up to `serial` added it.
    pub(crate) fn blob(&self, hash: &Hash, serial: u64) -> Option<Shared> {
        self.newest_first().find_map(|layer| layer.blob(hash, serial))
    }

    /// Returns all changes of commits up to `serial`, entries and blobs in key order. Of the records that are gone only those
    /// of commits after `after`.
    pub(crate) fn up_to(&self, serial: u64, after: u64) -> Changes {
        let mut changed = self.oldest_first().filter(|layer| layer.last() > 0);
        let Some(first) = changed.next() else {
            return Changes::default();
        };
        changed.fold(first.up_to(serial, after), |below, layer| {
            let over = layer.up_to(serial, after);
            Changes {
                flat: merged(below.flat, over.flat),
                gone: [below.gone, over.gone].concat(),
                blobs: merged(below.blobs, over.blobs),
            }
        })
    }

    fn oldest_first(&self) -> impl DoubleEndedIterator<Item = &Arc<Memory>> {
        self.sealed.iter().chain([&self.top])
    }

    fn newest_first(&self) -> impl Iterator<Item = &Arc<Memory>> {
        self.oldest_first().rev()
    }
}

/// Merges two lists in key order. If a key is in both, `over` wins.
fn merged<K: Ord, V>(below: Vec<(K, V)>, over: Vec<(K, V)>) -> Vec<(K, V)> {
    let mut merged: BTreeMap<K, V> = below.into_iter().collect();
    merged.extend(over);
    merged.into_iter().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn write(layers: &Layers, serial: u64, entries: &[(&str, Option<&str>)]) {
        let shared = |text: &str| Shared::from(text.as_bytes());
        let flat: Vec<Written> =
            entries.iter().map(|(key, value)| (shared(key), value.map(shared))).collect();
        let blobs = vec![(Hash([serial as u8; 32]), shared("blob"))];
        let gone = flat.iter().map(|(key, _)| key.clone()).collect();
        layers.add(serial, Changes { flat, gone, blobs });
    }

    fn texts(written: Vec<Written>) -> Vec<(String, Option<String>)> {
        let text = |bytes: &Shared| String::from_utf8(bytes.to_vec()).unwrap();
        written.iter().map(|(key, value)| (text(key), value.as_ref().map(text))).collect()
    }

    #[test]
    fn a_state_reads_the_same_whatever_is_sealed_over_it() {
        let below = Layers::default();
        write(&below, 1, &[("a", Some("1")), ("b", Some("1"))]);
        write(&below, 2, &[("a", None), ("c", Some("2"))]);
        let layers = below.seal();
        write(&layers, 3, &[("a", Some("3")), ("b", None), ("d", Some("3"))]);
        let walk = |layers: &Layers, serial| {
            let mut found = Vec::new();
            let mut from = Bound::Unbounded;
            while let Some((key, value)) =
                layers.first_from(from.as_ref().map(|key: &Shared| &**key), serial)
            {
                assert_eq!(layers.get(&key, serial), Some(value.clone()));
                found.push((key.clone(), value));
                from = Bound::Excluded(key);
            }
            found
        };
        for serial in 1..=3 {
            for layers in [&layers, &layers.seal()] {
                assert_eq!(walk(layers, serial), layers.up_to(serial, 0).flat);
                let gone = |after| layers.up_to(serial, after).gone.len();
                assert_eq!(gone(0), [2, 4, 7][serial as usize - 1]);
                assert_eq!(gone(serial - 1), [2, 2, 3][serial as usize - 1]);
                assert_eq!(gone(serial), 0);
                let blobs = layers.up_to(serial, 0).blobs;
                assert_eq!(blobs.len() as u64, serial);
                assert!(blobs.iter().all(|(hash, _)| layers.blob(hash, serial).is_some()));
                assert!(layers.blob(&Hash([serial as u8 + 1; 32]), serial).is_none());
            }
        }
        assert_eq!(
            texts(layers.up_to(3, 0).flat),
            [("a", Some("3")), ("b", None), ("c", Some("2")), ("d", Some("3"))]
                .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
        );
        assert_eq!(walk(&below, 2), layers.up_to(2, 0).flat, "as it was when it was sealed");
    }

    #[test]
    fn layers_go_when_the_file_has_all_their_commits() {
        let layers = Layers::default();
        write(&layers, 1, &[("a", Some("1"))]);
        write(&layers, 2, &[("a", Some("2"))]);
        let layers = layers.seal();
        write(&layers, 3, &[("b", Some("3"))]);
        assert_eq!(layers.after(1).up_to(3, 0).flat, layers.up_to(3, 0).flat);
        let after = layers.after(2);
        assert_eq!(texts(after.up_to(3, 0).flat).len(), 1);
        assert!(after.get(b"a", 3).is_none());
        let after = layers.after(3);
        assert!(after.up_to(3, 0).flat.is_empty());
        write(&after, 4, &[("c", None)]);
        assert_eq!(after.get(b"c", 4), Some(None));
        assert!(layers.get(b"c", 4).is_none(), "who reads what was before sees no later layer");
    }
}
