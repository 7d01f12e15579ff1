//! The execution of one crank: selection, routing or delivery, what survives an abort, and the crank chain.

use std::collections::BTreeSet;

use capstan_kernel_ports::{Computrons, Hash, VatId, host::VatHost};
use sha2::{Digest, Sha256};

use crate::{
    billing::Billing,
    crank::{
        deliver::Crank,
        policy::{CrankOutcome, KernelWork, RunPolicy},
        results::CrankResults,
    },
    error::{KernelPanic, Result},
    ids::MeterId,
    state::{
        handle::State,
        queue::{Place, RunQueueEvent, TakenOut},
        slog::{CrankType, Event, Writes},
        stats::Stats,
        subcluster::Notice,
        vat::EndKind,
    },
    vats::snapshot::{Snapshot, snapshot_if_due},
};

/// The work that is left for the owner of the workers when a crank is complete.
#[must_use]
pub(crate) struct Closing {
    /// The work of the kernel and the store, without its entries: the merge of the crank's level counts them.
    pub(crate) work: KernelWork,
    /// Vats whose worker has to be stopped.
    pub(crate) stopped: Vec<VatId>,
    /// The reason why the kernel stops, if it does.
    pub(crate) panic: Option<KernelPanic>,
    /// The notices of subclusters.
    pub(crate) notices: Vec<Notice>,
}

impl<H: VatHost> Crank<'_, '_, H> {
    /// Executes the next crank. Returns `None` if there is nothing to do. Events that `taken_out` names are skipped.
    pub(crate) fn execute(
        &mut self,
        policy: &mut dyn RunPolicy,
        taken_out: &mut BTreeSet<TakenOut>,
    ) -> Result<Option<(CrankOutcome, Closing)>> {
        let Some((crank_type, event, place)) = select(self.state, policy)? else {
            return Ok(None);
        };
        let crank = self.state.globals().crank;
        self.state.log(Event::CrankStart { crank, crank_type, message: &event, place });
        let outcome = match crank_type {
            _ if takes_out(taken_out, &event, place) => {
                self.state.skip(event)?;
                CrankOutcome::Empty
            }
            CrankType::Routing => {
                self.state.route_accepted(event)?;
                CrankOutcome::Empty
            }
            CrankType::Delivery => self.deliver_event(event)?,
        };
        self.state.settle_launches()?;
        let of_others = self.state.collect_for_others()?;
        self.state.process_refcounts()?;
        self.state.release_dropped_pages()?;
        if let Some(meter) = self.state.payer.take() {
            self.state.bill_kernel(meter, of_others)?;
        }
        if let Some(meter) = self.state.ended_meter.take() {
            self.state.give_back_rest(meter)?;
        }
        self.state.globals_mut().crank += 1;
        let closing = close(self.state, Some(crank))?;
        self.state.log(Event::CrankFinish { crank });
        Ok(Some((outcome, closing)))
    }
}

/// Returns true if an event is among those that are to be skipped, and removes its names.
fn takes_out(named: &mut BTreeSet<TakenOut>, event: &RunQueueEvent, place: Option<Place>) -> bool {
    if named.is_empty() {
        return false;
    }
    let names = [event.result().map(TakenOut::Result), place.map(TakenOut::Place)];
    // Both names of one message may have been given.
    names.into_iter().flatten().filter(|name| named.remove(name)).count() > 0
}

/// Takes the next thing to do: accepted events first, then cleanup of dead vats if the policy
/// allows it, garbage collection, reaping, and the run queue. Returns where it lay, too.
fn select(
    state: &mut State<'_>,
    policy: &mut dyn RunPolicy,
) -> Result<Option<(CrankType, RunQueueEvent, Option<Place>)>> {
    if let Some((event, place)) = state.next_accepted()? {
        return Ok(Some((CrankType::Routing, event, Some(place))));
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
        match state.next_scheduled()? {
            // What was let go of before has not been followed to its end.
            None if state.globals().is_collecting => Some(RunQueueEvent::NegatedGcAction),
            event => event,
        }
    };
    let Some(event) = event else { return Ok(None) };
    let place = state.taken_from(&event)?;
    Ok(Some((CrankType::Delivery, event, place)))
}

impl<H: VatHost> Crank<'_, '_, H> {
    /// Delivers an event, undoes what has to be undone, and applies what survives that.
    fn deliver_event(&mut self, event: RunQueueEvent) -> Result<CrankOutcome> {
        self.state.save()?;
        let stats = self.state.stats.clone();
        self.state.over.push();
        let mut results = self.process(event)?;
        match results.abort {
            true => self.abort(&mut results, stats)?,
            false => self.complete(&mut results)?,
        }
        self.apply(results)
    }

    /// Undoes the delivery but for what survives an abort.
    fn abort(&mut self, results: &mut CrankResults, stats: Stats) -> Result<()> {
        let state = &mut *self.state;
        state.count_undone();
        undo(state, results, stats)?;
        if state.globals().options.collect_leaks {
            state.decrement_all(&std::mem::take(&mut results.held))?;
        }
        state.note_loaded_again()?;
        if let Some((vat, _, info)) = &mut results.terminate {
            *info = state.replace_undone(*vat, info)?;
        }
        if let Some(charge) = &results.charge {
            state.collect(charge)?;
        }
        if let Some((vat, bundle_id, cause)) = results.failed_upgrade.take() {
            state.note_failed_upgrade(vat, bundle_id, &cause)?;
        }
        let Some((lost, cause)) = results.lost.take() else { return Ok(()) };
        if let Some(vat) = results.delivered {
            state.log(Event::DeliveryLost { vat, cause: &cause });
        }
        state.forgo(lost, &cause)
    }

