//! Vats: what each one is, what it has come to, when it is to be reaped.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{Computrons, Hash, VatId, store::Read};
use serde_json::{Value, json};

use crate::{
    capdata::{self, KernelData},
    error::{KernelPanic, Result, inconsistent},
    ids::{BundleKind, DeviceId, Endpoint, MeterId, canonical_decimal},
    state::{
        clist::{Holdings, ImportIds},
        handle::{State, decode, get_record},
        keys,
    },
};

/// Thresholds of a vat's counters. When one is reached, the vat gets `bringOutYourDead`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReapThreshold {
    /// The threshold for deliveries.
    pub deliveries: Threshold,
    /// References in deliveries of garbage collection.
    pub gc_krefs: Threshold,
    /// The threshold for computrons.
    pub computrons: Threshold,
    /// True if no threshold ever counts.
    pub never: bool,
}

/// A threshold of one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Threshold {
    /// The kernel's default, as [`KernelOptions`](crate::KernelOptions) has it.
    #[default]
    Default,
    /// Never: the counter does not count.
    Never,
    /// Reached at this value.
    At(u64),
}

impl Threshold {
    /// Reads `"never"` or a number.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) if text == "never" => Some(Self::Never),
            Value::Number(number) => number.as_u64().map(Self::At),
            _ => None,
        }
    }

    fn or(self, default: Self) -> Self {
        if self == Self::Default { default } else { self }
    }

    fn to_json(self) -> Value {
        match self {
            Self::Default => Value::Null,
            Self::Never => json!("never"),
            Self::At(n) => json!(n),
        }
    }
}

/// Options of a vat that is made at run time.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DynamicOptions {
    /// The name for people.
    pub name: Option<String>,
    /// Stops the chain when the vat ends.
    pub critical: bool,
    /// The [`Meter`](crate::meter::Meter) that pays.
    pub meter: Option<MeterId>,
    /// SwingSet's `managerType`. It is recorded and has no effect, because the bundle says what runs it.
    pub manager_type: Option<String>,
    /// SwingSet's `enableSetup`: a raw vat, which runs the bundle's `setup()` without liveslots.
    pub enable_setup: Option<bool>,
    /// SwingSet's `enableVatstore`: gives its code `vatPowers.vatstore`, as is the default.
    pub enable_vatstore: Option<bool>,
    /// Delivers messages to promises that the vat decides at once.
    pub enable_pipelining: Option<bool>,
    /// Keeps a transcript, as is the default.
    pub use_transcript: Option<bool>,
    /// The [`Threshold`] of deliveries for `bringOutYourDead`.
    pub reap_interval: Threshold,
}

impl DynamicOptions {
    /// Returns the configuration of a vat with these options.
    pub(crate) fn config(&self, bundle_id: String, engine: Hash) -> VatConfig {
        VatConfig {
            name: self.name.clone(),
            is_static: false,
            bundle_id,
            engine,
            critical: self.critical,
            meter: self.meter,
            enable_pipelining: self.enable_pipelining.unwrap_or(false),
            enable_disavow: false,
            enable_vatstore: self.enable_vatstore.unwrap_or(true),
            enable_setup: self.enable_setup.unwrap_or(false),
            use_transcript: self.use_transcript.unwrap_or(true),
            reap: ReapThreshold { deliveries: self.reap_interval, ..ReapThreshold::default() },
            parameters: None,
            system: false,
        }
    }

    /// Returns the options as SwingSet's slog writes them: those that were given, in the order of their
    /// names.
    pub fn to_json(&self) -> Value {
        let mut fields = serde_json::Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                fields.insert(name.to_owned(), value);
            }
        };
        put("critical", json!(self.critical));
        put("enablePipelining", json!(self.enable_pipelining));
        put("enableSetup", json!(self.enable_setup));
        put("enableVatstore", json!(self.enable_vatstore));
        put("managerType", json!(self.manager_type));
        put("meterID", json!(self.meter.map(|meter| meter.to_string())));
        put("name", json!(self.name));
        put("reapInterval", self.reap_interval.to_json());
        put("useTranscript", json!(self.use_transcript));
        Value::Object(fields)
    }
}

