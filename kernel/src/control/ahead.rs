//! Handing the next deliveries to the host before their turn.
//!
//! Before each delivery crank the kernel looks at the events behind the next one. Deliveries that can be foreseen, to a
//! vat that is in memory and has nothing else to do first, are handed to the host: the next ones of the vat, as a chain.
//! Further ones wait until all of them had their turn. That comes like any other, in [`worker`](crate::vats::worker), where a
//! delivery counts only if it is as foreseen.
//!
//! Vats that sleep and are sent something come back into memory ahead of their turn in the same way, and the sources of vats
//! that are about to start are loaded.

use std::collections::{BTreeSet, VecDeque};

use capstan_kernel_ports::{
    Computrons, VatId,
    ahead::{Ahead, AheadPlan, Expected},
    host::VatHost,
    store::Overlay,
};

use crate::{
    control::kernel::Kernel,
    crank::foresee::Foreseen,
    error::Result,
    state::{
        handle::{State, get_record, need},
        held::Held,
        keys,
        queue::{Queues, RunQueueEvent},
        stats::Stats,
        vat::{VatConfig, VatState, VatStatus},
    },
    vats::{
        ahead,
        online::Online,
        prepare::{Prepared, errand_of_source, errand_of_vat},
    },
};

/// Events that are looked at, for each vat that may be under way.
const LOOK_AHEAD: usize = 4;

/// The most deliveries of one vat that are handed over together. With the first one that is lost, the others are lost.
const MAX_CHAIN: usize = 4;

/// Events that may be handed over from which handing them over gains time.
const LEAST_WAITING: usize = 4;

/// Computrons that count as lost work if a source was loaded and its vat did not start.
const NEEDLESS_LOAD: u64 = 10_000_000;

/// The most cranks without a look at the queue, while nothing in it is worth running ahead.
const MAX_PAUSE: u32 = 32;

/// The beginning of the run queue, as the last look found it.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    events: VecDeque<Upcoming>,
    /// The position of the event after these.
    next: u64,
    /// Cranks until the next look.
    pause: u32,
    /// The pause after another look in vain.
    next_pause: u32,
}

/// An event on the run queue.
#[derive(Debug)]
struct Upcoming {
    position: u64,
    /// The vat to which it led when it was looked at.
    vat: Option<VatId>,
    /// The event itself, while it may be handed to the host.
    event: Option<RunQueueEvent>,
    /// The vat may come back into memory for it.
    may_wake: bool,
}

impl Outlook {
    /// Drops what has had its turn.
    fn pass(&mut self, first: u64) {
        while self.events.front().is_some_and(|event| event.position < first) {
            self.events.pop_front();
        }
        self.next = self.next.max(first);
    }
}

impl<H: VatHost> Kernel<H> {
    /// Hands deliveries to the host that come soon. The state does not show it. A fault of the store is left to the next
    /// crank, which meets it too.
    pub(crate) fn look_ahead(&mut self, over: &mut dyn Overlay) {
        let plan = self.host.ahead_plan();
        if plan.capacity == 0 {
            return;
        }
        let outlook = &mut self.outlook;
        if outlook.pause > 0 {
            outlook.pause -= 1;
            return;
        }
        let Ok(Some((first, end))) = behind_next(over) else { return };
        self.take_back(over, first);
        let outlook = &mut self.outlook;
        outlook.pass(first);
        let mut look = Look { host: &mut self.host, online: &mut self.online, plan };
        let is_busy = look.extend(over, outlook, end).is_ok()
            && (look.wake(over, outlook) | look.hand_over(over, outlook));
        outlook.next_pause = match is_busy {
            true => 0,
            false => (outlook.next_pause * 2 + 1).min(MAX_PAUSE),
        };
        outlook.pause = outlook.next_pause;
    }
}

