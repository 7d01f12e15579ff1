//! Sharing memory among the vats of one bundle. Saves memory; nothing can be observed of it.
//!
//! A new JavaScript vat is a view of its engine's base image. Loading its bundle and building its root
//! makes it differ in megabytes; two vats of one bundle then still differ from each other in a few
//! pages. So the second one that gets there becomes the base of those that follow. The first garbage
//! collection rewrites the links between all objects, in an order that stays from then on: it is a
//! second such place.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Weak},
};

use capstan_abi::Delivery;
use capstan_kernel_ports::{Hash, host::WorkerSource};

use crate::{base::BaseMemory, worker::Worker};

/// Every how many collections of garbage a vat's pages are compared with its base: this takes about as
/// long as a collection.
const TRIM_INTERVAL: u64 = 16;

/// An engine and the id of a bundle on it.
type BundleKey = (Hash, String);

/// Where in its life a vat is much like others of its bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It has its bundle.
    New,
    /// It has built its root.
    Started,
    /// It has collected garbage for the first time.
    Collected,
}

/// A worker in memory.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) worker: Worker,
    /// The bundle it runs, if it is a JavaScript vat's.
    bundle: Option<BundleKey>,
    stage: Stage,
    collections: u64,
}

impl Running {
    /// A worker that was just made from `source`.
    pub(crate) fn new(worker: Worker, source: &WorkerSource) -> Self {
        Self { worker, bundle: bundle_key(source), stage: Stage::New, collections: 0 }
    }

    /// A worker with the heap of a snapshot: before those, garbage is collected.
    pub(crate) fn restored(worker: Worker, source: &WorkerSource) -> Self {
        Self { stage: Stage::Collected, ..Self::new(worker, source) }
    }

    /// The JavaScript engine that it runs on, if it does.
    pub(crate) fn engine(&self) -> Option<&Hash> {
        self.bundle.as_ref().map(|(engine, _)| engine)
    }
}

/// The bases that vats of one bundle share, as long as any of them uses them.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    bases: BTreeMap<(BundleKey, Stage), Weak<BaseMemory>>,
}

impl Shared {
    /// The base that is most like a vat of `source` which has been running for some time.
    pub(crate) fn base_of(&self, source: &WorkerSource) -> Option<Arc<BaseMemory>> {
        let bundle = bundle_key(source)?;
        let base = |stage| self.bases.get(&(bundle.clone(), stage))?.upgrade();
        base(Stage::Collected).or_else(|| base(Stage::Started))
    }

    /// Saves what memory can be saved after `running`, one of `others`' fellows, has done `delivery`.
    pub(crate) fn after<'w>(
        &mut self,
        running: &mut Running,
        delivery: &Delivery,
        mut others: impl Iterator<Item = &'w Running>,
    ) {
        let stage = match delivery {
            Delivery::StartVat { .. } => Stage::Started,
            Delivery::BringOutYourDead => Stage::Collected,
            _ => return,
        };
        let done = if running.stage < stage {
            running.stage = stage;
            let fellow = others.any(|other| other.bundle == running.bundle && other.stage >= stage);
            self.reached(running, stage, fellow)
        } else {
            running.collections += 1;
            match running.collections.is_multiple_of(TRIM_INTERVAL) {
                true => running.worker.trim(),
                false => Ok(()),
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "vats cannot share memory");
        }
    }

    /// Saves what memory can be saved after `running`, one of `others`' fellows, was brought back.
    pub(crate) fn restored<'w>(
        &mut self,
        running: &mut Running,
        mut others: impl Iterator<Item = &'w Running>,
    ) {
        let fellow = others.any(|other| other.bundle == running.bundle);
        let stage = running.stage;
        if let Err(error) = self.reached(running, stage, fellow) {
            tracing::warn!(%error, "vats cannot share memory");
        }
    }

    /// `running` is at `stage` for the first time; `fellow` says whether another of its bundle has been
    /// there.
    fn reached(&mut self, running: &mut Running, stage: Stage, fellow: bool) -> io::Result<()> {
        let Some(bundle) = &running.bundle else { return Ok(()) };
        let key = (bundle.clone(), stage);
        match self.bases.get(&key).and_then(Weak::upgrade) {
            Some(base) => running.worker.rebase(&base),
            None if fellow => {
                let base = running.worker.new_base()?;
                self.bases.retain(|_, base| base.strong_count() > 0);
                self.bases.insert(key, Arc::downgrade(&base));
                Ok(())
            }
            None => running.worker.trim(),
        }
    }
}

fn bundle_key(source: &WorkerSource) -> Option<BundleKey> {
    match source {
        WorkerSource::JavaScript { engine, bundle_id, .. } => Some((*engine, bundle_id.clone())),
        WorkerSource::Wasm { .. } => None,
    }
}
