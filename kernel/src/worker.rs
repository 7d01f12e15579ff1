//! Workers: bringing vats back into memory, and handing them deliveries.

use std::collections::VecDeque;

use capstan_abi::{Delivery, DeliveryResult};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{VatHost, WorkerOptions, WorkerSource},
};

use crate::{
    capdata::{self, KernelData},
    error::{KernelPanic, Result, inconsistent},
    heap,
    ids::KRef,
    keys,
    slog::Event,
    state::State,
    syscall::VatSyscalls,
    transcript::{Entry, Replay},
    vat::{VatConfig, VatState},
};

/// The vats in memory, in the order of their last use.
#[derive(Debug)]
pub(crate) struct Online {
    order: VecDeque<VatId>,
    max: usize,
}

impl Online {
    pub(crate) fn new(max: usize) -> Self {
        Self { order: VecDeque::new(), max: max.max(1) }
    }

    /// Notes a use; returns the vat that has to leave memory for it.
    fn touch(&mut self, vat: VatId) -> Option<VatId> {
        if self.order.back() == Some(&vat) {
            return None;
        }
        self.forget(vat);
        self.order.push_back(vat);
        if self.order.len() > self.max { self.order.pop_front() } else { None }
    }

    pub(crate) fn pop(&mut self) -> Option<VatId> {
        self.order.pop_front()
    }

    pub(crate) fn forget(&mut self, vat: VatId) {
        self.order.retain(|other| *other != vat);
    }
}

/// How a delivery went.
pub(crate) struct Status {
    pub(crate) computrons: Option<Computrons>,
    /// A syscall was illegal.
    pub(crate) illegal: Option<KernelData>,
    /// The worker reported an error, trapped or ran out of something.
    pub(crate) error: Option<String>,
    /// The vat asked to end.
    pub(crate) exit: Option<(bool, KernelData)>,
}

/// Why a worker could not be started.
pub(crate) enum StartError {
    /// The source is at fault.
    Source(String),
    /// Something else is.
    Panic(KernelPanic),
}

impl<E: Into<KernelPanic>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self::Panic(error.into())
    }
}

/// Brings the vat into memory if it is not there: its worker starts from the last snapshot, or anew if
/// there is none, and replays its transcript from there.
pub(crate) fn bring_online<H: VatHost>(
    state: &mut State<'_>,
    host: &mut H,
    online: &mut Online,
    vat: VatId,
) -> std::result::Result<(), StartError> {
    if host.is_running(vat) {
        if let Some(idle) = online.touch(vat) {
            host.stop(idle);
        }
        return Ok(());
    }
    let config = state.vat_config(vat)?;
    if config.use_transcript && state.vat(vat)?.span.entries() == 0 {
        let entry =
            Entry::InitializeWorker { bundle_id: config.bundle_id.clone(), engine: config.engine };
        state.append_entry(vat, &entry)?;
    }
    let source = worker_source(state, &config)?;
    if let Some(idle) = online.touch(vat) {
        host.stop(idle);
    }
    match from_snapshot(&state.vat(vat)?) {
        Some(heap) => {
            heap::restore(state.over, host, vat, &source, heap)?;
            state.log(Event::SnapshotLoaded { vat, heap });
        }
        None => host
            .start(vat, &source, &worker_options(state, &config))?
            .map_err(StartError::Source)?,
    }
    if config.use_transcript {
        replay(state, host, vat)?;
    }
    Ok(())
}

/// The heap from which the vat comes back; none if its incarnation is replayed from the start.
fn from_snapshot(record: &VatState) -> Option<Hash> {
    let (heap, position) = record.snapshot?;
    (position == record.kept_from).then_some(heap)
}

fn worker_options(state: &State<'_>, config: &VatConfig) -> WorkerOptions {
    WorkerOptions {
        enable_disavow: config.enable_disavow,
        relax_durability_rules: state.globals().options.relax_durability_rules,
    }
}

fn worker_source(state: &State<'_>, config: &VatConfig) -> Result<WorkerSource> {
    let id = &config.bundle_id;
    let missing = || inconsistent(format!("bundle {id} is missing"));
    let hash = state.get(&keys::bundle(id))?.ok_or_else(missing)?;
    let bytes = state.over.blob(&hash)?.ok_or_else(missing)?;
    Ok(match id.starts_with("w1-") {
        true => WorkerSource::Wasm { module: bytes },
        false => {
            WorkerSource::JavaScript { engine: config.engine, bundle_id: id.clone(), zip: bytes }
        }
    })
}

/// Hands the worker every delivery that is kept again, answers its syscalls from the transcript, and
/// compares all that it does.
fn replay<H: VatHost>(state: &mut State<'_>, host: &mut H, vat: VatId) -> Result<()> {
    let record = state.vat(vat)?;
    let limit = Computrons(state.globals().options.crank_limit);
    let mut deliveries = 0;
    for position in record.kept_from..record.span.end {
        let entry = state.need(&keys::transcript(vat, position))?;
        deliveries += u64::from(matches!(entry, Entry::Delivery { .. }));
        replay_entry(host, vat, position, &entry, limit)?;
    }
    if deliveries > 0 {
        state.log(Event::Replay { vat, deliveries });
    }
    Ok(())
}