/// The configuration of a vat. It changes only at creation, upgrade and change of options.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VatConfig {
    /// The name of a static vat, or the label of a dynamic one.
    pub name: Option<String>,
    /// True for a vat of the genesis configuration.
    pub is_static: bool,
    /// The id of its bundle.
    pub bundle_id: String,
    /// The JavaScript engine's image on which this incarnation runs.
    pub engine: Hash,
    /// Stops the chain when the vat ends.
    pub critical: bool,
    /// The [`Meter`](crate::meter::Meter) that pays for it.
    pub meter: Option<MeterId>,
    /// Delivers messages to promises that the vat decides at once.
    pub enable_pipelining: bool,
    /// Gives its code `vatPowers.disavow`.
    pub enable_disavow: bool,
    /// Gives its code `vatPowers.vatstore`.
    pub enable_vatstore: bool,
    /// Runs the bundle's `setup()` without liveslots.
    pub enable_setup: bool,
    /// Keeps a transcript. Without one the vat's worker lives for one delivery: the next one begins with
    /// `setup()` again, over the same store.
    pub use_transcript: bool,
    /// Its own [`ReapThreshold`] for `bringOutYourDead`.
    pub reap: ReapThreshold,
    /// The parameters that it was started with.
    pub parameters: Option<KernelData>,
    /// True for a vat of the system. The kernel refuses what is too large for it and undoes the deliveries in
    /// which it fails, so that no stranger can end it. See [`SystemGuard`](crate::limits::SystemGuard).
    pub system: bool,
}

impl VatConfig {
    /// Returns true for a vat without liveslots, which makes syscalls itself: a wasm module, or a bundle whose
    /// `setup()` runs.
    pub fn is_raw(&self) -> bool {
        self.enable_setup || BundleKind::from_id(&self.bundle_id) == Some(BundleKind::Wasm)
    }

    /// Checks that the vat can come back into memory. The error says what it lacks.
    pub(crate) fn check_transcript(&self) -> std::result::Result<(), &'static str> {
        match self.use_transcript || self.is_raw() {
            true => Ok(()),
            false => Err(
                "useTranscript: false needs enableSetup: liveslots comes back into memory by its transcript alone",
            ),
        }
    }
}

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
    /// The heap at the last snapshot of this incarnation: its hash and position.
    pub snapshot: Option<(Hash, u64)>,
    /// The number of deliveries in all.
    pub deliveries: u64,
    /// Computrons in all, aborted deliveries included.
    pub computrons: u64,
    /// The crank of its last delivery.
    pub last_crank: u64,
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

/// The end of a vat.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ending {
    /// True if it ended by a failure.
    pub failure: bool,
    /// The body of what it ended with.
    pub info: String,
    /// The crank in which it ended.
    pub crank: u64,
}

impl Ending {
    /// Returns the reason for people: an error's message or a string, else the body.
    pub fn reason(&self) -> String {
        capdata::message(&self.info)
    }
}

impl VatState {
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
    pub(crate) fn vat_config(&self, vat: VatId) -> Result<VatConfig> {
        self.need(&keys::vat_config(vat))
    }

    pub(crate) fn put_vat_config(&mut self, vat: VatId, config: &VatConfig) -> Result<()> {
        self.put(&keys::vat_config(vat), config)
    }

    pub(crate) fn find_vat(&self, vat: VatId) -> Result<Option<VatState>> {
        self.get(&keys::vat_state(vat))
    }

    pub(crate) fn vat(&self, vat: VatId) -> Result<VatState> {
        self.find_vat(vat)?.ok_or_else(|| inconsistent(format!("{vat} does not exist")))
    }

    pub(crate) fn update_vat(
        &mut self,
        vat: VatId,
        change: impl FnOnce(&mut VatState),
    ) -> Result<()> {
        let mut state = self.vat(vat)?;
        change(&mut state);
        self.put(&keys::vat_state(vat), &state)
    }

    /// Returns true if the vat exists and runs.
    pub(crate) fn is_alive(&self, vat: VatId) -> Result<bool> {
        Ok(self.find_vat(vat)?.is_some_and(|state| state.status == VatStatus::Running))
    }

    /// Returns true if the vat existed and ended.
    pub(crate) fn is_dead(&self, vat: VatId) -> Result<bool> {
        Ok(self.find_vat(vat)?.is_some_and(|state| state.status != VatStatus::Running))
    }

    /// Records a new vat. The engine is the host's current one.
    pub(crate) fn add_vat(&mut self, vat: VatId, config: &VatConfig) -> Result<()> {
        self.put_vat_config(vat, config)?;
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
            snapshot: None,
            deliveries: 0,
            computrons: 0,
            last_crank: self.globals().crank,
        };
        self.put(&keys::vat_state(vat), &state)
    }

    /// Replaces the vat's parameters and moves the references that they hold.
    pub(crate) fn set_parameters(&mut self, vat: VatId, parameters: &KernelData) -> Result<()> {
        let mut config = self.vat_config(vat)?;
        self.increment_all(&parameters.slots)?;
        if let Some(old) = config.parameters.replace(parameters.clone()) {
            self.decrement_all(&old.slots)?;
        }
        self.put_vat_config(vat, &config)
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
