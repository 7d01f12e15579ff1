//! The acceptance queue and the run queue, and what lies on them.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{JsString, Message};
use capstan_kernel_ports::VatId;

pub use crate::state::{
    event_json::event_to_json,
    place::{Place, TakenOut},
};
use crate::{
    capdata::KernelData,
    error::Result,
    ids::{Endpoint, KRef, MeterId},
    state::cleanup::CleanupCounts,
    state::slog::CrankType,
    state::{handle::State, keys, vat::DynamicOptions},
};

/// An event for the kernel to work on in a crank.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RunQueueEvent {
    /// A message is delivered to its target.
    Send {
        /// An object or promise.
        target: KRef,
        /// The message.
        message: Message<KRef>,
        /// The payer for the work of a vat of the system.
        payer: Payer,
    },
    /// An endpoint is to be told that a promise is settled.
    Notify {
        /// The subscriber.
        endpoint: Endpoint,
        /// The promise.
        promise: KRef,
    },
    /// A dynamic vat is to be made and started.
    CreateVat {
        /// Its id, allocated when the event was queued.
        vat: VatId,
        /// Its bundle.
        bundle_id: String,
        /// Its parameters.
        parameters: KernelData,
        /// Its options.
        options: DynamicOptions,
    },
    /// A static vat is to be started.
    StartVat {
        /// The vat.
        vat: VatId,
        /// Its parameters.
        parameters: KernelData,
    },
    /// A vat is to get a new incarnation.
    UpgradeVat {
        /// The vat.
        vat: VatId,
        /// The number by which the vatAdmin vat knows this upgrade, as in `up1`.
        upgrade: u64,
        /// The new bundle.
        bundle_id: String,
        /// The new parameters.
        parameters: KernelData,
        /// The reason with which promises of the old incarnation are rejected.
        upgrade_message: JsString,
    },
    /// A vat's options change.
    ChangeVatOptions {
        /// The vat.
        vat: VatId,
        /// The changed options, a JSON object.
        options_json: String,
    },
    /// Objects that the kernel can no longer reach, or that nobody can recognize, are collected.
    CollectGarbage {
        /// The kind of delivery.
        kind: GcKind,
        /// The endpoint to tell.
        endpoint: Endpoint,
        /// In string order.
        krefs: Vec<KRef>,
    },
    /// Pending collections turned out not to be needed any more.
    NegatedGcAction,
    /// A vat is to bring out its dead.
    BringOutYourDead {
        /// The vat.
        vat: VatId,
    },
    /// Part of a dead vat is to be removed.
    CleanupTerminatedVat {
        /// The vat.
        vat: VatId,
        /// The most to remove.
        budget: CleanupCounts,
    },
}

/// The payer for the work that a message causes in a vat of the system, or that such a vat's message causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Payer {
    /// Nobody pays. A transaction has paid already, or the sender is the kernel or an unmetered vat.
    Nobody,
    /// The sender's [`Meter`](crate::meter::Meter), if the message reaches a vat of the system.
    Sender(MeterId),
    /// The receiver's [`Meter`](crate::meter::Meter), because a vat of the system has sent the message.
    Receiver,
}

/// A message that waits on a promise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Waiting {
    pub(crate) message: Message<KRef>,
    pub(crate) payer: Payer,
}

impl RunQueueEvent {
    /// Returns the result promise, if this is a message that has one.
    pub fn result(&self) -> Option<KRef> {
        match self {
            Self::Send { message, .. } => message.result,
            _ => None,
        }
    }

    /// Target and message, if this is a message with that result.
    pub(crate) fn send_with(&self, result: KRef) -> Option<(KRef, Message<KRef>)> {
        match self {
            Self::Send { target, message, .. } if message.result == Some(result) => {
                Some((*target, message.clone()))
            }
            _ => None,
        }
    }
}

/// The deliveries of garbage collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum GcKind {
    /// The delivery `dropExports`.
    DropExports,
    /// The delivery `retireExports`.
    RetireExports,
    /// The delivery `retireImports`.
    RetireImports,
}

impl GcKind {
    /// Returns the name of the delivery.
    pub fn name(self) -> &'static str {
        match self {
            Self::DropExports => "dropExports",
            Self::RetireExports => "retireExports",
            Self::RetireImports => "retireImports",
        }
    }
}

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
        self.put(keys::QUEUES, &queues)
    }

    pub(crate) fn next_accepted(&mut self) -> Result<Option<RunQueueEvent>> {
        let mut queues = self.queues()?;
        if queues.acceptance.0 == queues.acceptance.1 {
            return Ok(None);
        }
        let key = keys::acceptance(queues.acceptance.0);
        let event = self.need(&key)?;
        self.over.delete(&key);
        queues.acceptance.0 += 1;
        self.stats.acceptance_queue_length.dec();
        self.put(keys::QUEUES, &queues)?;
        Ok(Some(event))
    }

    pub(crate) fn schedule(&mut self, event: RunQueueEvent) -> Result<()> {
        let mut queues = self.queues()?;
        self.put(&keys::run(queues.run.1), &event)?;
        queues.run.1 += 1;
        self.stats.run_queue_length.inc();
        self.put(keys::QUEUES, &queues)
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
        self.put(keys::QUEUES, &queues)?;
        Ok(Some(event))
    }

    /// Returns the place on which the event lay that was just taken off a queue. Returns `None` if it came
    /// from no queue.
    pub(crate) fn taken_from(
        &self,
        crank_type: CrankType,
        event: &RunQueueEvent,
    ) -> Result<Option<Place>> {
        Ok(match (crank_type, event) {
            (CrankType::Routing, _) => Some(Place::Accepted(self.queues()?.acceptance.0 - 1)),
            (
                CrankType::Delivery,
                RunQueueEvent::CollectGarbage { .. }
                | RunQueueEvent::NegatedGcAction
                | RunQueueEvent::BringOutYourDead { .. }
                | RunQueueEvent::CleanupTerminatedVat { .. },
            ) => None,
            (CrankType::Delivery, _) => Some(Place::Run(self.queues()?.run.0 - 1)),
        })
    }

    pub(crate) fn queues(&self) -> Result<Queues> {
        self.need(keys::QUEUES)
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
