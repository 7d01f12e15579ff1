//! The vats and sources that blocks count as being in memory, as the state decides it.
//!
//! Which vats are in memory is each node's own affair, and so is the work of bringing one back. A block must count the
//! same on every node. So the state says which vats were used last, and a node should keep at least those. A delivery to
//! any other vat counts what it takes to bring the vat back, whether this node has to or not.
//!
//! A vat with a large memory counts as several. So the vats that the state names have a bounded memory, too.
//!
//! The record is not written at each use. It has two generations. A vat that is used enters the young one. When the
//! young one is full, it becomes the old one, and the former old one is forgotten. A vat in the young generation is
//! used without a write. All vats in both generations were used more recently than any other vat.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{LOADED_SOURCES, SOURCE_BYTES, StartCost},
};
use sha2::{Digest, Sha256};

use crate::{
    error::Result,
    ids::BundleKind,
    state::{
        bundle::InstalledBundle,
        handle::{State, encode},
        keys,
        loaded_source::LoadedSource,
        vat::{VatConfig, VatState},
    },
    vats::source::worker_options,
};

/// Something that is remembered while it was used recently.
trait Used {
    /// Returns true if the other is the same item, whatever it weighs.
    fn is(&self, other: &Self) -> bool;

    /// Returns the part of the capacity that it takes.
    fn weight(&self) -> usize;
}

/// A vat that counts as being in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct ResidentVat {
    vat: VatId,
    /// The number of ordinary vats as which it counts.
    weight: u32,
}

impl Used for ResidentVat {
    fn is(&self, other: &Self) -> bool {
        self.vat == other.vat
    }

    fn weight(&self) -> usize {
        self.weight as usize
    }
}

impl Used for LoadedSource {
    fn is(&self, other: &Self) -> bool {
        self == other
    }

    fn weight(&self) -> usize {
        self.weight as usize
    }
}

/// Bytes that a worker takes besides its memory: its instance, its place in tables and lists of its pages.
const WORKER_BYTES: u64 = 1 << 20;

impl VatState {
    /// Returns the bytes that the vat takes while it is in memory, at most.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory_bytes.saturating_add(WORKER_BYTES)
    }
}

/// The most recently used of something. What both generations hold weighs at most `capacity`, unless it is one item alone.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Recent<T> {
    young: Vec<T>,
    old: Vec<T>,
}

/// The place where a use found its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Young,
    /// In the young generation with another weight.
    Changed,
    Old,
    Nowhere,
}

impl<T: Used> Recent<T> {
    const fn new() -> Self {
        Self { young: Vec::new(), old: Vec::new() }
    }

    /// Notes a use. The record has changed unless the item was [`Found::Young`].
    fn touch(&mut self, item: T, capacity: usize) -> Found {
        let found = match self.young.iter().find(|known| known.is(&item)) {
            Some(known) if known.weight() == item.weight() => return Found::Young,
            Some(_) => Found::Changed,
            None if self.old.iter().any(|known| known.is(&item)) => Found::Old,
            None => Found::Nowhere,
        };
        self.forget(|known| known.is(&item));
        let weigh = |items: &[T]| items.iter().map(T::weight).sum::<usize>();
        if weigh(&self.young) + item.weight() > (capacity / 2).max(1) && !self.young.is_empty() {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.push(item);
        // One of them is heavier than half of the capacity.
        if weigh(&self.young) + weigh(&self.old) > capacity {
            self.old.clear();
        }
        found
    }

    /// Forgets an item. Returns true if it was there.
    fn forget(&mut self, is: impl Fn(&T) -> bool) -> bool {
        let before = self.young.len() + self.old.len();
        self.young.retain(|known| !is(known));
        self.old.retain(|known| !is(known));
        self.young.len() + self.old.len() < before
    }
}

impl State<'_> {
    /// Notes that the vat is used, and counts what it takes to bring it back unless it was used lately. A vat that has
    /// not begun costs nothing here.
    pub(crate) fn note_use(&mut self, vat: VatId, config: &VatConfig) -> Result<()> {
        match self.touch_vat(vat, config)? {
            Found::Nowhere => self.count_return(vat, config),
            Found::Young | Found::Changed | Found::Old => Ok(()),
        }
    }

