//! The kernel's hands on its store for the length of one crank: typed records over the overlay.
//!
//! What belongs to one noun (`promise`, `object`, `clist`, …) is in that noun's module, as methods of
//! [`State`].

use std::collections::VecDeque;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{
    Hash,
    store::{Overlay, Read},
};

use crate::{
    application::Application,
    billing::Billing,
    error::{KernelPanic, Result, inconsistent},
    ids::{KRef, MeterId, VatId},
    limits::SystemGuard,
    state::slog::{Event, Slog},
    state::{
        held::Held,
        keeping::Changes,
        keys,
        loaded_source::LoadedSource,
        notice::{Notice, SettledLaunch},
        stats::Stats,
        vat_config::ReapThreshold,
    },
};

/// The format of the kernel's keys and records. A kernel refuses any other.
pub const SCHEMA_VERSION: u32 = 6;

/// The records of which a kernel has one.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Globals {
    pub(crate) schema: u32,
    pub(crate) crank: u64,
    pub(crate) next_vat: u64,
    pub(crate) next_device: u64,
    pub(crate) next_object: u64,
    pub(crate) next_promise: u64,
    pub(crate) next_device_node: u64,
    pub(crate) next_meter: u64,
    pub(crate) next_upgrade: u64,
    pub(crate) next_remote: u64,
    /// The root object of the vatAdmin vat.
    pub(crate) vat_admin_root: Option<KRef>,
    /// The object that new accounts are provisioned by.
    pub(crate) provisioner_root: Option<KRef>,
    pub(crate) options: KernelOptions,
    /// The hash of all writes of all cranks so far, chained crank by crank.
    pub(crate) crank_chain: Hash,
    /// Number of vats that run.
    pub(crate) running_vats: u64,
    /// The position of the next terminated vat that waits for its cleanup.
    pub(crate) next_dead: u64,
    /// The krefs whose count fell to zero and that a later crank looks at: the position of the first one, and one past
    /// that of the last.
    pub(crate) waiting: (u64, u64),
    /// True if a crank left some of these, so that another one has to follow.
    pub(crate) is_collecting: bool,
}

/// Options of the kernel as a whole, part of the state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KernelOptions {
    /// The thresholds for `bringOutYourDead` of vats without their own.
    pub reap: ReapThreshold,
    /// Lets durable kinds hold what is not durable.
    pub relax_durability_rules: bool,
    /// Transcript entries after which an incarnation's first heap snapshot is due.
    pub snapshot_initial: u64,
    /// Transcript entries after which each further heap snapshot is due.
    pub snapshot_interval: u64,
    /// Computrons of deliveries since a vat's last heap snapshot after which the next one is due. Bringing
    /// the vat back costs at most these and one more delivery.
    pub snapshot_debt: u64,
    /// Releases references that SwingSet leaks: imports of an upgraded vat that nothing durable holds, and the references
    /// in the parameters of a creation or an upgrade that fails.
    pub collect_leaks: bool,
    /// Computrons that one crank may spend at most, metered vat or not.
    pub crank_limit: u64,
    /// The [`SystemGuard`]: limits and prices of the vats of the system.
    pub guard: SystemGuard,
    /// The [`Billing`] of meters.
    pub billing: Billing,
}

