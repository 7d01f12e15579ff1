//! Memory sharing among the vats of one bundle. It saves memory and time, and vats cannot observe
//! it.
//!
//! A new JavaScript vat is a view of its bundle's image: the engine with the bundle loaded.
//! Building its root writes to objects all over the heap, mostly to their reference counts. The
//! result is much the same in every vat of the bundle.
//!
//! So a second vat's memory becomes the base of those that follow. It is taken after the vat's
//! first garbage collection, or after it is restored from a snapshot.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use capstan_abi::Delivery;
use capstan_kernel_ports::{
    Hash,
    host::{HeapImage, HostFault, Printed},
};

use crate::{
    memory::base::{BaseMemory, ShareError},
    memory::loads::Loads,
    worker::Worker,
};

/// Engine and id of a bundle that runs on it.
pub(crate) type BundleKey = (Hash, String);

/// Worker in memory, with the facts that decide about sharing.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) worker: Worker,
    /// Bundle that it runs and the origin of its heap images, if it is a JavaScript vat's.
    bundle: Option<(BundleKey, Arc<BaseMemory>)>,
    /// Is true if it has collected garbage.
    has_collected: bool,
    usage: Idleness,
    /// The heap as it is, if it was made after a collection that ran ahead.
    snapshot: Option<HeapImage>,
}

impl Running {
    /// Wraps a worker that was just started. `bundle` is what a JavaScript vat runs, with the result of
    /// [`Load::origin`].
    pub(crate) fn new(worker: Worker, bundle: Option<(BundleKey, Arc<BaseMemory>)>) -> Self {
        Self { worker, bundle, has_collected: false, usage: Idleness::default(), snapshot: None }
    }

    /// Wraps a worker with the heap of a snapshot. Garbage is collected before every snapshot.
    pub(crate) fn restored(worker: Worker, bundle: Option<(BundleKey, Arc<BaseMemory>)>) -> Self {
        Self { has_collected: true, ..Self::new(worker, bundle) }
    }

    /// Compares the pages of a worker that has just collected its garbage, and hashes those that differ.
    pub(crate) fn prepare_snapshot(&mut self) -> Result<(), HostFault> {
        settle(self.worker.trim())?;
        self.snapshot = Some(self.heap_image()?);
        Ok(())
    }

    /// Notes that the worker runs.
    pub(crate) fn forget_snapshot(&mut self) {
        self.snapshot = None;
    }

    /// Returns the heap as a [`HeapImage`].
    pub(crate) fn heap_image(&mut self) -> Result<HeapImage, HostFault> {
        if let Some(snapshot) = self.snapshot.take() {
            return Ok(snapshot);
        }
        let origin = self.bundle.as_ref().map(|(_, origin)| origin.as_ref());
        self.worker.heap_image(origin)
    }

    fn bundle(&self) -> Option<&BundleKey> {
        self.bundle.as_ref().map(|(key, _)| key)
    }
}

/// How long a worker has been idle. Times are the host's deliveries, as [`Shared::used`] counts them.
#[derive(Debug)]
struct Idleness {
    /// When it was used last. `None` once it was trimmed.
    last_used: Option<u64>,
    /// Deliveries to others after which it is idle.
    patience: u64,
    /// When it was trimmed, if it was not used since.
    trimmed: Option<u64>,
}

impl Default for Idleness {
    fn default() -> Self {
        Self { last_used: None, patience: IDLE_DELIVERIES, trimmed: None }
    }
}

impl Idleness {
    /// Notes a use. If the worker was trimmed not long ago, trimming it again has to wait for longer: each page that is given
    /// back costs two faults when it is written to again.
    fn note_use(&mut self, now: u64) {
        self.last_used = Some(now);
        let Some(trimmed) = self.trimmed.take() else { return };
        let is_too_soon = now - trimmed < self.patience.saturating_mul(SOON);
        self.patience = match is_too_soon {
            true => (self.patience * 2).min(MAX_PATIENCE),
            false => IDLE_DELIVERIES,
        };
    }