impl<H: VatHost> Kernel<H> {
    /// Begins to look at another overlay, which may be of a later state.
    pub(crate) fn look_anew(&mut self, over: &mut dyn Overlay) {
        self.outlook = Outlook::default();
        self.online.ahead.begin_block();
        let (prepared, _) = self.online.preparations.size();
        if (self.online.ahead.under_way() > 0 || prepared > 0)
            && let Ok(Queues { run, .. }) = need(over, keys::QUEUES)
        {
            self.take_back(over, run.0);
        }
    }

    /// Takes vats back that run for events whose turn is over. They would hold a thread until they are told something else.
    fn take_back(&mut self, over: &mut dyn Overlay, first: u64) {
        while let Some(vat) = self.online.ahead.left_behind(first) {
            let mut stats = Stats::default();
            match State::open(over, &mut stats, None, Held::default()) {
                Ok(state) => ahead::take_back(&state, &mut self.host, &mut self.online.ahead, vat),
                // The next crank meets the fault.
                Err(_) => return,
            }
        }
        self.give_up(over, first);
    }

    /// Gives up what was prepared for events whose turn is over, and which did not need it.
    fn give_up(&mut self, over: &dyn Overlay, first: u64) {
        let Online { ahead, preparations, .. } = &mut self.online;
        while let Some(vat) = preparations.take_left_behind(first) {
            self.host.stop(vat);
            let record: Option<VatState> = get_record(over, &keys::vat_state(vat)).ok().flatten();
            ahead.lose(vat, record.map_or(0, |record| record.replay_debt));
        }
        while let Some(vat) = preparations.take_needless_load(first) {
            ahead.lose(vat, NEEDLESS_LOAD);
        }
    }
}

/// Returns the first and the last position of the run queue if its first event is delivered next, and others wait.
fn behind_next(over: &dyn Overlay) -> Result<Option<(u64, u64)>> {
    let Queues { acceptance, run } = need(over, keys::QUEUES)?;
    let is_next = acceptance.0 == acceptance.1 && run.1 - run.0 > 1;
    Ok((is_next && !comes_before_queue(over)?).then_some(run))
}

/// Returns whether something else is delivered before the next event of the run queue. It may go to any vat.
fn comes_before_queue(over: &dyn Overlay) -> Result<bool> {
    let has_gc = over.next_after(keys::GC_ACTIONS, keys::GC_ACTIONS)?.is_some();
    let reap: Option<Vec<VatId>> = get_record(over, keys::REAP)?;
    Ok(has_gc || reap.is_some_and(|vats| !vats.is_empty()))
}

/// A look at the run queue.
struct Look<'k, H> {
    host: &'k mut H,
    online: &'k mut Online,
    plan: AheadPlan,
}