/// The state during a crank.
pub(crate) struct State<'a> {
    pub(crate) over: &'a mut dyn Overlay,
    pub(crate) stats: &'a mut Stats,
    pub(crate) slog: Option<&'a mut dyn Slog>,
    /// The other end of the bridge.
    pub(crate) application: Option<&'a mut dyn Application>,
    /// Objects and promises whose count fell to zero in this crank, in that order.
    pub(crate) maybe_free: MaybeFree,
    /// Vats whose worker is to be stopped when the crank is over.
    pub(crate) stopped: Vec<VatId>,
    /// Computrons that vats and their workers have spent in this crank, whether it is undone or not.
    pub(crate) spent: u64,
    /// References that were looked up or counted in this crank, and entries that were read for syscalls, whether it is
    /// undone or not.
    pub(crate) reads: u64,
    /// Is true if looks warm no keys up: while a delivery is only foreseen, which differs from node to node, and outside of
    /// cranks, where nobody pays for first looks.
    pub(crate) leaves_cold: bool,
    /// The most that may be [due](Self::due) before the end of the delivery that is being made.
    pub(crate) work_limit: Option<u64>,
    /// The meter that pays for this crank, once it was charged for what its vat did.
    pub(crate) payer: Option<MeterId>,
    /// The meter whose rest goes back to its owner, once it has paid for this crank.
    pub(crate) ended_meter: Option<MeterId>,
    /// Pages of the heap of which the crank took a snapshot, if it took one.
    pub(crate) snapshot_pages: Option<u64>,
    /// The source that a host loads for this crank, whether it is undone or not.
    pub(crate) loaded_source: Option<LoadedSource>,
    /// The vat that the crank creates, with its name, whether that is undone or not.
    pub(crate) creating: Option<(VatId, String)>,
    /// The reason why the kernel stops once this crank is complete. The crank is completed so that the state
    /// shows what led to it. The block is never committed.
    pub(crate) pending_panic: Option<KernelPanic>,
    /// This node keeps transcript entries that no replay needs.
    pub(crate) archive: bool,
    /// The engine's image on which new incarnations run.
    pub(crate) engine: Hash,
    /// Launches of subclusters to which something happened, until [`State::settle_launches`] follows it up.
    pub(crate) settled_launches: VecDeque<SettledLaunch>,
    /// True if the chain's bootstrap was fulfilled in this crank.
    pub(crate) bootstrapped: bool,
    /// What vats keep more or less since [`State::save`] was called last.
    pub(crate) kept: Changes,
    /// The notices of subclusters in this crank.
    pub(crate) notices: Vec<Notice>,
    /// Held for the length of the crank, and written back by [`State::save`].
    globals: Globals,
    saved_globals: Globals,
    /// Records that are read again and again.
    pub(crate) held: Held,
    /// Where a record is encoded.
    scratch: Vec<u8>,
}

/// A queue of krefs without duplicates.
#[derive(Clone, Default)]
pub(crate) struct MaybeFree {
    order: VecDeque<KRef>,
    waiting: std::collections::BTreeSet<KRef>,
}

impl MaybeFree {
    pub(crate) fn add(&mut self, kref: KRef) {
        if self.waiting.insert(kref) {
            self.order.push_back(kref);
        }
    }

    pub(crate) fn take(&mut self) -> Option<KRef> {
        let kref = self.order.pop_front()?;
        self.waiting.remove(&kref);
        Some(kref)
    }
}

impl<'a> State<'a> {
    /// Opens the state of an initialized kernel. What is held must be what `over` says.
    pub(crate) fn open(
        over: &'a mut dyn Overlay,
        stats: &'a mut Stats,
        slog: Option<&'a mut dyn Slog>,
        held: Held,
    ) -> Result<Self> {
        let globals = match held.take::<Globals>(0) {
            Some(globals) => *globals,
            None => read_globals(over)?,
        };
        Ok(Self { held, ..Self::new(over, stats, slog, globals) })
    }

    /// Ends the crank, whose records may be held for the next one if nothing else changes the state in between.
    pub(crate) fn into_held(self) -> Held {
        self.held.hold(0, Box::new(self.globals));
        self.held
    }

    pub(crate) fn new(
        over: &'a mut dyn Overlay,
        stats: &'a mut Stats,
        slog: Option<&'a mut dyn Slog>,
        globals: Globals,
    ) -> Self {
        let saved_globals = globals.clone();
        Self {
            over,
            stats,
            slog,
            application: None,
            maybe_free: MaybeFree::default(),
            stopped: vec![],
            spent: 0,
            reads: 0,
            leaves_cold: false,
            work_limit: None,
            payer: None,
            ended_meter: None,
            snapshot_pages: None,
            loaded_source: None,
            creating: None,
            pending_panic: None,
            archive: false,
            engine: Hash::default(),
            settled_launches: VecDeque::new(),
            bootstrapped: false,
            kept: Changes::new(),
            notices: vec![],
            globals,
            saved_globals,
            held: Held::default(),
            scratch: Vec::new(),
        }
    }

    /// Writes what is held in memory, so that the overlay's top level is complete.
    pub(crate) fn save(&mut self) -> Result<()> {
        self.settle_kept()?;
        if self.globals != self.saved_globals {
            let globals = self.globals.clone();
            self.put(keys::GLOBALS, &globals)?;
            self.saved_globals = globals;
        }
        Ok(())
    }

