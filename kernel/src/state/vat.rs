//! Vats: what each one is, what it has come to, when it is to be reaped.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{Computrons, Hash, VatId, store::Read};

pub use crate::state::ending::{EndKind, Ending};
pub use crate::state::failed_upgrade::FailedUpgrade;
pub use crate::state::keeping::{ENTRY_BYTES, EXPORT_BYTES, Keeping, Kept, PAGE_BYTES, SLOT_BYTES};
pub use crate::state::vat_config::{DynamicOptions, ReapThreshold, Threshold, VatConfig};
use crate::{
    error::{KernelPanic, Result, inconsistent},
    ids::{DeviceId, Endpoint, canonical_decimal},
    state::{
        clist::{Holdings, ImportIds},
        handle::{State, decode, get_record},
        keys,
    },
};

/// The progress of a vat: its incarnation, transcript span and counters.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VatState {
    /// Its [`VatStatus`].
    pub status: VatStatus,
    /// The number of its incarnation: 0 for the first, one more with each upgrade.
    pub incarnation: u64,
    /// The number of the first promise that this incarnation can have made. Older ones were known to a heap that is
    /// gone.
    pub first_promise: u64,
    /// The next numbers of its imports.
    pub imports: ImportIds,
    /// Counts of the entries in its c-list.
    pub holdings: Holdings,
    /// Counters towards the next `bringOutYourDead`.
    pub dirt: Dirt,
    /// The [`Span`] of its transcript since the last snapshot, or since the incarnation began.
    pub span: Span,
    /// The position of the first kept entry, where a replay begins.
    pub kept_from: u64,
    /// Computrons of the kept deliveries, which is the cost of bringing the vat back.
    pub replay_debt: u64,
    /// Computrons that the load of this incarnation's bundle takes.
    pub load_cost: u64,
    /// Computrons that the start of this incarnation's worker took, besides the load.
    pub start_cost: u64,
    /// The heap at the last snapshot of this incarnation: its hash and position.
    pub snapshot: Option<(Hash, u64)>,
    /// The number of the vat's own pages in that heap. It is zero before the first snapshot.
    ///
    /// Own pages differ from the image that all vats of the bundle share. The number is the same on every node,
    /// whatever the node has in memory.
    pub heap_pages: u64,
    /// The size of its worker's memory after the last delivery, in bytes.
    pub memory_bytes: u64,
    /// The number of deliveries in all.
    pub deliveries: u64,
    /// Computrons in all, aborted deliveries included.
    pub computrons: u64,
    /// The crank of its last delivery.
    pub last_crank: u64,
    /// The bytes that it [keeps](Kept), whether it has ended or not.
    pub kept: Kept,
    /// Computrons that its meter has deposited for them.
    pub deposit: u128,
}

/// The stage of a vat's life.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum VatStatus {
    /// The vat runs.
    Running,
    /// It ended, and the cleanup of what it held goes on.
    Terminated(Ending),
    /// It ended, and only this record is left.
    Cleaned(Ending),
}

impl VatState {
    /// Returns true until the first delivery of this incarnation. The first entry of the transcript says from what its
    /// worker is made, and may be there before.
    pub(crate) fn is_new(&self) -> bool {
        self.snapshot.is_none() && self.span.end - self.kept_from <= 1
    }

    /// Returns SwingSet's counts of the vat, and what it was given in all.
    pub fn counts(&self) -> VatCounts {
        let first = ImportIds::VAT;
        VatCounts {
            object_count: self.holdings.exports + self.holdings.imports,
            promise_count: self.holdings.promises,
            device_count: self.holdings.devices,
            transcript_count: self.span.entries(),
            object_imports_total: self.imports.object - first.object,
            promise_imports_total: self.imports.promise - first.promise,
            device_imports_total: self.imports.device - first.device,
        }
    }
}

impl VatStatus {
    /// Returns the [`Ending`] of a vat that ended.
    pub fn ending(&self) -> Option<&Ending> {
        match self {
            Self::Running => None,
            Self::Terminated(ending) | Self::Cleaned(ending) => Some(ending),
        }
    }
}

/// SwingSet's four counts of a vat, as its documentation has them, and how often it was given something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VatCounts {
    /// Objects in its c-list: those that it exports and those that it imports.
    pub object_count: u64,
    /// Promises in its c-list.
    pub promise_count: u64,
    /// Device nodes in its c-list.
    pub device_count: u64,
    /// Entries of the current transcript span.
    pub transcript_count: u64,
    /// The number of ids `o-N` that were allocated for it in all.
    pub object_imports_total: u64,
    /// The number of ids `p-N` that were allocated for it in all.
    pub promise_imports_total: u64,
    /// The number of ids `d-N` that were allocated for it in all.
    pub device_imports_total: u64,
}