    /// Notes the size of the vat's memory after a delivery. Other vats may have to leave for it.
    pub(crate) fn note_memory(&mut self, vat: VatId, config: &VatConfig, bytes: u64) -> Result<()> {
        if self.vat(vat)?.memory_bytes == bytes {
            return Ok(());
        }
        self.update_vat(vat, |state| state.memory_bytes = bytes)?;
        self.touch_vat(vat, config).map(drop)
    }

    fn touch_vat(&mut self, vat: VatId, config: &VatConfig) -> Result<Found> {
        let billing = self.globals().options.billing;
        if billing.resident_vats == 0 || !config.use_transcript {
            return Ok(Found::Young);
        }
        let share = billing.resident_bytes / u64::from(billing.resident_vats);
        let bytes = self.vat(vat)?.resident_bytes();
        let weight = if share == 0 { 1 } else { bytes.div_ceil(share) };
        let item = ResidentVat { vat, weight: u32::try_from(weight).unwrap_or(u32::MAX) };
        let mut vats: Recent<ResidentVat> = self.get(keys::RESIDENT_VATS)?.unwrap_or(Recent::new());
        let found = vats.touch(item, billing.resident_vats as usize);
        if found != Found::Young {
            self.put(keys::RESIDENT_VATS, &vats)?;
        }
        Ok(found)
    }

    /// Notes that the vat's worker is dropped, as it is on every node.
    pub(crate) fn note_stop(&mut self, vat: VatId) -> Result<()> {
        let vats: Option<Recent<ResidentVat>> = self.get(keys::RESIDENT_VATS)?;
        let Some(mut vats) = vats else { return Ok(()) };
        match vats.forget(|known| known.vat == vat) {
            true => self.put(keys::RESIDENT_VATS, &vats),
            false => Ok(()),
        }
    }

    /// Counts the start of a worker for a new incarnation of the vat.
    pub(crate) fn count_start(
        &mut self,
        vat: VatId,
        config: &VatConfig,
        cost: StartCost,
    ) -> Result<()> {
        let StartCost { load, own } = cost;
        self.update_vat(vat, |state| {
            state.load_cost = load.0;
            state.start_cost = own.0;
        })?;
        self.count(own);
        if self.globals().options.billing.resident_vats == 0 {
            return Ok(());
        }
        self.count_load(config, load)
    }

    /// Counts the load of the vat's bundle, unless every host has it loaded.
    fn count_load(&mut self, config: &VatConfig, load: Computrons) -> Result<()> {
        let source = self.source(config)?;
        self.loaded_source = Some(source.clone());
        if self.note_loaded(source)? == Found::Nowhere {
            self.count(load);
        }
        Ok(())
    }

    /// Notes again the source that this crank loaded, after the crank was undone: hosts keep it all the same.
    pub(crate) fn note_loaded_again(&mut self) -> Result<()> {
        match self.loaded_source.take() {
            Some(source) => self.note_loaded(source).map(|_| ()),
            None => Ok(()),
        }
    }

    fn note_loaded(&mut self, source: LoadedSource) -> Result<Found> {
        let mut sources: Recent<LoadedSource> =
            self.get(keys::LOADED_SOURCES)?.unwrap_or(Recent::new());
        let found = sources.touch(source, LOADED_SOURCES);
        if found != Found::Young {
            self.put(keys::LOADED_SOURCES, &sources)?;
        }
        Ok(found)
    }

    fn source(&self, config: &VatConfig) -> Result<LoadedSource> {
        let options = worker_options(&*self.over, config)?;
        let named = encode(&(config.engine, &config.bundle_id, options))?;
        let mut weight = 1;
        if BundleKind::from_id(&config.bundle_id) == Some(BundleKind::Wasm) {
            let bundle: InstalledBundle = self.need(&keys::bundle(&config.bundle_id))?;
            weight += u32::try_from(bundle.size / SOURCE_BYTES).unwrap_or(u32::MAX);
        }
        Ok(LoadedSource { hash: Hash(Sha256::digest(named).into()), weight })
    }