impl<H: VatHost> Look<'_, H> {
    /// Takes in further events.
    fn extend(&mut self, over: &mut dyn Overlay, outlook: &mut Outlook, end: u64) -> Result<()> {
        let most = 1 + self.plan.capacity * LOOK_AHEAD;
        let mut stats = Stats::default();
        let state = State::open(over, &mut stats, None, Held::default())?;
        while outlook.events.len() < most && outlook.next < end {
            let position = outlook.next;
            let event: RunQueueEvent = state.need(&keys::run(position))?;
            let vat = state.receiver(&event)?;
            let is_message =
                matches!(event, RunQueueEvent::Send { .. } | RunQueueEvent::Notify { .. });
            let is_settled = match vat {
                Some(vat) if is_message => !self.is_worth_it(&state, vat)?,
                _ => true,
            };
            // The next event comes at once.
            if !outlook.events.is_empty()
                && let Some(started) = state.starts(&event, self.host.engine())?
            {
                self.load_ahead(&state, started, position)?;
            }
            let event = (!is_settled).then_some(event);
            outlook.events.push_back(Upcoming { position, vat, event, may_wake: true });
            outlook.next += 1;
        }
        Ok(())
    }

    /// Returns whether the vat's deliveries take so long that another thread is worth its price.
    fn is_worth_it(&self, state: &State<'_>, vat: VatId) -> Result<bool> {
        let Some(record) = state.find_vat(vat)? else { return Ok(false) };
        let average = record.computrons.checked_div(record.deliveries).unwrap_or(0);
        Ok(average >= self.plan.at_least.0 && state.vat_config(vat)?.use_transcript)
    }

    /// Has the source of a vat loaded that is about to start, unless it is loaded or the vat cannot pay.
    fn load_ahead(
        &mut self,
        state: &State<'_>,
        (vat, config): (VatId, VatConfig),
        position: u64,
    ) -> Result<()> {
        let may = self.may_prepare(vat) && state.delivery_limit(&config)? > Computrons(0);
        if may
            && !self.online.preparations.has_loaded(&config)
            && let Some(errand) = errand_of_source(&*state.over, vat, &config)
            && self.host.load_ahead(errand)
        {
            self.online.preparations.note_source(vat, &config);
            self.online.preparations.add_load(vat, position);
        }
        Ok(())
    }

    fn may_prepare(&self, vat: VatId) -> bool {
        self.plan.is_reckless || self.online.ahead.is_worth_it(vat)
    }

    /// Has vats come back into memory that sleep. Returns whether any does. A fault of the store is left to the vat's turn.
    fn wake(&mut self, over: &mut dyn Overlay, outlook: &mut Outlook) -> bool {
        // The next event comes at once, and brings its vat into memory for later ones.
        let next = outlook.events.front().and_then(|event| event.vat);
        for number in 1..outlook.events.len() {
            let Upcoming { position, vat: Some(vat), may_wake: true, .. } = outlook.events[number]
            else {
                continue;
            };
            if self.online.preparations.size().0 >= self.plan.capacity {
                break;
            }
            // One that is here may have left before its event.
            let is_here = Some(vat) == next
                || self.host.is_running(vat)
                || self.online.is_aside(vat)
                || self.online.preparations.contains(vat);
            if is_here || !self.may_prepare(vat) {
                continue;
            }
            // Without room it is tried again. There is none for later ones either.
            let waits = self.prepare(over, outlook, vat, position) == Ok(false);
            outlook.events[number].may_wake = waits;
            if waits {
                break;
            }
        }
        self.online.preparations.size().0 > 0
    }

    /// Has a vat come back into memory. Returns false if there is no room for it yet.
    fn prepare(
        &mut self,
        over: &mut dyn Overlay,
        outlook: &Outlook,
        vat: VatId,
        position: u64,
    ) -> Result<bool> {
        let mut stats = Stats::default();
        let state = State::open(over, &mut stats, None, Held::default())?;
        let may_come = |record: &VatState| record.status == VatStatus::Running && !record.is_new();
        let Some(record) = state.find_vat(vat)?.filter(may_come) else { return Ok(true) };
        let config = state.vat_config(vat)?;
        if !config.use_transcript || state.delivery_limit(&config)? == Computrons(0) {
            return Ok(true);
        }
        let Some(errand) = errand_of_vat(&*state.over, vat, &record, &config) else {
            return Ok(true);
        };
        let needed = outlook.events.iter().filter_map(|event| event.vat).collect();
        let Some(leaving) = self.online.make_room(record.resident_bytes(), &needed) else {
            return Ok(false);
        };
        leaving.into_iter().for_each(|vat| self.host.stop(vat));
        self.online.preparations.add(vat, Prepared::of(&record, position));
        self.host.prepare(vat, errand);
        Ok(true)
    }

    /// Hands over what can be handed over. Returns whether there was anything, or is under way.
    fn hand_over(&mut self, over: &mut dyn Overlay, outlook: &mut Outlook) -> bool {
        let mut found = self.online.ahead.under_way() > 0;
        // With fewer the kernel comes to them before a thread has gained anything.
        let waiting = outlook.events.iter().skip(1).filter(|event| event.event.is_some()).count();
        if !self.plan.is_reckless && waiting < LEAST_WAITING {
            return found;
        }
        for chain in self.chains(outlook) {
            found |= self.begin(over, outlook, &chain);
        }
        found
    }

    /// Returns what may be handed over now: for each vat its next events, as far as they may be foreseen together.
    fn chains(&self, outlook: &Outlook) -> Vec<Chain> {
        let mut chains = Vec::<Chain>::new();
        let (mut busy, mut newcomers) = (BTreeSet::new(), 0);
        let most = self.plan.capacity.saturating_sub(self.online.ahead.under_way());
        if most == 0 {
            return chains;
        }
        for (number, event) in outlook.events.iter().enumerate() {
            let Some(vat) = event.vat else { continue };
            // A vat that leaves memory before its turn would run in vain.
            let may_run = event.event.is_some() && self.online.stays(vat, newcomers);
            if !busy.insert(vat) {
                if let Some(chain) = chains.iter_mut().find(|chain| chain.vat == vat) {
                    chain.is_open &= may_run && chain.events.len() < MAX_CHAIN;
                    chain.events.extend(chain.is_open.then_some(number));
                }
                continue;
            }
            if self.online.ahead.has_begun(vat) {
                continue;
            }
            if !self.host.is_running(vat) {
                newcomers += usize::from(!self.online.is_aside(vat));
                continue;
            }
            // The next event runs on this thread at once.
            let may_run = may_run && number > 0 && chains.len() < most;
            if may_run && (self.plan.is_reckless || self.online.ahead.is_worth_it(vat)) {
                chains.push(Chain { vat, events: vec![number], is_open: true });
            }
        }
        chains
    }

    /// Hands deliveries to one vat over. A fault of the store is left to the turn of the first.
    fn begin(&mut self, over: &mut dyn Overlay, outlook: &mut Outlook, chain: &Chain) -> bool {
        over.push();
        let (mut positions, mut foreseen) = (VecDeque::new(), VecDeque::new());
        // What cannot be foreseen runs in its turn.
        let _ = self.foresee(over, outlook, chain, |position, delivery| {
            positions.push_back(position);
            foreseen.push_back(delivery);
        });
        over.rollback();
        let Some(last) = foreseen.back() else { return false };
        let then_snapshot = last.then_snapshot;
        let vat = chain.vat;
        let mut deliveries = foreseen
            .into_iter()
            .map(|Foreseen { delivery, limit, .. }| Expected { delivery, limit });
        let Some(first) = deliveries.next() else { return false };
        let Some(answers) = self.online.ahead.begin(over, vat, positions) else { return false };
        let (then, answers) = (deliveries.collect(), Box::new(answers));
        self.host.run_ahead(Ahead { vat, first, then, answers, then_snapshot });
        true
    }

    /// Foresees the deliveries of a chain until one is not known, or is followed by something else.
    fn foresee(
        &self,
        over: &mut dyn Overlay,
        outlook: &mut Outlook,
        chain: &Chain,
        mut found: impl FnMut(u64, Foreseen),
    ) -> Result<()> {
        let mut stats = Stats::default();
        let mut state = State::open(over, &mut stats, None, Held::default())?;
        state.leaves_cold = true;
        for (before, number) in chain.events.iter().enumerate() {
            let upcoming = &mut outlook.events[*number];
            // Those behind may be handed over again, if the kernel takes the chain back.
            let event = if before == 0 { upcoming.event.take() } else { upcoming.event.clone() };
            let Some(event) = event else { break };
            let Some(foreseen) = state.foresee(event, before as u64)? else { break };
            if foreseen.vat != chain.vat {
                break;
            }
            let is_last =
                foreseen.then_snapshot || (foreseen.may_be_interrupted && !self.plan.is_reckless);
            found(upcoming.position, foreseen);
            if is_last {
                break;
            }
        }
        Ok(())
    }
}

/// Events of one vat that may be foreseen together.
struct Chain {
    vat: VatId,
    /// Their places in the outlook.
    events: Vec<usize>,
    /// The next event of the vat may be one of them.
    is_open: bool,
}