/// Counters since the last bringOutYourDead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Dirt {
    /// The number of deliveries.
    pub deliveries: u64,
    /// References in deliveries of garbage collection.
    pub gc_krefs: u64,
    /// The number of computrons.
    pub computrons: u64,
}

/// A stretch of transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Span {
    /// The position of its first entry.
    pub start: u64,
    /// One past the position of its last entry.
    pub end: u64,
    /// The hash chain over its entries.
    pub hash: Hash,
}

impl State<'_> {
    pub(crate) fn vat_config(&self, vat: VatId) -> Result<Arc<VatConfig>> {
        if let Some(config) = self.held.see(vat.0, Arc::<VatConfig>::clone) {
            return Ok(config);
        }
        let config: Arc<VatConfig> = Arc::new(self.need(&keys::vat_config(vat))?);
        self.held.hold(vat.0, Box::new(config.clone()));
        Ok(config)
    }

    pub(crate) fn put_vat_config(&mut self, vat: VatId, config: &VatConfig) -> Result<()> {
        self.held.take::<Arc<VatConfig>>(vat.0);
        self.put(&keys::vat_config(vat), config)
    }

    pub(crate) fn find_vat(&self, vat: VatId) -> Result<Option<VatState>> {
        self.see_vat(vat, VatState::clone)
    }

    /// Shows `see` the progress of a vat. Returns `None` if there is no such vat.
    fn see_vat<T>(&self, vat: VatId, see: impl FnOnce(&VatState) -> T) -> Result<Option<T>> {
        if self.held.see(vat.0, |_: &VatState| ()).is_none() {
            let Some(record) = self.get::<VatState>(&keys::vat_state(vat))? else {
                return Ok(None);
            };
            self.held.hold(vat.0, Box::new(record));
        }
        Ok(self.held.see(vat.0, see))
    }

    pub(crate) fn vat(&self, vat: VatId) -> Result<VatState> {
        self.find_vat(vat)?.ok_or_else(|| inconsistent(format!("{vat} does not exist")))
    }

    pub(crate) fn update_vat(
        &mut self,
        vat: VatId,
        change: impl FnOnce(&mut VatState),
    ) -> Result<()> {
        let mut state = match self.held.take(vat.0) {
            Some(state) => state,
            None => Box::new(self.vat(vat)?),
        };
        change(&mut state);
        self.put_vat(vat, state)
    }

    pub(crate) fn put_vat(&mut self, vat: VatId, state: Box<VatState>) -> Result<()> {
        self.put(&keys::vat_state(vat), &*state)?;
        self.held.hold(vat.0, state);
        Ok(())
    }

    /// Returns true if the vat exists and runs.
    pub(crate) fn is_alive(&self, vat: VatId) -> Result<bool> {
        Ok(self.see_vat(vat, |state| state.status == VatStatus::Running)? == Some(true))
    }

    /// Returns true if the vat existed and ended.
    pub(crate) fn is_dead(&self, vat: VatId) -> Result<bool> {
        Ok(self.see_vat(vat, |state| state.status == VatStatus::Running)? == Some(false))
    }

    /// Records a new vat. The engine is the host's current one.
    pub(crate) fn add_vat(&mut self, vat: VatId, config: &VatConfig) -> Result<()> {
        self.put_vat_config(vat, config)?;
        if let Some(meter) = config.meter {
            self.join_meter(meter)?;
        }
        self.globals_mut().running_vats += 1;
        let state = VatState {
            status: VatStatus::Running,
            incarnation: 0,
            first_promise: 0,
            imports: ImportIds::VAT,
            holdings: Holdings::default(),
            dirt: Dirt::default(),
            span: Span { start: 0, end: 0, hash: Span::first_hash() },
            kept_from: 0,
            replay_debt: 0,
            load_cost: 0,
            start_cost: 0,
            snapshot: None,
            heap_pages: 0,
            memory_bytes: 0,
            deliveries: 0,
            computrons: 0,
            last_crank: self.globals().crank,
            kept: Kept::default(),
            deposit: 0,
        };
        self.put_vat(vat, Box::new(state))
    }

    /// Counts a delivery towards bringOutYourDead, and schedules one when it is time.
    pub(crate) fn add_dirt(&mut self, vat: VatId, dirt: Dirt) -> Result<()> {
        let own = self.vat_config(vat)?.reap;
        if own.never {
            return Ok(());
        }
        let default = self.globals().options.reap;
        let mut due = false;
        let mut count = |counter: &mut u64, more: u64, own: Threshold, default: Threshold| {
            if let Threshold::At(limit) = own.or(default)
                && more > 0
                && limit > 0
            {
                *counter = counter.saturating_add(more);
                due |= *counter >= limit;
            }
        };
        self.update_vat(vat, |state| {
            count(&mut state.dirt.deliveries, dirt.deliveries, own.deliveries, default.deliveries);
            count(&mut state.dirt.gc_krefs, dirt.gc_krefs, own.gc_krefs, default.gc_krefs);
            count(&mut state.dirt.computrons, dirt.computrons, own.computrons, default.computrons);
        })?;
        if due { self.schedule_reap(vat) } else { Ok(()) }
    }

    /// Returns whether so much more dirt makes it time for a vat to bring out its dead that has `dirt` now.
    pub(crate) fn makes_reap_due(&self, dirt: Dirt, more: &Dirt, config: &VatConfig) -> bool {
        let (own, default) = (config.reap, self.globals().options.reap);
        let is_due =
            |counter: u64, more: u64, own: Threshold, default: Threshold| match own.or(default) {
                Threshold::At(limit) if limit > 0 => counter.saturating_add(more) >= limit,
                _ => false,
            };
        !own.never
            && (is_due(dirt.deliveries, more.deliveries, own.deliveries, default.deliveries)
                || is_due(dirt.computrons, more.computrons, own.computrons, default.computrons))
    }

    pub(crate) fn schedule_reap(&mut self, vat: VatId) -> Result<()> {
        let mut queue: Vec<VatId> = self.get(keys::REAP)?.unwrap_or_default();
        if !queue.contains(&vat) {
            queue.push(vat);
            self.put(keys::REAP, &queue)?;
        }
        Ok(())
    }

    pub(crate) fn next_reap(&mut self) -> Result<Option<VatId>> {
        let mut queue: Vec<VatId> = self.get(keys::REAP)?.unwrap_or_default();
        if queue.is_empty() {
            return Ok(None);
        }
        let vat = queue.remove(0);
        self.put(keys::REAP, &queue)?;
        Ok(Some(vat))
    }

    /// Notes a delivery that was made, aborted or not.
    pub(crate) fn note_spending(
        &mut self,
        vat: VatId,
        computrons: Option<Computrons>,
    ) -> Result<()> {
        let crank = self.globals().crank;
        self.update_vat(vat, |state| {
            state.deliveries += 1;
            state.last_crank = crank;
            let spent = computrons.map_or(0, |computrons| computrons.0);
            state.computrons = state.computrons.saturating_add(spent);
        })
    }

    pub(crate) fn import_ids(&self, endpoint: Endpoint) -> Result<ImportIds> {
        match endpoint {
            Endpoint::Vat(vat) => Ok(self.vat(vat)?.imports),
            Endpoint::Device(device) => self.device_import_ids(device),
            Endpoint::Remote(remote) => Ok(self.remote(remote)?.imports),
            Endpoint::Kernel => Err(no_clist()),
        }
    }

    pub(crate) fn put_import_ids(&mut self, endpoint: Endpoint, ids: ImportIds) -> Result<()> {
        match endpoint {
            Endpoint::Vat(vat) => self.update_vat(vat, |state| state.imports = ids),
            Endpoint::Device(device) => self.put_device_import_ids(device, ids),
            Endpoint::Remote(remote) => self.update_remote(remote, |state| state.imports = ids),
            Endpoint::Kernel => Err(no_clist()),
        }
    }

    fn device_import_ids(&self, device: DeviceId) -> Result<ImportIds> {
        Ok(self.get(&keys::device_imports(device))?.unwrap_or(ImportIds::DEVICE))
    }

    fn put_device_import_ids(&mut self, device: DeviceId, ids: ImportIds) -> Result<()> {
        self.put(&keys::device_imports(device), &ids)
    }
}

