//! The acceptance queue and the run queue, and what lies on them.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{JsString, Message, json::capdata_to_json};
use capstan_kernel_ports::VatId;
use serde_json::{Value, json};

use crate::{
    capdata::{self, KernelData},
    crank::policy::CleanupBudget,
    error::Result,
    ids::{Endpoint, KRef, MeterId},
    slog::CrankType,
    state::{handle::State, keys, vat::DynamicOptions},
};

/// Something for the kernel to do in a crank.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RunQueueEvent {
    /// A message is on its way.
    Send {
        /// An object or promise.
        target: KRef,
        /// The message.
        message: Message<KRef>,
        /// Who pays for what a vat of the system does for it.
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
        /// What the old incarnation's promises are rejected with.
        upgrade_message: JsString,
    },
    /// A vat's options change.
    ChangeVatOptions {
        /// The vat.
        vat: VatId,
        /// The changed options, a JSON object.
        options_json: String,
    },
    /// The kernel can no longer reach, or nobody can recognize, objects.
    CollectGarbage {
        /// Which of the three deliveries.
        kind: GcKind,
        /// Who is told.
        endpoint: Endpoint,
        /// In string order.
        krefs: Vec<KRef>,
    },
    /// Collections that were pending turned out not to be needed any more.
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
        /// How much of it at most.
        budget: CleanupBudget,
    },
}

/// Who pays for what a vat of the system does for a message, besides the vat that executes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Payer {
    /// Nobody: a transaction has paid already, or the kernel or an unmetered vat has sent the message.
    Nobody,
    /// The sender's meter, if the message reaches a vat of the system.
    Sender(MeterId),
    /// The receiver's meter: a vat of the system has sent the message.
    Receiver,
}

/// A message that waits on a promise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Waiting {
    pub(crate) message: Message<KRef>,
    pub(crate) payer: Payer,
}

/// Where an event waits for its crank, or a message for its promise.
///
/// A place on a queue is never used twice, so it names what lay there for good.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Place {
    /// On the acceptance queue, as in `accepted-7`.
    Accepted(u64),
    /// On the run queue, as in `run-7`.
    Run(u64),
    /// On the queue of a promise that is not settled, as in `kp40-0`. Used again once all of that queue was moved.
    Waiting {
        /// The promise's number.
        promise: u64,
        /// The position.
        position: u64,
    },
}

impl Place {
    /// The place whose key in the state this is, if it is one.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let rest = key.strip_prefix(b"k.")?;
        let position = |hex: &[u8]| u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok();
        if let Some(hex) = rest.strip_prefix(b"q.a.") {
            return position(hex).map(Self::Accepted);
        }
        if let Some(hex) = rest.strip_prefix(b"q.r.") {
            return position(hex).map(Self::Run);
        }
        let (number, hex) =
            std::str::from_utf8(rest.strip_prefix(b"pq.")?).ok()?.split_once('.')?;
        Some(Self::Waiting { promise: number.parse().ok()?, position: position(hex.as_bytes())? })
    }

    /// The place's key in the state.
    pub fn key(self) -> Vec<u8> {
        match self {
            Self::Accepted(position) => keys::acceptance(position),
            Self::Run(position) => keys::run(position),
            Self::Waiting { promise, position } => keys::promise_message(promise, position),
        }
    }

    /// Reads a place on one of the two queues.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| digits.parse().ok();
        let place = match text.split_once('-')? {
            ("accepted", digits) => Self::Accepted(number(digits)?),
            ("run", digits) => Self::Run(number(digits)?),
            _ => return None,
        };
        (place.to_string() == text).then_some(place)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted(position) => write!(f, "accepted-{position}"),
            Self::Run(position) => write!(f, "run-{position}"),
            Self::Waiting { promise, position } => write!(f, "kp{promise}-{position}"),
        }
    }
}

/// What the host names to have it taken out: see [`crate::Kernel::take_out`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TakenOut {
    /// The message with this result.
    Result(KRef),
    /// Whatever comes off a queue at this place.
    Place(Place),
}

impl TakenOut {
    /// Reads either form: `kp40`, `run-7` or `accepted-7`.
    pub fn parse(text: &str) -> Option<Self> {
        let result = KRef::parse(text).filter(|kref| matches!(kref, KRef::Promise(_)));
        result.map(Self::Result).or_else(|| Place::parse(text).map(Self::Place))
    }
}

impl std::fmt::Display for TakenOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Result(kref) => kref.fmt(f),
            Self::Place(place) => place.fmt(f),
        }
    }
}

impl RunQueueEvent {
    /// The promise for the answer, if this is a message that has one.
    pub fn result(&self) -> Option<KRef> {
        match self {
            Self::Send { message, .. } => message.result,
            _ => None,
        }
    }

    /// Target and message, if this is a message with that result.
    fn send_with(&self, result: KRef) -> Option<(KRef, Message<KRef>)> {
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
    /// `dropExports`.
    DropExports,
    /// `retireExports`.
    RetireExports,
    /// `retireImports`.
    RetireImports,
}

impl GcKind {
    /// The delivery's name.
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

