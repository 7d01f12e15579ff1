//! Vats that come back into memory ahead of their turn, and sources that are loaded before a vat needs them.
//!
//! Both are this node's own affair. A vat that sleeps does what its transcript says until it is where it was. Another thread
//! does so with what the state says now. At its turn the vat takes the worker over, if the transcript is still the same.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use capstan_kernel_ports::{
    Hash, VatId,
    ahead::Errand,
    host::{LOADED_SOURCES, VatHost},
    store::{Entry, Overlay, Read, StoreFault},
};

use crate::{
    error::Result,
    state::{
        keys,
        vat::{Span, VatConfig, VatState},
    },
    vats::{
        replay::{Outcome, Replay},
        source::{worker_options, worker_source},
    },
};

/// A vat that comes back into memory.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// The position on the run queue of the event for which it comes back.
    position: u64,
    /// The memory that it takes.
    bytes: u64,
    past: Past,
}

/// What a worker has to have done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Past {
    incarnation: u64,
    kept_from: u64,
    span: Span,
}

impl Past {
    fn of(record: &VatState) -> Self {
        let VatState { incarnation, kept_from, span, .. } = record;
        Self { incarnation: *incarnation, kept_from: *kept_from, span: *span }
    }
}

impl Prepared {
    /// Returns a vat that comes back for the event at a position of the run queue.
    pub(crate) fn of(record: &VatState, position: u64) -> Self {
        Self { position, bytes: record.resident_bytes(), past: Past::of(record) }
    }

    /// Returns a new vat that takes so many bytes.
    #[cfg(test)]
    pub(crate) fn of_size(bytes: u64, position: u64) -> Self {
        let span = Span { start: 0, end: 0, hash: Hash::default() };
        let past = Past { incarnation: 0, kept_from: 0, span };
        Self { position, bytes, past }
    }

    /// Returns whether the vat is still where it was.
    pub(crate) fn is_up_to_date(&self, record: &VatState) -> bool {
        self.past == Past::of(record)
    }
}

/// A source, and whether it is for a vat in its first incarnation.
type SourceName = (Hash, String, bool);

fn name_of(config: &VatConfig) -> SourceName {
    (config.engine, config.bundle_id.clone(), !config.is_upgraded)
}

/// The vats that come back into memory, and the sources that are loaded.
#[derive(Debug, Default)]
pub(crate) struct Preparations {
    vats: BTreeMap<VatId, Prepared>,
    /// The vats for which sources are loaded, with the positions of their events.
    loads: BTreeMap<VatId, u64>,
    /// The sources that this node has loaded last.
    loaded: VecDeque<SourceName>,
}

impl Preparations {
    pub(crate) fn contains(&self, vat: VatId) -> bool {
        self.vats.contains_key(&vat)
    }

    /// Returns the number of vats that come back, and the memory that they take together.
    pub(crate) fn size(&self) -> (usize, u64) {
        let bytes = self.vats.values().fold(0_u64, |sum, vat| sum.saturating_add(vat.bytes));
        (self.vats.len(), bytes)
    }

    pub(crate) fn add(&mut self, vat: VatId, prepared: Prepared) {
        self.vats.insert(vat, prepared);
    }

    pub(crate) fn take(&mut self, vat: VatId) -> Option<Prepared> {
        self.vats.remove(&vat)
    }

    /// Takes the vat whose event comes last.
    pub(crate) fn take_last(&mut self) -> Option<VatId> {
        let (vat, _) = self.vats.iter().max_by_key(|(_, vat)| vat.position)?;
        let vat = *vat;
        self.vats.remove(&vat).map(|_| vat)
    }

    /// Takes a vat whose event has had its turn, and did not need the vat.
    pub(crate) fn take_left_behind(&mut self, first: u64) -> Option<VatId> {
        let (vat, _) = self.vats.iter().find(|(_, vat)| vat.position < first)?;
        let vat = *vat;
        self.vats.remove(&vat).map(|_| vat)
    }

    /// Takes a vat whose event has had its turn, and did not need the source that was loaded for it.
    pub(crate) fn take_needless_load(&mut self, first: u64) -> Option<VatId> {
        let vat = *self.loads.iter().find(|(_, position)| **position < first)?.0;
        self.loads.remove(&vat).map(|_| vat)
    }

