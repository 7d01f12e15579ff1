//! Handing the next deliveries to the host before their turn.
//!
//! Before each delivery crank the kernel looks at the events behind the next one. A delivery that can be foreseen, to a
//! vat that is in memory and has nothing else to do first, is handed to the host. At most one is under way for each vat.
//! Its turn comes like any other, in [`worker`](crate::vats::worker), where it counts only if it is as foreseen.

use std::collections::{BTreeSet, VecDeque};

use capstan_kernel_ports::{
    VatId,
    ahead::{Ahead, AheadPlan},
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
    },
    vats::{ahead, online::Online},
};

/// Events that are looked at, for each delivery that may be under way.
const LOOK_AHEAD: usize = 2;

/// Events that may be handed over from which handing them over gains time.
const LEAST_WAITING: usize = 4;

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
        let is_busy = look.extend(over, outlook, end).is_ok() && look.hand_over(over, outlook);
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
        if self.online.ahead.under_way() > 0
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
            let event = (!is_settled).then_some(event);
            outlook.events.push_back(Upcoming { position, vat, event });
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

    /// Hands over what can be handed over. Returns whether there was anything, or is under way.
    fn hand_over(&mut self, over: &mut dyn Overlay, outlook: &mut Outlook) -> bool {
        let (mut busy, mut newcomers) = (BTreeSet::new(), 0);
        let mut found = self.online.ahead.under_way() > 0;
        // With fewer the kernel would soon wait for a thread, which takes longer than to run the delivery here.
        let waiting = outlook.events.iter().skip(1).filter(|event| event.event.is_some()).count();
        if !self.plan.is_reckless && waiting < LEAST_WAITING {
            return found;
        }
        for (number, event) in outlook.events.iter_mut().enumerate() {
            if self.online.ahead.under_way() >= self.plan.capacity {
                break;
            }
            let Some(vat) = event.vat else { continue };
            let is_first = busy.insert(vat) && !self.online.ahead.has_begun(vat);
            if is_first && !self.host.is_running(vat) {
                newcomers += 1;
                continue;
            }
            // The next event runs on this thread at once. A vat that leaves memory before its turn would run in vain.
            if number == 0 || !is_first || !self.online.stays(vat, newcomers) {
                continue;
            }
            let position = event.position;
            let Some(event) = event.event.take() else { continue };
            if self.plan.is_reckless || self.online.ahead.is_worth_it(vat) {
                found |= self.begin(over, event, vat, position);
            }
        }
        found
    }

    /// Hands one delivery over. A fault of the store is left to the delivery's turn.
    fn begin(
        &mut self,
        over: &mut dyn Overlay,
        event: RunQueueEvent,
        vat: VatId,
        position: u64,
    ) -> bool {
        over.push();
        let foreseen = foresee(over, event);
        over.rollback();
        let Ok(Some(foreseen)) = foreseen else { return false };
        let Foreseen { vat: receiver, delivery, limit, then_snapshot } = foreseen;
        if receiver != vat {
            return false;
        }
        let Some(answers) = self.online.ahead.begin(over, vat, position) else { return false };
        let answers = Box::new(answers);
        self.host.run_ahead(Ahead { vat, delivery, limit, answers, then_snapshot });
        true
    }
}

fn foresee(over: &mut dyn Overlay, event: RunQueueEvent) -> Result<Option<Foreseen>> {
    let mut stats = Stats::default();
    State::open(over, &mut stats, None, Held::default())?.foresee(event)
}