    fn note_trim(&mut self, now: u64) {
        (self.last_used, self.trimmed) = (None, Some(now));
    }

    /// Returns whether it has not been used for long, and was not trimmed since.
    fn is_idle(&self, now: u64) -> bool {
        self.last_used.is_some_and(|last| last.saturating_add(self.patience) <= now)
    }
}

/// State of a worker that has its bundle but no name.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) memory: Arc<BaseMemory>,
    pub(crate) globals: Vec<(u32, u64)>,
}

/// Result of loading a bundle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    /// Points that it took.
    pub(crate) points: u64,
    /// The worker's state, or `None` if the bundle cannot be loaded before the vat starts.
    pub(crate) loaded: Option<Arc<Loaded>>,
    /// What the bundle printed, if it was loaded.
    pub(crate) printed: Arc<[Printed]>,
}

impl Load {
    /// Returns the memory that heap images of the bundle's vats are relative to. It is a function of the source, and
    /// the image of the engine, `booted`, if the bundle cannot be loaded before the vat starts.
    pub(crate) fn origin<'a>(&'a self, booted: &'a Arc<BaseMemory>) -> &'a Arc<BaseMemory> {
        self.loaded.as_ref().map_or(booted, |loaded| &loaded.memory)
    }
}

/// Images that the vats of a bundle share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Results of loading, by engine, bundle and options.
    pub(crate) loads: Loads,
    /// Images for vats that have collected garbage. Each is kept as long as a vat uses it.
    bases: BTreeMap<BundleKey, Weak<BaseMemory>>,
    /// Number of deliveries to JavaScript vats.
    deliveries: u64,
}

/// Number of deliveries to JavaScript vats after which a vat that had none of them is idle, if it was not trimmed in vain.
const IDLE_DELIVERIES: u64 = 64;

/// The same after it was trimmed in vain many times.
const MAX_PATIENCE: u64 = 1 << 16;

/// A vat was trimmed in vain if it is used again within this many times the number of deliveries that made it idle.
const SOON: u64 = 4;

/// Number of deliveries in which one idle vat is trimmed. Trimming takes about as long as a delivery.
const TRIM_INTERVAL: u64 = 16;

impl Shared {
    /// Returns what another thread needs to make workers of the same bundles.
    pub(crate) fn for_errand(&self) -> Self {
        Self { loads: self.loads.clone(), bases: self.bases.clone(), deliveries: 0 }
    }

    /// Returns the image of vats of `bundle` that have collected garbage. Returns `None` if there is none.
    pub(crate) fn base_of(&self, bundle: &BundleKey) -> Option<Arc<BaseMemory>> {
        self.bases.get(bundle).and_then(Weak::upgrade)
    }

