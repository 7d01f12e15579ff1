//! The kernel: cranks, one after the other, each whole or not at all.

use std::collections::BTreeSet;

use capstan_abi::{CapData, Resolution};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::VatHost,
    store::{Overlay, Read},
};
use sha2::{Digest, Sha256};

use crate::{
    capdata::{self, Builder, KernelData},
    control::genesis::KernelConfig,
    crank::{
        deliver::{Crank, CrankResults},
        policy::{CrankOutcome, KernelWork, RunPolicy},
    },
    device::Application,
    error::{KernelPanic, Result},
    ids::{KRef, RemoteId},
    slog::{CrankType, Event, Slog, Writes},
    state::{
        handle::{State, get_record},
        keys,
        promise::ResultPolicy,
        queue::{Place, RunQueueEvent, TakenOut},
        remote::{RemoteError, Sent},
        stats::Stats,
    },
    vats::worker::{Online, Snapshot, snapshot_if_due},
};

/// Choices of this node alone; none is visible in the state.
#[derive(Clone, Copy, Debug)]
pub struct NodeOptions {
    /// How many vats may be in memory at once, at least 1.
    pub max_vats_online: usize,
    /// Keep the transcripts that no replay needs any more: of before the last snapshot, of earlier
    /// incarnations, of vats that ended.
    pub archive: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { max_vats_online: 50, archive: false }
    }
}

/// A kernel: a vat host, and what this node keeps in memory. All else is in the store, which every
/// call is handed as the overlay of the block in progress.
///
/// After an error of type [`KernelPanic`] the block must be discarded; the kernel repeats the same
/// error from then on.
pub struct Kernel<H> {
    host: H,
    online: Online,
    archive: bool,
    slog: Option<Box<dyn Slog + Send>>,
    application: Option<Box<dyn Application + Send>>,
    panic: Option<KernelPanic>,
    pub(crate) taken_out: BTreeSet<TakenOut>,
}

impl<H: std::fmt::Debug> std::fmt::Debug for Kernel<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("host", &self.host).field("panic", &self.panic).finish()
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Cranks that were executed.
    pub cranks: u64,
    /// Computrons that they spent.
    pub computrons: u64,
    /// True if nothing was left to do.
    pub idle: bool,
}

impl<H: VatHost> Kernel<H> {
    /// A kernel over an empty host. Vats are brought back from the store when they are needed.
    pub fn new(host: H, options: NodeOptions) -> Self {
        let NodeOptions { max_vats_online, archive } = options;
        let online = Online::new(max_vats_online);
        let taken_out = BTreeSet::new();
        Self { host, online, archive, slog: None, application: None, panic: None, taken_out }
    }

    /// Connects the other end of the bridge device.
    pub fn set_application(&mut self, application: Box<dyn Application + Send>) {
        self.application = Some(application);
    }

    /// Sends events to `slog` from now on.
    pub fn set_slog(&mut self, slog: Box<dyn Slog + Send>) {
        self.slog = Some(slog);
    }

    /// The vat host.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Writes the state of a new kernel: static vats to be started, devices, the bootstrap message.
    /// Returns the promise for what bootstrap answers.
    pub fn initialize(
        &mut self,
        over: &mut dyn Overlay,
        config: &KernelConfig,
    ) -> Result<Option<KRef>> {
        let engine = self.host.engine();
        over.push();
        let outcome = crate::control::genesis::initialize(over, config, engine);
        if outcome.is_ok() {
            over.merge()
        } else {
            over.rollback()
        }
        outcome
    }

    /// Executes cranks until `policy` says stop or nothing is left to do.
    pub fn run(&mut self, over: &mut dyn Overlay, policy: &mut dyn RunPolicy) -> Result<RunReport> {
        self.insist_sound()?;
        let mut stats = load_stats(over)?;
        let mut report = RunReport::default();
        loop {
            let Some((outcome, work)) = self.crank(over, &mut stats, policy)? else {
                report.idle = true;
                break;
            };
            report.cranks += 1;
            if let CrankOutcome::Delivery { computrons } | CrankOutcome::VatCreated { computrons } =
                &outcome
            {
                report.computrons += computrons.map_or(0, |c| c.0);
            }
            if !policy.crank_done(&outcome, &work) {
                break;
            }
        }
        if report.cranks > 0 {
            save_stats(over, &stats)?;
        }
        Ok(report)
    }