    /// Takes up again what the overlay says, after a rollback.
    pub(crate) fn reload(&mut self) -> Result<()> {
        self.held = Held::default();
        self.globals = read_globals(self.over)?;
        self.saved_globals = self.globals.clone();
        self.maybe_free = MaybeFree::default();
        self.settled_launches.clear();
        self.bootstrapped = false;
        self.kept.clear();
        self.notices.clear();
        Ok(())
    }

    /// Leaves what is still to be looked at to the next crank.
    pub(crate) fn postpone_refcounts(&mut self) -> Result<()> {
        for kref in std::mem::take(&mut self.maybe_free).order {
            self.postpone(kref)?;
        }
        Ok(())
    }

    /// Leaves a kref to be looked at to the next crank.
    pub(crate) fn postpone(&mut self, kref: KRef) -> Result<()> {
        let position = self.globals.waiting.1;
        self.put(&keys::waiting(position), &kref)?;
        self.globals.waiting.1 += 1;
        Ok(())
    }

    /// Takes up at most `limit` of those that were left to this crank.
    pub(crate) fn take_postponed(&mut self, limit: usize) -> Result<()> {
        let (first, end) = self.globals.waiting;
        let until = end.min(first.saturating_add(limit as u64));
        for position in first..until {
            let key = keys::waiting(position);
            let kref = self.need(&key)?;
            self.maybe_free.add(kref);
            self.over.delete(&key);
        }
        self.globals.waiting = if until == end { (0, 0) } else { (until, end) };
        Ok(())
    }

    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    pub(crate) fn globals_mut(&mut self) -> &mut Globals {
        &mut self.globals
    }

    pub(crate) fn get<T: BorshDeserialize>(&self, key: &[u8]) -> Result<Option<T>> {
        get_record(self.over, key)
    }

    pub(crate) fn need<T: BorshDeserialize>(&self, key: &[u8]) -> Result<T> {
        need(self.over, key)
    }

    pub(crate) fn put<T: BorshSerialize>(&mut self, key: &[u8], value: &T) -> Result<()> {
        self.scratch.clear();
        value.serialize(&mut self.scratch).map_err(unwritable)?;
        // The overlay keeps it, so it takes no more room than it needs.
        self.over.set(key, self.scratch.as_slice().to_vec());
        Ok(())
    }

    pub(crate) fn log(&mut self, event: Event<'_>) {
        if let Some(slog) = self.slog.as_mut() {
            slog.event(event);
        }
    }

    /// A vat id never used before.
    pub(crate) fn allocate_vat(&mut self) -> VatId {
        let id = self.globals.next_vat;
        self.globals.next_vat += 1;
        VatId(id)
    }
}

/// Reads a record. A damaged one is a [`KernelPanic`].
pub(crate) fn get_record<T: BorshDeserialize>(
    from: &(impl Read + ?Sized),
    key: &[u8],
) -> Result<Option<T>> {
    let mut record = None;
    from.lend(key, &mut |bytes| record = bytes.map(|bytes| decode(key, bytes)))?;
    record.transpose()
}

/// Reads a record that must be there.
pub(crate) fn need<T: BorshDeserialize>(from: &(impl Read + ?Sized), key: &[u8]) -> Result<T> {
    let missing = || inconsistent(format!("key {} is missing", String::from_utf8_lossy(key)));
    get_record(from, key)?.ok_or_else(missing)
}

pub(crate) fn decode<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T> {
    let damaged = |e| inconsistent(format!("key {} is damaged: {e}", String::from_utf8_lossy(key)));
    borsh::from_slice(bytes).map_err(damaged)
}

pub(crate) fn encode<T: BorshSerialize>(value: &T) -> Result<Vec<u8>> {
    borsh::to_vec(value).map_err(unwritable)
}

fn unwritable(error: borsh::io::Error) -> KernelPanic {
    inconsistent(format!("a record cannot be encoded: {error}"))
}

pub(crate) fn read_globals(from: &(impl Read + ?Sized)) -> Result<Globals> {
    let globals: Globals = get_record(from, keys::GLOBALS)?.ok_or_else(|| {
        inconsistent("there is no kernel in this state: it was never initialized")
    })?;
    if globals.schema != SCHEMA_VERSION {
        return Err(inconsistent(format!(
            "the state has kernel schema {}, this kernel knows {SCHEMA_VERSION}",
            globals.schema
        )));
    }
    Ok(globals)
}