    /// Counts what it takes to bring the vat back: its source, its heap or its start, and the replay.
    fn count_return(&mut self, vat: VatId, config: &VatConfig) -> Result<()> {
        let record = self.vat(vat)?;
        if record.is_new() {
            return Ok(());
        }
        let billing = self.globals().options.billing;
        let base = match record.snapshot {
            Some((_, position)) if position == record.kept_from => {
                billing.restore.saturating_add(billing.page.saturating_mul(record.heap_pages))
            }
            _ => record.start_cost,
        };
        self.count(Computrons(base.saturating_add(record.replay_debt)));
        self.count_load(config, Computrons(record.load_cost))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    impl Used for u64 {
        fn is(&self, other: &Self) -> bool {
            self == other
        }

        fn weight(&self) -> usize {
            1
        }
    }

    impl Used for (u64, usize) {
        fn is(&self, other: &Self) -> bool {
            self.0 == other.0
        }

        fn weight(&self) -> usize {
            self.1
        }
    }

    #[test]
    fn whatever_is_remembered_was_used_more_recently_than_anything_else() {
        const CAPACITY: usize = 6;
        let mut recent = Recent::new();
        let mut uses: VecDeque<u64> = VecDeque::new();
        let mut number: u64 = 1;
        for _ in 0..2_000 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let item = (number >> 33) % 11;
            let known = recent.young.contains(&item) || recent.old.contains(&item);
            let found = recent.touch(item, CAPACITY);
            assert_eq!(found != Found::Nowhere, known);
            uses.retain(|other| *other != item);
            uses.push_front(item);
            let kept = recent.young.len() + recent.old.len();
            assert!(kept <= CAPACITY);
            let last: Vec<u64> = uses.iter().copied().take(kept).collect();
            assert!(
                last.iter().all(|item| recent.young.contains(item) || recent.old.contains(item))
            );
        }
    }

    #[test]
    fn heavy_items_push_out_as_many_light_ones_as_they_weigh() {
        let mut recent = Recent::new();
        for item in 0..8 {
            assert_eq!(recent.touch((item, 1), 8), Found::Nowhere);
        }
        assert_eq!(recent.touch((8, 4), 8), Found::Nowhere);
        assert_eq!((recent.young.len(), recent.old.len()), (1, 4));
        // Something that is heavier than all is remembered alone.
        assert_eq!(recent.touch((9, 100), 8), Found::Nowhere);
        assert_eq!(recent.touch((9, 100), 8), Found::Young);
        assert_eq!((recent.young.len(), recent.old.len()), (1, 0));
        // Nothing fits beside it.
        assert_eq!(recent.touch((10, 1), 8), Found::Nowhere);
        assert_eq!((recent.young.len(), recent.old.len()), (1, 0));
    }

    #[test]
    fn an_item_that_becomes_heavier_pushes_out_others() {
        let mut recent = Recent::new();
        for item in 0..8 {
            recent.touch((item, 1), 8);
        }
        assert_eq!(recent.touch((7, 3), 8), Found::Changed);
        assert_eq!(recent.young, [(7, 3)]);
        assert_eq!(recent.old, [(4, 1), (5, 1), (6, 1)]);
        assert_eq!(recent.touch((7, 3), 8), Found::Young);
        assert_eq!(recent.touch((7, 6), 8), Found::Changed);
        assert_eq!((recent.young.len(), recent.old.len()), (1, 0));
    }

    #[test]
    fn an_item_that_is_used_again_and_again_changes_nothing() {
        let mut recent = Recent::new();
        assert_eq!(recent.touch(1, 4), Found::Nowhere);
        assert_eq!(recent.touch(1, 4), Found::Young);
        assert_eq!(recent.touch(2, 4), Found::Nowhere);
        assert_eq!(recent.touch(3, 4), Found::Nowhere);
        assert_eq!(recent.touch(1, 4), Found::Old);
        assert!(recent.forget(|item| *item == 1) && !recent.forget(|item| *item == 1));
    }
}
