//! The acceptance queue and the run queue.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Message;

pub use crate::state::{
    event::{GcKind, Payer, RunQueueEvent},
    event_json::event_to_json,
    place::{Place, TakenOut},
};
use crate::{
    error::Result,
    ids::{Endpoint, KRef},
    state::{handle::State, keys, promise::number_of},
};

/// Heads and tails of the two queues: positions of the first item and one past the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Queues {
    pub(crate) acceptance: (u64, u64),
    pub(crate) run: (u64, u64),
}

impl Queues {
    pub(crate) const EMPTY: Self = Self { acceptance: (1, 1), run: (1, 1) };
}

impl State<'_> {
    /// Puts an event on the acceptance queue. It takes over the references that it was given.
    pub(crate) fn accept(&mut self, event: RunQueueEvent) -> Result<()> {
        let mut queues = self.queues()?;
        self.put(&keys::acceptance(queues.acceptance.1), &event)?;
        queues.acceptance.1 += 1;
        self.stats.acceptance_queue_length.inc();
        self.put_queues(queues)
    }

    /// Takes the next event off the acceptance queue, with the place where it lay.
    pub(crate) fn next_accepted(&mut self) -> Result<Option<(RunQueueEvent, Place)>> {
        let mut queues = self.queues()?;
        if queues.acceptance.0 == queues.acceptance.1 {
            return Ok(None);
        }
        let key = keys::acceptance(queues.acceptance.0);
        let mut event = self.need(&key)?;
        let mut place = Place::Accepted(queues.acceptance.0);
        if let RunQueueEvent::Waited { promise, next, end } = event {
            event = self.take_waiting(promise, next)?;
            place = Place::Waiting { promise: number_of(promise)?, position: next };
            if next + 1 < end {
                self.put(&key, &RunQueueEvent::Waited { promise, next: next + 1, end })?;
                return Ok(Some((event, place)));
            }
        }
        if let RunQueueEvent::Subscribers { promise } = event {
            let (notification, follow) = self.take_subscriber(promise)?;
            if follow {
                return Ok(Some((notification, place)));
            }
            event = notification;
        }
        self.over.delete(&key);
        queues.acceptance.0 += 1;
        self.stats.acceptance_queue_length.dec();
        self.put_queues(queues)?;
        Ok(Some((event, place)))
    }

    pub(crate) fn schedule(&mut self, event: RunQueueEvent) -> Result<()> {
        let mut queues = self.queues()?;
        self.put(&keys::run(queues.run.1), &event)?;
        queues.run.1 += 1;
        self.stats.run_queue_length.inc();
        self.put_queues(queues)
    }

    pub(crate) fn next_scheduled(&mut self) -> Result<Option<RunQueueEvent>> {
        let mut queues = self.queues()?;
        if queues.run.0 == queues.run.1 {
            return Ok(None);
        }
        let key = keys::run(queues.run.0);
        let event = self.need(&key)?;
        self.over.delete(&key);
        queues.run.0 += 1;
        self.stats.run_queue_length.dec();
        self.put_queues(queues)?;
        Ok(Some(event))
    }

    /// Returns the place on which a delivery lay that was just taken off the run queue. Returns `None` if it
    /// came from no queue.
    pub(crate) fn taken_from(&self, event: &RunQueueEvent) -> Result<Option<Place>> {
        Ok(match event {
            RunQueueEvent::CollectGarbage { .. }
            | RunQueueEvent::NegatedGcAction
            | RunQueueEvent::BringOutYourDead { .. }
            | RunQueueEvent::CleanupTerminatedVat { .. } => None,
            _ => Some(Place::Run(self.queues()?.run.0 - 1)),
        })
    }

    pub(crate) fn queues(&self) -> Result<Queues> {
        if let Some(queues) = self.held.see(0, |queues: &Queues| *queues) {
            return Ok(queues);
        }
        let queues: Queues = self.need(keys::QUEUES)?;
        self.held.hold(0, Box::new(queues));
        Ok(queues)
    }

    fn put_queues(&mut self, queues: Queues) -> Result<()> {
        self.held.hold(0, Box::new(queues));
        self.put(keys::QUEUES, &queues)
    }

    /// Queues a message, which then holds its target, its result and its arguments.
    pub(crate) fn send(
        &mut self,
        target: KRef,
        message: Message<KRef>,
        payer: Payer,
    ) -> Result<()> {
        self.increment(target)?;
        if let Some(result) = message.result {
            self.increment(result)?;
        }
        self.increment_all(&message.methargs.slots)?;
        self.accept(RunQueueEvent::Send { target, message, payer })
    }

    /// Queues a notification, which then holds the promise.
    pub(crate) fn notify(&mut self, endpoint: Endpoint, promise: KRef) -> Result<()> {
        self.increment(promise)?;
        self.accept(RunQueueEvent::Notify { endpoint, promise })
    }

    /// Releases what a queued message held.
    pub(crate) fn release_send(&mut self, target: KRef, message: &Message<KRef>) -> Result<()> {
        self.decrement(target)?;
        if let Some(result) = message.result {
            self.decrement(result)?;
        }
        self.decrement_all(&message.methargs.slots)
    }
}
