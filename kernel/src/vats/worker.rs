//! Workers: bringing vats back into memory, and handing them deliveries.

use capstan_abi::{Delivery, DeliveryResult, Fault, JsString, Syscall, SyscallResult};
use capstan_kernel_ports::{
    Computrons, VatId,
    ahead::Turn,
    host::{Delivered, HostFault, Printed, Start, StartCost, VatHost},
};

use crate::{
    capdata::KernelData,
    error::{KernelPanic, Result},
    ids::KRef,
    limits,
    state::{
        handle::State,
        slog::{Event, Slog},
        vat::{VatConfig, VatState},
    },
    vats::{
        ahead::{MadeAgain, RunsAhead, bring_back, repeat},
        online::Online,
        replay::{Outcome, Replay},
        source::{worker_options, worker_source},
        syscall::VatSyscalls,
        transcript::Entry,
    },
};

/// The reason why a vat ends whose meter does not cover what it does.
pub(crate) const METER_UNDERFLOW: &str = "meter underflow, vat terminated";

/// The result of a delivery.
pub(crate) struct Status {
    pub(crate) computrons: Option<Computrons>,
    /// A syscall was illegal.
    pub(crate) illegal: Option<KernelData>,
    /// The worker reported an error, trapped or ran out of something.
    pub(crate) error: Option<JsString>,
    /// The vat asked to end.
    pub(crate) exit: Option<(bool, KernelData)>,
}

/// The reason why a worker could not be started.
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

/// Brings the vat into memory if it is not there. Its worker starts from the last snapshot, or anew if there
/// is none, and replays its transcript from there.
pub(crate) fn bring_online<H: VatHost>(
    state: &mut State<'_>,
    host: &mut H,
    online: &mut Online,
    vat: VatId,
) -> std::result::Result<(), StartError> {
    let config = state.vat_config(vat)?;
    state.note_use(vat, &config)?;
    let before = state.vat(vat)?;
    let prepared = online.preparations.take(vat);
    let was_aside = online.come_back(vat);
    for idle in online.touch(vat, before.resident_bytes()) {
        host.stop(idle);
    }
    if host.is_running(vat) {
        return Ok(());
    }
    online.preparations.note_source(vat, &config);
    if was_aside && config.use_transcript {
        // It made room in vain.
        online.ahead.lose(vat, before.replay_debt);
        return Ok(repeat(state, host, vat)?);
    }
    if let Some(prepared) = prepared {
        let is_up_to_date = prepared.is_up_to_date(&before) && config.use_transcript;
        let deliveries = if is_up_to_date { host.take_prepared(vat) } else { None };
        if let Some(deliveries) = deliveries {
            state.log(Event::WorkerStart { vat, config: &config });
            log_replayed(state, vat, &before, deliveries);
            return Ok(());
        }
        if is_up_to_date {
            // The errand failed, for example because this block wrote the heap. All of it is done again below.
            online.ahead.lose(vat, before.replay_debt);
        }
        host.stop(vat);
    }
    let begins = before.is_new();
    state.begin_transcript(vat, &config)?;
    let record = state.vat(vat)?;
    state.log(Event::WorkerStart { vat, config: &config });
    let Started { cost, printed, verdict } = match config.use_transcript {
        true => {
            let started = replay_span(state, host, vat, &record)?;
            // What a replay starts again is part of the vat's return, and was printed before.
            match begins {
                true => started,
                false => Started { cost: None, printed: Vec::new(), ..started },
            }
        }
        false => {
            let source = worker_source(&*state.over, &config.bundle_id, config.engine)?;
            let options = worker_options(&*state.over, &config)?;
            let Start { verdict, cost, printed } = host.start(vat, &source, &options)?;
            if verdict.is_ok() {
                log_started(state.slog.as_mut(), vat, &record, 0);
            }
            let printed = if begins { printed } else { Vec::new() };
            Started { cost: Some(cost), printed, verdict: verdict.map_err(|refused| refused.0) }
        }
    };
    for Printed { source, level, text } in &printed {
        state.log(Event::Console { vat, source, level, text });
    }
    if let Some(cost) = cost {
        state.count_start(vat, &config, cost)?;
    }
    verdict.map_err(StartError::Source)
}