    /// Keeps the delivery, and takes a snapshot of the vat's heap if one is due.
    fn complete(&mut self, results: &mut CrankResults) -> Result<()> {
        let Self { state, host, online } = self;
        state.save()?;
        state.over.keep();
        if let (Some(vat), false) = (results.delivered, results.upgraded) {
            let interval = state.globals().options.snapshot_interval;
            if let Snapshot::Failed(info) = snapshot_if_due(state, *host, online, vat, interval)? {
                results.terminate.get_or_insert((vat, true, info));
            }
        }
        Ok(())
    }

    /// Applies what a delivery leads to whether it was undone or not.
    fn apply(&mut self, results: CrankResults) -> Result<CrankOutcome> {
        let state = &mut *self.state;
        let bills_all = state.globals().options.billing.all_work;
        let CrankResults { delivered, computrons, meter, dirt, terminate, tell_vat_admin, .. } =
            results;
        let spent = if bills_all { Some(Computrons(state.spent)) } else { computrons };
        let mut payer = meter;
        if let Some(vat) = delivered
            && state.find_vat(vat)?.is_some()
        {
            state.note_spending(vat, spent)?;
            if bills_all {
                payer = state.vat_config(vat)?.meter;
            }
        }
        if let (Some(meter), Some(spent)) = (payer, spent) {
            state.charge_meter(meter, spent.0.into())?;
        }
        state.payer = payer;
        if let (Some(vat), Some(dirt)) = (delivered, dirt) {
            state.add_dirt(vat, dirt)?;
        }
        if let Some((vat, failure, info)) = terminate {
            state.terminate(vat, EndKind::by_itself(failure), &info)?;
        }
        if let Some(methargs) = tell_vat_admin {
            state.tell_vat_admin(methargs)?;
        }
        Ok(match (results.outcome, delivered, results.created) {
            (Some(outcome), ..) => outcome,
            (None, Some(_), true) => CrankOutcome::VatCreated { computrons },
            (None, Some(_), false) => CrankOutcome::Delivery { computrons },
            (None, None, _) => CrankOutcome::Empty,
        })
    }
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
    // What the delivery ended runs on.
    state.stopped.clear();
    if let Some(vat) = results.delivered {
        state.stopped.push(vat);
        state.note_stop(vat)?;
    }
    Ok(())
}

impl State<'_> {
    /// Follows the counts that fell to zero before this crank. Returns what that wrote, for which the crank's meter does
    /// not pay: a stranger may have let go of any number of references.
    pub(crate) fn collect_for_others(&mut self) -> Result<KernelWork> {
        if !self.has_postponed() {
            return Ok(KernelWork::default());
        }
        let before = self.crank_work();
        self.process_postponed()?;
        let after = self.crank_work();
        Ok(KernelWork {
            entries: after.entries.saturating_sub(before.entries),
            bytes: after.bytes.saturating_sub(before.bytes),
            reads: after.reads.saturating_sub(before.reads),
            ..KernelWork::default()
        })
    }

    /// Lets a meter pay for what the kernel and the store did in this crank, without the work for others.
    pub(crate) fn bill_kernel(&mut self, meter: MeterId, of_others: KernelWork) -> Result<()> {
        let billing = self.globals().options.billing;
        if billing == Billing::SWINGSET {
            return Ok(());
        }
        self.save()?;
        let KernelWork { entries, bytes, reads, .. } = self.crank_work();
        let entries = entries.saturating_sub(of_others.entries);
        let bytes = bytes.saturating_sub(of_others.bytes);
        let reads = reads.saturating_sub(of_others.reads);
        let snapshot = |pages| billing.restore.saturating_add(billing.page.saturating_mul(pages));
        let price = [billing.work(entries, bytes, reads), self.snapshot_pages.map_or(0, snapshot)]
            .into_iter()
            .fold(billing.crank, u64::saturating_add);
        self.charge_meter(meter, price.into())
    }

    /// Measures what the top level has written, and what was looked at.
    fn crank_work(&self) -> KernelWork {
        let mut work = KernelWork { reads: self.reads, ..KernelWork::default() };
        let over = &*self.over;
        over.top_writes(&mut |key, value| {
            work.entries += u64::from(!over.is_written_below(key));
            work.add_bytes(key, value);
        });
        work
    }
}

/// Completes the top level and chains its writes into the crank chain. `crank` is `None` for a change between
/// cranks.
pub(crate) fn close(state: &mut State<'_>, crank: Option<u64>) -> Result<Closing> {
    let stopped = std::mem::take(&mut state.stopped);
    state.loaded_source = None;
    let work = finish_level(state, crank)?;
    let notices = std::mem::take(&mut state.notices);
    Ok(Closing { work, stopped, panic: state.pending_panic.take(), notices })
}

/// Completes the top level and chains its writes into the crank chain. Returns what it took.
fn finish_level(state: &mut State<'_>, crank: Option<u64>) -> Result<KernelWork> {
    state.save()?;
    let mut hasher = Sha256::new();
    hasher.update(state.globals().crank_chain.0);
    let mut work = KernelWork {
        computrons: std::mem::take(&mut state.spent),
        reads: std::mem::take(&mut state.reads),
        snapshot_pages: state.snapshot_pages.take(),
        ..KernelWork::default()
    };
    state.over.top_writes(&mut |key, value| {
        work.add_bytes(key, value);
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