    /// Shares the memory of `running` with `others` after it has done `delivery`. They are workers
    /// of the same host. The error means that `running` cannot go on.
    pub(crate) fn after<'w>(
        &mut self,
        running: &mut Running,
        delivery: &Delivery,
        others: impl Iterator<Item = &'w Running>,
    ) -> Result<(), HostFault> {
        if *delivery != Delivery::BringOutYourDead {
            return Ok(());
        }
        // The engine's full collections write to every object, mostly without changing it.
        let done = match std::mem::replace(&mut running.has_collected, true) {
            // It was trimmed when its heap was hashed.
            true if running.snapshot.is_some() => Ok(()),
            true => running.worker.trim(),
            false => self.share(running, others),
        };
        settle(done)
    }

    /// Notes a delivery to the JavaScript vat `running`. Every [`TRIM_INTERVAL`] of them, the one of `others` that is idle
    /// for longest gives back the pages that it wrote to and that are as before.
    ///
    /// Half of the pages that a delivery writes to are, since most of it is counting of references. The error means
    /// that the worker cannot go on.
    pub(crate) fn used<'w>(
        &mut self,
        running: &mut Running,
        others: impl Iterator<Item = &'w mut Running>,
    ) -> Result<(), HostFault> {
        self.deliveries += 1;
        running.usage.note_use(self.deliveries);
        if !self.deliveries.is_multiple_of(TRIM_INTERVAL) {
            return Ok(());
        }
        let idle = others.filter(|other| other.usage.is_idle(self.deliveries));
        let Some(longest) = idle.min_by_key(|other| other.usage.last_used) else { return Ok(()) };
        longest.usage.note_trim(self.deliveries);
        settle(longest.worker.trim())
    }

    /// Shares the memory of `running` with `others` after it was restored from a snapshot. They are
    /// workers of the same host. The error means that `running` cannot go on.
    pub(crate) fn restored<'w>(
        &mut self,
        running: &mut Running,
        others: impl Iterator<Item = &'w Running>,
    ) -> Result<(), HostFault> {
        settle(self.share(running, others))
    }

    /// Takes over `running`, which an errand has brought into memory, among `others`, the workers of the same host. The
    /// error means that `running` cannot go on.
    pub(crate) fn adopted<'w>(
        &mut self,
        running: &mut Running,
        others: impl Iterator<Item = &'w Running>,
    ) -> Result<(), HostFault> {
        // Its own times are those of another host.
        running.usage = Idleness::default();
        let base = running.bundle().and_then(|bundle| self.base_of(bundle));
        match base.is_some_and(|base| running.worker.is_on(&base)) {
            true => Ok(()),
            false if running.has_collected => settle(self.share(running, others)),
            false => Ok(()),
        }
    }

    /// Shares memory with workers of the same bundle that have collected garbage too.
    fn share<'w>(
        &mut self,
        running: &mut Running,
        mut others: impl Iterator<Item = &'w Running>,
    ) -> Result<(), ShareError> {
        let Some((bundle, _)) = &running.bundle else { return Ok(()) };
        if let Some(base) = self.bases.get(bundle).and_then(Weak::upgrade) {
            return running.worker.rebase(&base);
        }
        let is_of_same_bundle =
            |other: &Running| other.has_collected && other.bundle() == Some(bundle);
        if !others.any(is_of_same_bundle) {
            return running.worker.trim();
        }
        let base = running.worker.new_base()?;
        self.bases.retain(|_, base| base.strong_count() > 0);
        self.bases.insert(bundle.clone(), Arc::downgrade(&base));
        Ok(())
    }
}

/// Logs a failure that only costs memory. A worker without its memory must not run: what it did would
/// differ from other nodes, so the node stops and goes on from its committed state.
fn settle(done: Result<(), ShareError>) -> Result<(), HostFault> {
    match done {
        Ok(()) => Ok(()),
        Err(error @ ShareError::Unshared(_)) => {
            tracing::warn!("{error}");
            Ok(())
        }
        Err(error @ ShareError::Lost(_)) => Err(HostFault::Engine(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_vat_that_is_used_again_soon_is_trimmed_more_seldom() {
        let mut vat = Idleness::default();
        assert!(!vat.is_idle(1_000), "it was never used");
        // It takes turns with 127 others.
        let trims = (0..100).filter(|turn| {
            let now = turn * 128;
            vat.note_use(now);
            let idle_at = (now..now + 128).find(|now| vat.is_idle(*now));
            idle_at.inspect(|at| vat.note_trim(*at)).is_some()
        });
        assert_eq!(trims.count(), 1);
        // It stays idle for long, and has the patience of a new one again.
        vat.note_trim(20_000);
        vat.note_use(40_000);
        assert!(!vat.is_idle(40_063) && vat.is_idle(40_064));
        for now in 0..60 {
            vat.note_trim(50_000 + now);
            vat.note_use(50_000 + now);
        }
        assert_eq!(vat.patience, MAX_PATIENCE);
    }

    #[test]
    fn a_vat_goes_on_without_sharing_but_not_without_its_memory() {
        let error = || io::Error::from(io::ErrorKind::OutOfMemory);
        assert_eq!(settle(Err(ShareError::Unshared(error()))), Ok(()));
        let fault = settle(Err(ShareError::Lost(error()))).unwrap_err();
        assert!(fault.to_string().contains("a vat's memory is lost"), "{fault}");
    }
}