fn no_clist() -> KernelPanic {
    inconsistent("the kernel itself has no c-list")
}

/// Returns all vats that ever were, in the order of their ids.
pub fn all_vats(state: &(impl Read + ?Sized)) -> Result<Vec<VatId>> {
    let mut vats = Vec::new();
    let mut after = keys::VATS.to_vec();
    while let Some((key, _)) = state.next_after(keys::VATS, &after)? {
        let text = String::from_utf8_lossy(&key[keys::VATS.len()..]).into_owned();
        let number = canonical_decimal(&text);
        vats.push(VatId(number.ok_or_else(|| inconsistent(format!("{text} is not a vat")))?));
        after = key;
    }
    vats.sort_unstable();
    Ok(vats)
}

/// Returns the vats that run: static ones in the order of their names, then dynamic ones by id.
pub fn live_vats(state: &(impl Read + ?Sized)) -> Result<Vec<VatId>> {
    let mut live = Vec::new();
    for (key, value) in state.scan(keys::STATIC_NAMES)? {
        live.push(decode::<VatId>(&key, &value)?);
    }
    for vat in all_vats(state)? {
        let running = get_record::<VatState>(state, &keys::vat_state(vat))?
            .is_some_and(|record| record.status == VatStatus::Running);
        if running && !live.contains(&vat) {
            live.push(vat);
        }
    }
    Ok(live)
}