/// Does again what an entry says was done.
///
/// # Errors
/// [`KernelPanic::Anachrophobia`] with the first difference, or a fault of this node.
pub(crate) fn replay_entry<H: VatHost>(
    host: &mut H,
    vat: VatId,
    position: u64,
    entry: &Entry,
    limit: Computrons,
) -> Result<()> {
    let differs = |problem: String| KernelPanic::Anachrophobia { vat, position, problem };
    let (delivery, syscalls, result, computrons) = match entry {
        Entry::Delivery { delivery, syscalls, result, computrons } => {
            (delivery, syscalls, result, computrons)
        }
        Entry::SaveSnapshot { heap } => {
            return match host.heap(vat) {
                Some((found, _)) if found != *heap => {
                    Err(differs(format!("the heap is {found}, expected {heap}")))
                }
                _ => Ok(()),
            };
        }
        // A span's first heap is the last one of the span before, or was checked when it was restored.
        Entry::LoadSnapshot { .. } | Entry::InitializeWorker { .. } | Entry::ShutdownWorker => {
            return Ok(());
        }
    };
    let mut answers = Replay::new(syscalls);
    let delivered = host.deliver(vat, delivery, limit, &mut answers);
    if let Some(problem) = answers.finish() {
        return Err(differs(problem));
    }
    let delivered = delivered?;
    if delivered.result != *result {
        return Err(differs(format!("got {:?}, expected {result:?}", delivered.result)));
    }
    if delivered.computrons != *computrons {
        let (got, expected) = (delivered.computrons, computrons);
        return Err(differs(format!("spent {got:?}, expected {expected:?}")));
    }
    Ok(())
}

/// What came of looking whether a snapshot is due.
pub(crate) enum Snapshot {
    /// It was not.
    NotDue,
    /// It was taken.
    Taken,
    /// The vat failed to bring out its dead: it has to end, with this.
    Failed(KernelData),
}

/// Takes a snapshot of the vat's heap if one is due: the first when its span has `snapshot_initial`
/// entries, later ones when it has `interval`, and any when replaying the span would cost
/// `snapshot_debt`. The vat brings out its dead first, for nothing.
pub(crate) fn snapshot_if_due<H: VatHost>(
    state: &mut State<'_>,
    host: &mut H,
    online: &mut Online,
    vat: VatId,
    interval: u64,
) -> Result<Snapshot> {
    let record = state.vat(vat)?;
    let entries = record.span.entries();
    let options = &state.globals().options;
    let due = entries >= interval
        || (record.snapshot.is_none() && entries >= options.snapshot_initial)
        || record.replay_debt >= options.snapshot_debt;
    if !due || !state.vat_config(vat)?.use_transcript {
        return Ok(Snapshot::NotDue);
    }
    state.save()?;
    state.over.push();
    let maybe_free = state.maybe_free.clone();
    let reap = Delivery::BringOutYourDead;
    let status = deliver(state, host, online, vat, &Delivery::BringOutYourDead, reap)?;
    if let Some(info) = status.illegal.or(status.error.map(|text| capdata::error(&text))) {
        state.over.rollback();
        state.reload()?;
        state.maybe_free = maybe_free;
        return Ok(Snapshot::Failed(info));
    }
    take_snapshot(state, host, vat)?;
    state.save()?;
    state.over.merge();
    Ok(Snapshot::Taken)
}

fn take_snapshot<H: VatHost>(state: &mut State<'_>, host: &mut H, vat: VatId) -> Result<()> {
    state.log(Event::SnapshotStart { vat });
    let image = host.heap_image(vat)?;
    let pages = image.as_ref().map_or(0, |image| image.pages.len() as u64);
    let heap = image.as_ref().map_or(Hash::default(), |image| image.hash);
    state.append_entry(vat, &Entry::SaveSnapshot { heap })?;
    state.roll_span(vat)?;
    state.append_entry(vat, &Entry::LoadSnapshot { heap })?;
    let position = state.vat(vat)?.span.start;
    state.update_vat(vat, |state| state.snapshot = Some((heap, position)))?;
    match image {
        Some(image) => {
            state.save_heap(host, vat, &image)?;
            state.prune_transcript(vat, position)?;
        }
        // The vat comes back by replay alone: all of it stays.
        None => state.update_vat(vat, |state| state.replay_debt = 0)?,
    }
    state.log(Event::SnapshotSaved { vat, heap, pages, position });
    Ok(())
}

/// Hands the vat a translated delivery, and records it in the transcript.
pub(crate) fn deliver<H: VatHost>(
    state: &mut State<'_>,
    host: &mut H,
    online: &mut Online,
    vat: VatId,
    kernel: &Delivery<KRef>,
    delivery: Delivery,
) -> Result<Status> {
    bring_online(state, host, online, vat).map_err(|error| match error {
        StartError::Source(problem) => KernelPanic::Recreate { vat, problem },
        StartError::Panic(panic) => panic,
    })?;
    let config = state.vat_config(vat)?;
    let delivery_number = state.vat(vat)?.span.end;
    state.log(Event::Deliver { vat, delivery_number, kernel, vat_delivery: &delivery });
    let limit = Computrons(state.globals().options.crank_limit);
    let mut syscalls = VatSyscalls::new(state, vat, config.enable_pipelining);
    let delivered = host.deliver(vat, &delivery, limit, &mut syscalls);
    let VatSyscalls { illegal, exit, panic, record, .. } = syscalls;
    if let Some(panic) = panic {
        return Err(panic);
    }
    let delivered = delivered?;
    let (result, computrons) = (delivered.result, delivered.computrons);
    state.log(Event::DeliverResult {
        vat,
        result: &result,
        computrons,
        test_log: &delivered.test_log,
    });
    let error = match &result {
        DeliveryResult::Ok => None,
        DeliveryResult::Error(text) => Some(text.clone()),
    };
    let was_reap = delivery == Delivery::BringOutYourDead;
    if config.use_transcript {
        let entry = Entry::Delivery { delivery, syscalls: record, result, computrons };
        state.append_entry(vat, &entry)?;
    }
    if was_reap {
        state.update_vat(vat, |state| state.dirt = Default::default())?;
    }
    Ok(Status { computrons, illegal, error, exit })
}
