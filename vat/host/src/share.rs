//! Sharing memory among the vats of one bundle. Saves memory and time; nothing can be observed of it.
//!
//! A new JavaScript vat is a view of its bundle's image: the engine with the bundle loaded. One that
//! comes back from a snapshot is a view of the same image if it is there, or else, from the second vat
//! of its bundle on, of what that one was when it came back.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Weak},
};

use capstan_abi::Delivery;
use capstan_kernel_ports::{
    Hash,
    host::{WorkerOptions, WorkerSource},
};

use crate::{base::BaseMemory, worker::Worker};

/// Every how many collections of garbage a vat's pages are compared with its base: this takes about as
/// long as a collection.
const TRIM_INTERVAL: u64 = 16;

/// How many bundles' images are kept although perhaps no vat runs on them. Each takes as much memory
/// as a vat's heap.
const RECENT: usize = 32;

/// An engine and the id of a bundle on it.
type BundleKey = (Hash, String);

/// A worker in memory.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) worker: Worker,
    /// The bundle it runs, if it is a JavaScript vat's.
    bundle: Option<BundleKey>,
    collections: u64,
}

impl Running {
    /// A worker that was just made from `source`.
    pub(crate) fn new(worker: Worker, source: &WorkerSource) -> Self {
        Self { worker, bundle: bundle_key(source), collections: 0 }
    }

    /// The JavaScript engine that it runs on, if it does.
    pub(crate) fn engine(&self) -> Option<&Hash> {
        self.bundle.as_ref().map(|(engine, _)| engine)
    }

    /// Gives back after `delivery` what memory it can: the first collection of garbage, and later ones
    /// now and then, leave much as it was.
    pub(crate) fn trim_after(&mut self, delivery: &Delivery) {
        if *delivery != Delivery::BringOutYourDead {
            return;
        }
        let is_due = self.collections.is_multiple_of(TRIM_INTERVAL);
        self.collections += 1;
        if is_due && let Err(error) = self.worker.trim() {
            tracing::warn!(%error, "a vat's unchanged pages cannot be given back");
        }
    }
}

/// What a worker is when it has its bundle but no name.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) memory: Arc<BaseMemory>,
    pub(crate) globals: Vec<(u32, u64)>,
}

/// Loads that were done, each for an engine, a bundle and options. None if the bundle cannot be loaded
/// before the vat starts.
type Load = ((BundleKey, WorkerOptions), Option<Arc<Loaded>>);

/// What the vats of one bundle share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The last one used comes last.
    loads: VecDeque<Load>,
    /// For vats that came back, as long as any of them uses it.
    bases: BTreeMap<BundleKey, Weak<BaseMemory>>,
}

impl Shared {
    /// What came of loading a bundle, if it was tried.
    pub(crate) fn loaded(
        &mut self,
        engine: &Hash,
        bundle_id: &str,
        options: &WorkerOptions,
    ) -> Option<Option<Arc<Loaded>>> {
        let is_it =
            |((key, with), _): &Load| key.0 == *engine && key.1 == bundle_id && with == options;
        let at = self.loads.iter().position(is_it)?;
        let load = self.loads.remove(at)?;
        let loaded = load.1.clone();
        self.loads.push_back(load);
        Some(loaded)
    }

    /// Keeps what came of loading a bundle.
    pub(crate) fn keep(
        &mut self,
        engine: &Hash,
        bundle_id: &str,
        options: &WorkerOptions,
        loaded: Option<Arc<Loaded>>,
    ) {
        let key = (*engine, bundle_id.to_owned());
        self.loads.push_back(((key, options.clone()), loaded));
        if self.loads.len() > RECENT {
            self.loads.pop_front();
        }
    }

    /// The memory that is most like a vat of `source`.
    pub(crate) fn base_of(&self, source: &WorkerSource) -> Option<Arc<BaseMemory>> {
        let bundle = bundle_key(source)?;
        let mut loads = self.loads.iter().rev().filter(|((key, _), _)| *key == bundle);
        let loaded = loads.find_map(|(_, loaded)| loaded.as_ref());
        match loaded {
            Some(loaded) => Some(Arc::clone(&loaded.memory)),
            None => self.bases.get(&bundle)?.upgrade(),
        }
    }

    /// Saves what memory can be saved after `running`, one of `others`' fellows, was brought back.
    pub(crate) fn restored<'w>(
        &mut self,
        running: &mut Running,
        source: &WorkerSource,
        mut others: impl Iterator<Item = &'w Running>,
    ) {
        let Some(bundle) = &running.bundle else { return };
        let has_fellow = others.any(|other| other.bundle.as_ref() == Some(bundle));
        if !has_fellow || self.base_of(source).is_some() {
            return;
        }
        let bundle = bundle.clone();
        if let Err(error) = self.add_base(bundle, &mut running.worker) {
            tracing::warn!(%error, "vats cannot share memory");
        }
    }

    fn add_base(&mut self, bundle: BundleKey, worker: &mut Worker) -> io::Result<()> {
        let base = worker.new_base()?;
        self.bases.retain(|_, base| base.strong_count() > 0);
        self.bases.insert(bundle, Arc::downgrade(&base));
        Ok(())
    }
}

fn bundle_key(source: &WorkerSource) -> Option<BundleKey> {
    match source {
        WorkerSource::JavaScript { engine, bundle_id, .. } => Some((*engine, bundle_id.clone())),
        WorkerSource::Wasm { .. } => None,
    }
}