/// A worker's start.
struct Started {
    /// The cost of a start from a bundle, if there was one.
    cost: Option<StartCost>,
    /// What the bundle printed while it was loaded.
    printed: Vec<Printed>,
    /// The reason why the bundle cannot be started.
    verdict: std::result::Result<(), String>,
}

/// Starts the vat's worker and replays the kept part of its transcript.
fn replay_span<H: VatHost>(
    state: &mut State<'_>,
    host: &mut H,
    vat: VatId,
    record: &VatState,
) -> Result<Started> {
    let entries = record.span.end - record.kept_from;
    let mut deliveries = 0;
    let mut replay = Replay::new(state.over, vat, record.kept_from..record.span.end)?;
    while let Some(step) = replay.step(host)? {
        match step.outcome {
            Outcome::Same => deliveries += u64::from(step.is_delivery()),
            Outcome::NotStarted(problem) => {
                let (cost, printed) = (replay.start_cost(), replay.take_printed());
                return Ok(Started { cost, printed, verdict: Err(problem) });
            }
            Outcome::Differs(difference) => {
                return Err(KernelPanic::Anachrophobia {
                    vat,
                    position: step.position,
                    problem: difference.to_string(),
                });
            }
        }
        if step.position == record.kept_from {
            log_started(state.slog.as_mut(), vat, record, entries);
        }
    }
    let (cost, printed) = (replay.start_cost(), replay.take_printed());
    if entries > 1 {
        state.log(Event::Replay { vat, deliveries });
    }
    Ok(Started { cost, printed, verdict: Ok(()) })
}

/// Logs the return of a vat that an errand has brought back.
fn log_replayed(state: &mut State<'_>, vat: VatId, record: &VatState, deliveries: u64) {
    let entries = record.span.end - record.kept_from;
    log_started(state.slog.as_mut(), vat, record, entries);
    if entries > 1 {
        state.log(Event::Replay { vat, deliveries });
    }
}

/// Logs that a worker has started, between the steps of a replay, which holds the state's overlay. `entries` is the
/// number of transcript entries to replay.
fn log_started(slog: Option<&mut &mut dyn Slog>, vat: VatId, record: &VatState, entries: u64) {
    let Some(slog) = slog else { return };
    if let Some((heap, position)) = record.snapshot
        && position == record.kept_from
    {
        slog.event(Event::SnapshotLoaded { vat, heap });
    }
    slog.event(Event::WorkerStarted { vat });
    if entries > 1 {
        slog.event(Event::ReplayStart { vat, entries });
    }
}