    /// Returns whether the source of a vat is among those that were loaded last.
    pub(crate) fn has_loaded(&self, config: &VatConfig) -> bool {
        self.loaded.contains(&name_of(config))
    }

    /// Notes that the source of a vat is loaded, or that it starts.
    pub(crate) fn note_source(&mut self, vat: VatId, config: &VatConfig) {
        self.loads.remove(&vat);
        let name = name_of(config);
        self.loaded.retain(|known| *known != name);
        self.loaded.push_back(name);
        if self.loaded.len() > LOADED_SOURCES {
            self.loaded.pop_front();
        }
    }

    /// Forgets for which events sources are loaded.
    pub(crate) fn forget_loads(&mut self) {
        self.loads.clear();
    }

    /// Notes that the source of a vat is loaded for an event.
    pub(crate) fn add_load(&mut self, vat: VatId, position: u64) {
        self.loads.insert(vat, position);
    }
}

/// Returns the errand of bringing a vat into memory. Returns `None` if the overlay cannot be read by another thread.
pub(crate) fn errand_of_vat(
    over: &dyn Overlay,
    vat: VatId,
    record: &VatState,
    config: &VatConfig,
) -> Option<Errand> {
    let own = [keys::transcript_of(vat), keys::heap(vat), keys::vat_config(vat)];
    let pinned = Pinned::of(over, &own.each_ref().map(|key| &key[..]), config)?;
    let positions = record.kept_from..record.span.end;
    Some(Box::new(move |host| {
        let mut replay = Replay::new(&pinned, vat, positions).ok()?;
        let mut deliveries = 0;
        while let Some(step) = replay.step(host).ok()? {
            if step.outcome != Outcome::Same {
                return None;
            }
            deliveries += u64::from(step.is_delivery());
        }
        Some(deliveries)
    }))
}

/// Returns the errand of loading a vat's source. Returns `None` if the overlay cannot be read by another thread.
pub(crate) fn errand_of_source(
    over: &dyn Overlay,
    vat: VatId,
    config: &VatConfig,
) -> Option<Errand> {
    let pinned = Pinned::of(over, &[], config)?;
    let config = config.clone();
    Some(Box::new(move |host| {
        // The load is kept, and the worker is not. Whatever fails here fails again when the vat starts.
        let _ = load(&pinned, host, vat, &config);
        None
    }))
}

fn load(state: &Pinned, host: &mut dyn VatHost, vat: VatId, config: &VatConfig) -> Result<()> {
    let source = worker_source(state, &config.bundle_id, config.engine)?;
    host.start(vat, &source, &worker_options(state, config)?)?;
    host.stop(vat);
    Ok(())
}

/// The entries that a vat comes from, as they are now. What has a hash for its name may be missing, if it is new.
struct Pinned {
    parts: Vec<(Vec<u8>, Arc<dyn Read + Send + Sync>)>,
    rest: Arc<dyn Read + Send + Sync>,
}

impl Pinned {
    fn of(over: &dyn Overlay, own: &[&[u8]], config: &VatConfig) -> Option<Self> {
        let bundle = keys::bundle(&config.bundle_id);
        let parts = own.iter().copied().chain([keys::GLOBALS, &bundle[..]]);
        let pin = |prefix: &[u8]| Some((prefix.to_vec(), over.pin(prefix)?));
        let parts = parts.map(pin).collect::<Option<Vec<_>>>()?;
        Some(Self { parts, rest: over.pin(&bundle)? })
    }

    fn part(&self, key: &[u8]) -> &(dyn Read + Send + Sync) {
        let part = self.parts.iter().find(|(prefix, _)| key.starts_with(prefix));
        part.map_or(&*self.rest, |(_, part)| &**part)
    }
}

impl Read for Pinned {
    fn get(&self, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, StoreFault> {
        self.part(key).get(key)
    }

    fn next_after(
        &self,
        prefix: &[u8],
        after: &[u8],
    ) -> std::result::Result<Option<Entry>, StoreFault> {
        self.part(prefix).next_after(prefix, after)
    }

    fn blob(&self, hash: &Hash) -> std::result::Result<Option<Vec<u8>>, StoreFault> {
        self.rest.blob(hash)
    }
}