    /// Takes the message with this result out of the queues and rejects the result. What else is queued keeps its
    /// order. False if there is no such message.
    pub(crate) fn drop_message(&mut self, result: KRef) -> Result<bool> {
        let (mut accepted, mut scheduled) = (Vec::new(), Vec::new());
        while let Some(event) = self.next_accepted()? {
            accepted.push(event);
        }
        while let Some(event) = self.next_scheduled()? {
            scheduled.push(event);
        }
        let mut dropped = Vec::new();
        for event in accepted {
            match event.send_with(result) {
                Some(sent) => dropped.push(sent),
                None => self.accept(event)?,
            }
        }
        for event in scheduled {
            match event.send_with(result) {
                Some(sent) => dropped.push(sent),
                None => self.schedule(event)?,
            }
        }
        for (target, message) in &dropped {
            self.splat(*target, message, capdata::error("message dropped by agreement"))?;
        }
        Ok(!dropped.is_empty())
    }

    /// Where the event that was just taken off a queue had lain; none if it came from no queue.
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

    /// Does away with an event that was taken off a queue, as if it had failed before anybody saw it: a message's
    /// result is rejected, a vat that was to be started ends, an upgrade fails.
    pub(crate) fn do_without(&mut self, event: RunQueueEvent) -> Result<()> {
        let reason = capdata::error("taken out by agreement");
        match event {
            RunQueueEvent::Send { target, message, .. } => {
                self.splat(target, &message, capdata::error("message dropped by agreement"))
            }
            RunQueueEvent::Notify { promise, .. } => self.decrement(promise),
            RunQueueEvent::CreateVat { vat, parameters, .. }
            | RunQueueEvent::StartVat { vat, parameters } => {
                self.decrement_all(&parameters.slots)?;
                self.terminate(vat, true, &reason)
            }
            RunQueueEvent::UpgradeVat { upgrade, parameters, .. } => {
                self.decrement_all(&parameters.slots)?;
                self.tell_vat_admin(crate::crank::upgrade::failed(upgrade))
            }
            // These hold nothing, or come from no queue.
            RunQueueEvent::ChangeVatOptions { .. }
            | RunQueueEvent::CollectGarbage { .. }
            | RunQueueEvent::NegatedGcAction
            | RunQueueEvent::BringOutYourDead { .. }
            | RunQueueEvent::CleanupTerminatedVat { .. } => Ok(()),
        }
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

/// An event as SwingSet's slog writes it.
pub fn event_to_json(event: &RunQueueEvent) -> Value {
    match event {
        RunQueueEvent::Send { target, message, .. } => {
            let mut msg = json!({"methargs": capdata_to_json(&message.methargs)});
            if let Some(result) = message.result {
                msg["result"] = Value::String(result.to_string());
            }
            json!({"type": "send", "target": target.to_string(), "msg": msg})
        }
        RunQueueEvent::Notify { endpoint, promise } => {
            json!({"type": "notify", "vatID": endpoint.to_string(), "kpid": promise.to_string()})
        }
        RunQueueEvent::CreateVat { vat, bundle_id, parameters, options } => json!({
            "type": "create-vat",
            "vatID": vat.to_string(),
            "source": {"bundleID": bundle_id},
            "vatParameters": capdata_to_json(parameters),
            "dynamicOptions": options.to_json(),
        }),
        RunQueueEvent::StartVat { vat, parameters } => json!({
            "type": "startVat",
            "vatID": vat.to_string(),
            "vatParameters": capdata_to_json(parameters),
        }),
        RunQueueEvent::UpgradeVat { vat, upgrade, bundle_id, parameters, upgrade_message } => {
            json!({
                "type": "upgrade-vat",
                "vatID": vat.to_string(),
                "upgradeID": format!("up{upgrade}"),
                "bundleID": bundle_id,
                "vatParameters": capdata_to_json(parameters),
                "upgradeMessage": upgrade_message.legible(),
            })
        }
        RunQueueEvent::ChangeVatOptions { vat, options_json } => json!({
            "type": "changeVatOptions",
            "vatID": vat.to_string(),
            "options": serde_json::from_str::<Value>(options_json).unwrap_or(Value::Null),
        }),
        RunQueueEvent::CollectGarbage { kind, endpoint, krefs } => json!({
            "type": kind.name(),
            "vatID": endpoint.to_string(),
            "krefs": krefs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        RunQueueEvent::NegatedGcAction => json!({"type": "negated-gc-action"}),
        RunQueueEvent::BringOutYourDead { vat } => {
            json!({"type": "bringOutYourDead", "vatID": vat.to_string()})
        }
        RunQueueEvent::CleanupTerminatedVat { vat, budget } => json!({
            "type": "cleanup-terminated-vat",
            "vatID": vat.to_string(),
            "budget": budget.to_json(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let waiting = Place::Waiting { promise: 40, position: 3 };
        for place in [Place::Accepted(1), Place::Run(u64::MAX), waiting] {
            assert_eq!(Place::of_key(&place.key()), Some(place));
        }
        assert_eq!(TakenOut::parse("run-17"), Some(TakenOut::Place(Place::Run(17))));
        assert_eq!(TakenOut::parse("accepted-1"), Some(TakenOut::Place(Place::Accepted(1))));
        assert_eq!(TakenOut::parse("kp40"), Some(TakenOut::Result(KRef::Promise(40))));
        for text in ["", "run-", "run-017", "run-+1", "run-1 ", "queue-1", "kp40-3", "ko40", "kp"] {
            assert_eq!(TakenOut::parse(text), None, "{text}");
        }
        for key in ["k.q.a.", "k.q.a.x", "k.q.r", "k.pq.4", "k.pq.x.0", "k.p.4", "local.k.q.a.1"] {
            assert_eq!(Place::of_key(key.as_bytes()), None, "{key}");
        }
    }
}