    /// Drops every vat from memory, as a restart of the node would.
    pub fn evict_all(&mut self) {
        while let Some(vat) = self.online.pop() {
            self.host.stop(vat);
        }
    }

    /// Installs a bundle whose bytes were verified, and tells the vatAdmin vat. False if it was
    /// there already.
    pub fn install_bundle(
        &mut self,
        over: &mut dyn Overlay,
        id: &str,
        bytes: Vec<u8>,
    ) -> Result<bool> {
        let key = keys::bundle(id);
        if over.get(&key)?.is_some() {
            return Ok(false);
        }
        self.between_cranks(over, |state| {
            let hash = state.over.put_blob(bytes);
            state.put(&key, &hash)?;
            let mut builder = Builder::default();
            let id = builder.text(id);
            state.tell_vat_admin(capdata::methargs(builder, "bundleInstalled", vec![id]))?;
            Ok(true)
        })
    }

    /// Sends a message to the root of a static vat. Returns the promise for its result, held for the
    /// caller.
    pub fn queue_to_vat_root(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        methargs: KernelData,
        policy: ResultPolicy,
    ) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(None) };
            let root = state.export_root(vat)?;
            let result = state.send_from_kernel(root, methargs, policy)?;
            state.increment(result)?;
            Ok(Some(result))
        })
    }

    /// Sends a message to an object or promise. Returns the promise for its result, held for the
    /// caller.
    pub fn queue_to_object(
        &mut self,
        over: &mut dyn Overlay,
        target: KRef,
        methargs: KernelData,
        policy: ResultPolicy,
    ) -> Result<KRef> {
        self.between_cranks(over, |state| {
            let result = state.send_from_kernel(target, methargs, policy)?;
            state.increment(result)?;
            Ok(result)
        })
    }

    /// Releases the caller's hold on a settled promise, and holds what its data refers to instead.
    ///
    /// Works on a kernel that panicked, too: what it came to may be looked at.
    pub fn take_resolution(&mut self, over: &mut dyn Overlay, promise: KRef) -> Result<()> {
        let panic = self.panic.take();
        let taken = self.release_resolution(over, promise);
        self.panic = self.panic.take().or(panic);
        taken
    }

    fn release_resolution(&mut self, over: &mut dyn Overlay, promise: KRef) -> Result<()> {
        self.between_cranks(over, |state| {
            let data = state.promise(promise)?.data().cloned();
            if let Some(data) = data {
                state.decrement(promise)?;
                state.increment_all(&data.slots)?;
            }
            Ok(())
        })
    }

    /// Holds the root of a static vat for good. None if there is no such vat.
    pub fn pin_vat_root(&mut self, over: &mut dyn Overlay, name: &str) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(None) };
            let root = state.export_root(vat)?;
            state.pin(root)?;
            Ok(Some(root))
        })
    }

    /// Ends a vat from outside. `reason` must be smallcaps without slots.
    pub fn terminate_vat(
        &mut self,
        over: &mut dyn Overlay,
        vat: VatId,
        reason: &KernelData,
    ) -> Result<()> {
        self.between_cranks(over, |state| state.terminate(vat, true, reason))
    }

    /// Schedules bringOutYourDead for every live vat that had a delivery after the positions given,
    /// and returns the positions for the next call.
    pub fn reap_all_vats(
        &mut self,
        over: &mut dyn Overlay,
        previous: &std::collections::BTreeMap<VatId, u64>,
    ) -> Result<std::collections::BTreeMap<VatId, u64>> {
        self.between_cranks(over, |state| {
            let mut positions = std::collections::BTreeMap::new();
            for vat in crate::view::live_vats(state.over)? {
                let end = state.vat(vat)?.span.end;
                let due = end > 0 && previous.get(&vat).copied().unwrap_or(0) < end;
                if due {
                    state.schedule_reap(vat)?;
                }
                if end > 0 {
                    positions.insert(vat, end + u64::from(due));
                }
            }
            Ok(positions)
        })
    }

    /// Takes a heap snapshot of every live vat whose transcript span has at least two entries.
    /// Returns the vats.
    pub fn snapshot_all_vats(&mut self, over: &mut dyn Overlay) -> Result<Vec<VatId>> {
        self.insist_sound()?;
        let mut stats = load_stats(over)?;
        over.push();
        let slog = self.slog.as_mut().map(|slog| slog.as_mut() as &mut dyn Slog);
        let mut state = State::open(over, &mut stats, slog)?.with_archive(self.archive);
        state.application =
            self.application.as_mut().map(|app| app.as_mut() as &mut dyn Application);
        let mut taken = Vec::new();
        for vat in crate::view::live_vats(state.over)? {
            match snapshot_if_due(&mut state, &mut self.host, &mut self.online, vat, 2)? {
                Snapshot::NotDue => {}
                Snapshot::Taken => taken.push(vat),
                Snapshot::Failed(info) => state.terminate(vat, true, &info)?,
            }
        }
        state.postpone_refcounts();
        let (stopped, doom) = (std::mem::take(&mut state.stopped), state.doom.take());
        finish_level(&mut state, None)?;
        save_stats(over, &stats)?;
        over.merge();
        stopped.into_iter().for_each(|vat| self.stop(vat));
        self.panic = doom;
        self.insist_sound()?;
        Ok(taken)
    }

    /// Does something with the workers that the state does not show.
    pub(crate) fn with_workers<T, E: From<KernelPanic>>(
        &mut self,
        over: &mut dyn Overlay,
        work: impl FnOnce(&mut State<'_>, &mut H, &mut Online) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.insist_sound()?;
        let mut stats = load_stats(over)?;
        over.push();
        let slog = self.slog.as_mut().map(|slog| slog.as_mut() as &mut dyn Slog);
        let outcome = match State::open(over, &mut stats, slog) {
            Ok(state) => {
                work(&mut state.with_archive(self.archive), &mut self.host, &mut self.online)
            }
            Err(panic) => Err(panic.into()),
        };
        over.rollback();
        outcome
    }

    /// What stopped the kernel is forgotten: its state is about to be replaced.
    pub(crate) fn forget_panic(&mut self) {
        self.panic = None;
    }

    /// The remote of an account; see [`crate::state::remote`]. Provisions it at the first call.
    pub fn provision(&mut self, over: &mut dyn Overlay, address: &str) -> Result<RemoteId> {
        self.between_cranks(over, |state| state.provision(address))
    }

    /// Sends a message as a remote.
    pub fn remote_send(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
        target: &str,
        methargs: CapData,
    ) -> std::result::Result<Sent, RemoteError> {
        self.between_cranks(over, |state| state.remote_send(remote, target, methargs))
    }

    /// A remote's name for its factory object or for the promise of it.
    pub fn factory(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
    ) -> std::result::Result<String, RemoteError> {
        self.between_cranks(over, |state| state.factory(remote))
    }

    /// Settles promises as a remote.
    pub fn remote_resolve(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
        resolutions: Vec<Resolution>,
    ) -> std::result::Result<(), RemoteError> {
        self.between_cranks(over, |state| state.remote_resolve(remote, resolutions))
    }

    /// Lets go of imports as a remote.
    pub fn remote_drop(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
        rrefs: &[String],
    ) -> std::result::Result<(), RemoteError> {
        self.between_cranks(over, |state| state.remote_drop(remote, rrefs))
    }

    /// Acknowledges a remote's outbox up to and including `sequence`.
    pub fn remote_acknowledge(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
        sequence: u64,
    ) -> std::result::Result<(), RemoteError> {
        self.between_cranks(over, |state| state.acknowledge(remote, sequence))
    }

    fn insist_sound(&self) -> Result<()> {
        match &self.panic {
            Some(panic) => Err(panic.clone()),
            None => Ok(()),
        }
    }

    /// Changes the state outside of cranks, whole or not at all.
    pub(crate) fn between_cranks<T, E: From<KernelPanic>>(
        &mut self,
        over: &mut dyn Overlay,
        change: impl FnOnce(&mut State<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.insist_sound()?;
        let mut stats = load_stats(over)?;
        over.push();
        let slog = self.slog.as_mut().map(|slog| slog.as_mut() as &mut dyn Slog);
        let mut state = State::open(over, &mut stats, slog)?.with_archive(self.archive);
        state.application =
            self.application.as_mut().map(|app| app.as_mut() as &mut dyn Application);
        let outcome = change(&mut state);
        match outcome {
            Ok(value) => {
                let stopped = std::mem::take(&mut state.stopped);
                state.postpone_refcounts();
                finish_level(&mut state, None)?;
                let doom = state.doom.take();
                for vat in stopped {
                    self.stop(vat);
                }
                save_stats(over, &stats)?;
                over.merge();
                self.panic = doom;
                self.insist_sound()?;
                Ok(value)
            }
            Err(error) => {
                over.rollback();
                Err(error)
            }
        }
    }

    /// One crank; none if there is nothing to do.
    fn crank(
        &mut self,
        over: &mut dyn Overlay,
        stats: &mut Stats,
        policy: &mut dyn RunPolicy,
    ) -> Result<Option<(CrankOutcome, KernelWork)>> {
        over.push();
        let outcome = self.crank_in_level(over, stats, policy);
        match &outcome {
            Ok(Some(_)) => over.merge(),
            Ok(None) => over.rollback(),
            Err(panic) => self.panic = Some(panic.clone()),
        }
        if self.panic.is_some() {
            save_stats(over, stats)?;
        }
        outcome.and_then(|outcome| self.insist_sound().map(|()| outcome))
    }

    fn crank_in_level(
        &mut self,
        over: &mut dyn Overlay,
        stats: &mut Stats,
        policy: &mut dyn RunPolicy,
    ) -> Result<Option<(CrankOutcome, KernelWork)>> {
        let slog = self.slog.as_mut().map(|slog| slog.as_mut() as &mut dyn Slog);
        let mut state = State::open(over, stats, slog)?.with_archive(self.archive);
        state.application =
            self.application.as_mut().map(|app| app.as_mut() as &mut dyn Application);
        let Some((crank_type, event)) = select(&mut state, policy)? else { return Ok(None) };
        let crank = state.globals().crank;
        let place = state.taken_from(crank_type, &event)?;
        state.log(Event::CrankStart { crank, crank_type, message: &event, place });
        let outcome = match crank_type {
            _ if takes_out(&mut self.taken_out, &event, place) => {
                state.do_without(event)?;
                CrankOutcome::Empty
            }
            CrankType::Routing => {
                state.route_accepted(event)?;
                CrankOutcome::Empty
            }
            CrankType::Delivery => {
                deliver_event(&mut state, &mut self.host, &mut self.online, event)?
            }
        };
        state.process_refcounts()?;
        state.postpone_refcounts();
        state.release_parting_pages()?;
        state.globals_mut().crank += 1;
        let stopped = std::mem::take(&mut state.stopped);
        let work = finish_level(&mut state, Some(crank))?;
        state.log(Event::CrankFinish { crank });
        let doom = state.doom.take();
        self.panic = doom;
        for vat in stopped {
            self.stop(vat);
        }
        Ok(Some((outcome, work)))
    }

    fn stop(&mut self, vat: VatId) {
        self.host.stop(vat);
        self.online.forget(vat);
    }
}

/// Whether an event is one of those that are to be taken out; it is none of them any more then.
fn takes_out(named: &mut BTreeSet<TakenOut>, event: &RunQueueEvent, place: Option<Place>) -> bool {
    if named.is_empty() {
        return false;
    }
    let names = [event.result().map(TakenOut::Result), place.map(TakenOut::Place)];
    // Both names of one message may have been given.
    names.into_iter().flatten().filter(|name| named.remove(name)).count() > 0
}

/// Takes the next thing to do: accepted events first, then cleanup of dead vats if the policy
/// allows it, garbage collection, reaping, and the run queue.
fn select(
    state: &mut State<'_>,
    policy: &mut dyn RunPolicy,
) -> Result<Option<(CrankType, RunQueueEvent)>> {
    if let Some(event) = state.next_accepted()? {
        return Ok(Some((CrankType::Routing, event)));
    }
    let dead = match policy.allow_cleanup() {
        Some(budget) => state.next_dead()?.map(|vat| (vat, budget)),
        None => None,
    };
    let event = if let Some((vat, budget)) = dead {
        Some(RunQueueEvent::CleanupTerminatedVat { vat, budget })
    } else if let Some(event) = state.next_gc()? {
        Some(event)
    } else if let Some(vat) = state.next_reap()? {
        Some(RunQueueEvent::BringOutYourDead { vat })
    } else {
        state.next_scheduled()?
    };
    Ok(event.map(|event| (CrankType::Delivery, event)))
}

/// Delivers an event, undoes what has to be undone, and applies what survives that.
fn deliver_event<H: VatHost>(
    state: &mut State<'_>,
    host: &mut H,
    online: &mut Online,
    event: RunQueueEvent,
) -> Result<CrankOutcome> {
    state.save()?;
    let stats = state.stats.clone();
    state.over.push();
    let mut results = Crank { state, host, online }.process(event)?;
    // What it takes to bring the worker of a vat of the system back, which lost a delivery.
    let mut replay = 0;
    if results.abort {
        undo(state, &results, stats)?;
        if let Some((.., info)) = &mut results.terminate {
            *info = state.replace_undone(info)?;
        }
        if let Some(charge) = &results.charge {
            state.collect(charge)?;
        }
        if let Some((lost, cause)) = results.lost.take() {
            if let Some(vat) = results.delivered {
                state.log(Event::DeliveryLost { vat, cause: &cause });
                replay = state.vat(vat)?.replay_debt;
            }
            state.forgo(lost, &cause)?;
        }
    } else {
        state.save()?;
        state.over.merge();
        if let (Some(vat), false) = (results.delivered, results.upgraded) {
            let interval = state.globals().options.snapshot_interval;
            if let Snapshot::Failed(info) = snapshot_if_due(state, host, online, vat, interval)? {
                results.terminate.get_or_insert((vat, true, info));
            }
        }
    }
    let CrankResults { delivered, computrons, meter, dirt, terminate, tell_vat_admin, .. } =
        results;
    if let Some(vat) = delivered
        && state.find_vat(vat)?.is_some()
    {
        state.note_spending(vat, computrons)?;
    }
    if let (Some(meter), Some(spent)) = (meter, computrons) {
        state.charge_meter(meter, spent)?;
    }
    if let (Some(vat), Some(dirt)) = (delivered, dirt) {
        state.add_dirt(vat, dirt)?;
    }
    if let Some((vat, failure, info)) = terminate {
        state.terminate(vat, failure, &info)?;
    }
    if let Some(methargs) = tell_vat_admin {
        state.tell_vat_admin(methargs)?;
    }
    let computrons = computrons.map(|spent| Computrons(spent.0.saturating_add(replay)));
    Ok(match (results.outcome, delivered, results.created) {
        (Some(outcome), ..) => outcome,
        (None, Some(_), true) => CrankOutcome::VatCreated { computrons },
        (None, Some(_), false) => CrankOutcome::Delivery { computrons },
        (None, None, _) => CrankOutcome::Empty,
    })
}

/// Rolls the delivery back: to before it, or, if the event is to be tried again, to before it was
/// taken off its queue. The worker has seen what never happened and is dropped.
fn undo(state: &mut State<'_>, results: &CrankResults, stats: Stats) -> Result<()> {
    state.over.rollback();
    *state.stats = stats;
    if !results.consume {
        state.over.rollback();
        state.over.push();
    }
    state.reload()?;
    if let Some(vat) = results.delivered {
        state.stopped.push(vat);
    }
    Ok(())
}

/// Completes the top level and chains its writes into the crank chain. Returns what it took.
fn finish_level(state: &mut State<'_>, crank: Option<u64>) -> Result<KernelWork> {
    state.save()?;
    let mut hasher = Sha256::new();
    hasher.update(state.globals().crank_chain.0);
    let mut work = KernelWork { snapshot: state.snapshot_spent.take(), ..KernelWork::default() };
    state.over.top_writes(&mut |key, value| {
        work.entries += u64::from(!state.over.is_written_below(key));
        work.bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        hasher.update((key.len() as u64).to_be_bytes());
        hasher.update(key);
        match value {
            Some(value) => {
                hasher.update([1]);
                hasher.update((value.len() as u64).to_be_bytes());
                hasher.update(value);
            }
            None => hasher.update([0]),
        }
    });
    let hash = Hash(hasher.finalize().into());
    if let Some(slog) = state.slog.as_mut() {
        slog.event(Event::Chained { crank, hash, writes: Writes(&*state.over) });
    }
    state.globals_mut().crank_chain = hash;
    state.save().map(|()| work)
}

fn load_stats(from: &(impl Read + ?Sized)) -> Result<Stats> {
    Ok(get_record(from, keys::STATS)?.unwrap_or_default())
}

fn save_stats(over: &mut dyn Overlay, stats: &Stats) -> Result<()> {
    over.set(keys::STATS, crate::state::handle::encode(stats)?);
    Ok(())
}