/// A vat that had been started could not be brought back.
pub(crate) fn not_started(vat: VatId, error: StartError) -> KernelPanic {
    match error {
        StartError::Source(problem) => KernelPanic::Recreate { vat, problem },
        StartError::Panic(panic) => panic,
    }
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
    let config = state.vat_config(vat)?;
    state.note_use(vat, &config)?;
    if state.delivery_limit(&config)? == Computrons(0) {
        // The delivery would end at once. So a vat that cannot pay for its return is not brought back.
        let error = Some(METER_UNDERFLOW.into());
        return Ok(Status { computrons: None, illegal: None, error, exit: None });
    }
    bring_online(state, host, online, vat).map_err(|error| not_started(vat, error))?;
    let delivery_number = state.vat(vat)?.span.end;
    state.log(Event::Deliver {
        vat,
        config: &config,
        delivery_number,
        kernel,
        vat_delivery: &delivery,
    });
    let limit = state.delivery_limit(&config)?;
    let Ran { delivered, illegal, exit, record, is_exhausted } =
        run(state, (host, &mut online.ahead), (vat, &config), limit, kernel, &delivery)?;
    let (result, computrons) = (limits::cut_result(delivered.result), delivered.computrons);
    state.log(Event::DeliverResult {
        vat,
        result: &result,
        computrons,
        test_log: &delivered.test_log,
    });
    state.count(computrons.unwrap_or(limit));
    online.ahead.delivered(vat, computrons.unwrap_or(limit), &record);
    let is_meter_spent = limit < Computrons(state.globals().options.crank_limit);
    let error = match &result {
        _ if is_exhausted => Some(Fault::Compute.text().into()),
        DeliveryResult::Ok => None,
        DeliveryResult::Error(text) => Some(text.clone()),
    };
    let error = match error {
        Some(text) if is_meter_spent && text == Fault::Compute.text() => {
            Some(METER_UNDERFLOW.into())
        }
        error => error,
    };
    if config.use_transcript && computrons.is_some() {
        state.note_memory(vat, &config, host.memory_bytes(vat))?;
        for idle in online.touch(vat, state.vat(vat)?.resident_bytes()) {
            host.stop(idle);
        }
    }
    if !config.use_transcript {
        // What a worker holds besides the vat's store would depend on when it last left memory.
        host.stop(vat);
        online.forget(vat);
    }
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

/// A delivery that a worker was handed.
struct Ran {
    delivered: Delivered,
    illegal: Option<KernelData>,
    exit: Option<(bool, KernelData)>,
    /// Its syscalls.
    record: Vec<(Syscall, SyscallResult)>,
    /// The worker and the kernel together have done more than the limit allows.
    is_exhausted: bool,
}

/// Has the worker run a delivery, and answers its syscalls.
fn run<H: VatHost>(
    state: &mut State<'_>,
    (host, ahead): (&mut H, &mut RunsAhead),
    (vat, config): (VatId, &VatConfig),
    limit: Computrons,
    kernel: &Delivery<KRef>,
    delivery: &Delivery,
) -> Result<Ran> {
    let most = state.due().saturating_add(limit.0);
    state.work_limit = Some(most);
    let mut syscalls = VatSyscalls::new(state, vat, config, kernel, delivery);
    let delivered = hand_over(host, ahead, (vat, delivery, limit), &mut syscalls)?;
    let VatSyscalls { illegal, exit, panic, record, is_exhausted, .. } = syscalls;
    let left = state.work_limit.take().map_or(0, |most| most.saturating_sub(state.due()));
    if let Some(panic) = panic {
        return Err(panic);
    }
    if is_exhausted {
        // The host has unwound the worker, whatever it says.
        let result = DeliveryResult::Error(Fault::Compute.text().into());
        let delivered = Delivered { result, computrons: None, test_log: vec![] };
        return Ok(Ran { delivered, illegal, exit, record, is_exhausted });
    }
    let delivered = delivered?;
    let spent = delivered.computrons.map_or(0, |spent| spent.0);
    // Without work of the kernel the limit is the host's own affair.
    let is_exhausted = left < limit.0 && spent > left;
    Ok(Ran { delivered, illegal, exit, record, is_exhausted })
}

/// Has the worker run a delivery, or takes what it has run ahead. The inner error is the host's.
fn hand_over<H: VatHost>(
    host: &mut H,
    ahead: &mut RunsAhead,
    (vat, delivery, limit): (VatId, &Delivery, Computrons),
    syscalls: &mut VatSyscalls<'_, '_>,
) -> Result<std::result::Result<Delivered, HostFault>> {
    // The host may have made more ahead than the deliveries that it was handed.
    let turn = host.take_turn(vat, delivery, limit, syscalls);
    ahead.note_turn(vat, &turn);
    Ok(match turn {
        Turn::NotAhead => host.deliver(vat, delivery, limit, syscalls),
        Turn::Done(delivered) => delivered,
        Turn::Lost(made) => {
            bring_back(syscalls.state(), host, ahead, vat)?;
            let again = host.deliver(vat, delivery, limit, &mut MadeAgain::new(made, syscalls));
            let spent = again.as_ref().ok().and_then(|again| again.computrons).unwrap_or(limit);
            ahead.ran_in_vain(vat, spent);
            again
        }
    })
}
