//! The loop of `capstan serve`: entries of the outbox to the object, and what it says to the chain.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::bail;
use capstan_abi::json::delivery_to_json;
use capstan_client::{ClientError, Delivery, OutboxEntry, Wallet};
use serde_json::{Value, json};

use super::calls::{Call, Calls, Limits, MAX_RUNNING};
use super::chain::{Chain, Fate, Flight};
use super::child::Node;
use super::inbox::{self, Event};
use super::journal::{ACK_BATCH, Journal, Pending};
use super::planted;
use crate::outbox;
use crate::output::Output;

/// The object's reference.
pub(super) const ROOT: &str = "ro+1000000";
/// Objects get numbers above this.
const FIRST_NUMBER: u64 = 1_000_000;
/// Entries that the follower may give before they are looked at.
const MAX_GRANTED: usize = 64;
/// Interval of the timeouts.
const STEP: Duration = Duration::from_millis(100);
/// Interval of looks at a transaction.
const LOOK: Duration = Duration::from_millis(20);
/// Pause after the fees are used up, or the node is away.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);

/// The options of the command line.
pub(super) struct Options {
    pub(super) file: PathBuf,
    pub(super) names: Vec<String>,
    pub(super) imports: Vec<String>,
    pub(super) max_fee: u64,
    pub(super) limits: Limits,
}

/// The purpose of a transaction.
pub(super) enum Cargo {
    Answers(Pending),
    /// A message or a drop, as the object's program said it. [`Value::Null`] if an earlier run sent it.
    Message(Value),
}

pub(super) struct Service {
    pub(super) chain: Chain,
    pub(super) journal: Journal,
    pub(super) node: Node,
    pub(super) output: Output,
    limit: Duration,
    events: Receiver<Event>,
    permits: SyncSender<()>,
    /// Entries that the follower may still give.
    granted: usize,
    /// The last entry that was read.
    seen: u64,
    pub(super) calls: Calls,
    pub(super) sends: VecDeque<Value>,
    pub(super) flight: Option<(Flight, Cargo)>,
    /// The last transaction had answers. Messages take turns with them.
    answered_last: bool,
    /// Settlements that are sent one by one, since the chain did not take them together.
    pub(super) alone: usize,
    /// Nothing is signed before this time.
    pub(super) resume: Option<Instant>,
    pub(super) paused: bool,
}

impl Service {
    /// Repairs what a crash left, starts the object and publishes it.
    pub(super) fn start(
        wallet: Wallet,
        dir: &Path,
        options: Options,
        output: Output,
        stop: &AtomicBool,
    ) -> anyhow::Result<Self> {
        let mut journal = Journal::open(dir)?;
        let chain = Chain::new(wallet, options.max_fee, &mut journal)?;
        let (sender, events) = sync_channel(inbox::CAPACITY);
        let first = journal.record.exported.max(FIRST_NUMBER);
        let mut node = Node::start(&options.file, ROOT, first, &options.imports, sender.clone())?;
        let early = node.wait_until_ready(&options.file, &events)?;
        let flight = Chain::resume(&journal)?.map(|(flight, pending)| (flight, Cargo::of(pending)));
        journal.interrupted(node.idempotent);
        journal.save()?;
        let (permits, taken) = sync_channel(MAX_GRANTED);
        let mut service = Self {
            seen: journal.record.acknowledged,
            chain,
            journal,
            node,
            output,
            limit: options.limits.time,
            events,
            permits,
            granted: 0,
            calls: Calls::new(options.limits),
            sends: VecDeque::new(),
            flight,
            answered_last: false,
            alone: 0,
            resume: None,
            paused: false,
        };
        if service.flight.is_none() {
            service.refit();
        }
        for told in early {
            service.told(&told)?;
        }
        service.publish(&options.names, stop)?;
        let address = service.chain.wallet.address();
        let follower = service.chain.wallet.client().follow_outbox(&address).after(service.seen);
        std::thread::spawn(move || inbox::follow(follower, &taken, &sender));
        let text = format!("ready: {address} serves {ROOT}");
        service.say("ready", json!({"account": address.to_string(), "object": ROOT}), &text);
        Ok(service)
    }

    /// Serves until it is stopped.
    pub(super) fn run(mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.grant();
            let step = if self.flight.is_some() { LOOK } else { STEP };
            match self.events.recv_timeout(step) {
                Ok(event) => self.event(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.node.ended()),
            }
            for _ in 0..inbox::CAPACITY {
                let Ok(event) = self.events.try_recv() else { break };
                self.event(event)?;
            }
            self.node.watch(self.limit)?;
            self.time_out()?;
            self.begin()?;
            self.transact()?;
        }
        let acknowledged = self.journal.record.acknowledged;
        let text = format!("stopped: entries up to {acknowledged} are acknowledged");
        self.say("stopped", json!({"acknowledged": acknowledged}), &text);
        Ok(())
    }

    /// Lets the follower give as many entries as there is room for.
    fn grant(&mut self) {
        if self.is_behind() {
            return;
        }
        let busy = self.calls.running() + self.journal.record.answers.len();
        while self.granted < MAX_GRANTED
            && self.granted + busy < MAX_RUNNING
            && self.node.has_room()
        {
            if self.permits.try_send(()).is_err() {
                return;
            }
            self.granted += 1;
        }
    }

    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Said(line) => {
                let told = self.node.said(&line)?;
                self.told(&told)
            }
            Event::Ended => Err(self.node.ended()),
            Event::Entry(entry) => {
                self.granted -= 1;
                self.take(entry)
            }
            Event::Lost(why) => {
                self.say("lost", json!({"why": why}), &format!("lost: {why}; trying again"));
                Ok(())
            }
            Event::Back => {
                self.say("back", json!({}), "back: the node answers");
                Ok(())
            }
            Event::Failed(error) => Err(error.into()),
        }
    }

    /// Hands an entry of the outbox to the object.
    fn take(&mut self, entry: OutboxEntry) -> anyhow::Result<()> {
        let (number, delivery) = (entry.number, &entry.delivery);
        let record = &mut self.journal.record;
        // Somebody else acknowledged what lies between.
        if self.seen == record.acknowledged {
            record.acknowledged = number - 1;
        } else {
            record.done.extend(self.seen + 1..number);
        }
        self.seen = number;
        if record.done.contains(&number) || record.answers.contains_key(&number) {
            return Ok(());
        }
        match call_of(&entry) {
            Some(call) if !is_ours(call.object.as_deref()) => {
                self.journal.record.done.insert(number);
                self.leave(number, &call);
                return Ok(());
            }
            Some(call) => {
                if let Err(refused) = self.calls.add(number, call) {
                    let (call, why) = *refused;
                    self.journal.record.started.insert(number, call.promise);
                    return self.reject(number, &why);
                }
            }
            None => drop(record.done.insert(number)),
        }
        let delivery = delivery_to_json(delivery);
        self.node.tell(&json!({"t": "entry", "entry": number, "delivery": delivery}))?;
        self.begin()
    }

    /// Begins the calls that may run. The object's program has read them already, since what comes after them in the
    /// outbox may settle promises that they bring.
    fn begin(&mut self) -> anyhow::Result<()> {
        // Answers that wait to be sent count as if their calls still ran.
        while self.node.has_room()
            && self.calls.running() + self.journal.record.answers.len() < MAX_RUNNING
            && let Some((number, call)) = self.calls.begin()
        {
            self.journal.record.started.insert(number, call.promise);
            self.journal.save()?;
            planted("started");
            self.say("call", call.record, &call.text);
            self.node.tell(&json!({"t": "start", "entry": number}))?;
        }
        Ok(())
    }

    /// Tells of a call of an object that other programs, or people, answer.
    fn leave(&self, number: u64, call: &Call) {
        let object = call.object.as_deref().unwrap_or_default();
        let how = call.promise.as_ref().map_or_else(String::new, |promise| {
            format!(": `capstan tx resolve {promise} VALUE` answers it")
        });
        let text = format!(
            "left: entry {number} calls {object}, which was there before this program{how}"
        );
        let record = json!({"entry": number, "object": object, "promise": call.promise});
        self.say("left", record, &text);
    }

    fn time_out(&mut self) -> anyhow::Result<()> {
        for number in self.calls.late() {
            let why = format!("the account's object did not answer within {:?}", self.limit);
            self.reject(number, &why)?;
        }
        Ok(())
    }

    /// Looks at the transaction under way, or signs the next one.
    pub(super) fn transact(&mut self) -> anyhow::Result<()> {
        if let Some((flight, _)) = &mut self.flight {
            let Some(fate) = self.chain.look(flight)? else { return Ok(()) };
            let Some((flight, cargo)) = self.flight.take() else { return Ok(()) };
            self.ended(&flight, &fate);
            self.land(cargo, fate)?;
            self.journal.save()?;
        }
        if self.resume.is_some_and(|at| at > Instant::now()) {
            return Ok(());
        }
        let record = &self.journal.record;
        let ready = !record.answers.is_empty() || !record.own.is_empty();
        let unacknowledged = self.journal.through(&[]) - record.acknowledged;
        let ready = ready || unacknowledged >= ACK_BATCH;
        if ready && (self.sends.is_empty() || !self.answered_last) {
            self.answered_last = true;
            let (tx, pending) = self.chain.answers(&self.journal, self.alone > 0);
            let signed = self.chain.sign(&mut self.journal, &tx, &pending);
            self.signed(signed, Cargo::Answers(pending))
        } else if let Some(told) = self.sends.pop_front() {
            self.answered_last = false;
            let tx = self.forwarded(&told);
            let signed = self.chain.sign(&mut self.journal, &tx, &Pending::default());
            self.signed(signed, Cargo::Message(told))
        } else {
            self.answered_last = false;
            Ok(())
        }
    }

    /// Notes that the fate of a transaction is known.
    pub(super) fn ended(&mut self, flight: &Flight, fate: &Fate) {
        self.journal.record.pending = None;
        if !matches!(fate, Fate::Block(_)) {
            self.journal.refund(flight.fee);
        }
    }

    /// Notes that a transaction is under way, or puts its cargo back.
    fn signed(
        &mut self,
        signed: anyhow::Result<Option<Flight>>,
        cargo: Cargo,
    ) -> anyhow::Result<()> {
        match signed {
            Ok(Some(flight)) => {
                self.paused = false;
                self.flight = Some((flight, cargo));
                return Ok(());
            }
            Ok(None) => {
                self.pause("the fees of the last hour reach --max-fee-per-hour");
            }
            Err(error)
                if error.downcast_ref::<ClientError>().is_some_and(ClientError::is_transient) =>
            {
                self.resume = Some(Instant::now() + RETRY);
            }
            Err(error) => return Err(error),
        }
        self.put_back(cargo);
        Ok(())
    }

    fn put_back(&mut self, cargo: Cargo) {
        // Answers are in the journal still.
        if let Cargo::Message(told) = cargo
            && !told.is_null()
        {
            self.sends.push_front(told);
        }
    }

    /// Acts on the fate of a transaction.
    fn land(&mut self, cargo: Cargo, fate: Fate) -> anyhow::Result<()> {
        match (fate, cargo) {
            (Fate::Displaced, cargo) => {
                let why = "another transaction of the account used the sequence";
                self.say("again", json!({"why": why}), &format!("again: {why}"));
                self.put_back(cargo);
                Ok(())
            }
            (Fate::Poor(why), cargo) => {
                self.pause(&why);
                self.put_back(cargo);
                Ok(())
            }
            (Fate::Block(info), Cargo::Answers(pending)) if info.code == 0 => {
                self.answers_taken(&pending, info.height);
                Ok(())
            }
            (Fate::Block(info), Cargo::Answers(pending)) => {
                self.answers_refused(&pending, &info.log)
            }
            (Fate::Refused(log), Cargo::Answers(pending)) => self.answers_refused(&pending, &log),
            (fate, Cargo::Message(told)) => self.forwarded_is(&told, fate),
        }
    }

    fn pause(&mut self, why: &str) {
        self.resume = Some(Instant::now() + PAUSE);
        if !std::mem::replace(&mut self.paused, true) {
            self.say("paused", json!({"why": why}), &format!("paused: {why}"));
        }
    }

    pub(super) fn say(&self, what: &str, mut record: Value, text: &str) {
        record["event"] = what.into();
        self.output.either(&record, text);
    }

    /// Waits until no transaction is under way.
    pub(super) fn finish(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        while self.flight.is_some() {
            if stop.load(Ordering::Relaxed) {
                bail!("stopped before the object was published");
            }
            std::thread::sleep(STEP);
            self.transact()?;
        }
        Ok(())
    }
}

/// Returns the call of an entry, unless it is another one.
fn call_of(entry: &OutboxEntry) -> Option<Call> {
    let Delivery::Message { target, message } = &entry.delivery else { return None };
    // That it waits for its answer is why it is here.
    let entry = OutboxEntry { unanswered: false, ..entry.clone() };
    let mut record = outbox::record(&entry);
    // The fields say the same.
    record["delivery"].take();
    Some(Call {
        // One that is no text is refused before it runs.
        method: record["method"].as_str().unwrap_or_default().to_owned(),
        object: (target != ROOT).then(|| target.clone()),
        text: format!("call: {}", outbox::line(&entry)),
        record,
        // The program holds it, too.
        bytes: 3 * message.methargs.body.len(),
        promise: message.result.clone(),
    })
}

/// Returns whether an object is the published one, or one that this program has handed out, now or in an earlier run.
fn is_ours(object: Option<&str>) -> bool {
    let Some(object) = object else { return true };
    let number = object.split_once('+').and_then(|(_, number)| number.parse().ok());
    number.is_some_and(|number: u64| number >= FIRST_NUMBER)
}

impl Cargo {
    /// Returns the purpose of a transaction that an earlier run signed.
    fn of(pending: Pending) -> Self {
        match pending.answers.is_empty() && pending.own == 0 && pending.ack.is_none() {
            true => Self::Message(Value::Null),
            false => Self::Answers(pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_people_are_told_from_those_of_the_program() {
        for ours in [None, Some(ROOT), Some("ro+1000001"), Some("rp+2000000")] {
            assert!(is_ours(ours), "{ours:?}");
        }
        for other in ["ro+1", "rp+7", "ro+999999", "ro-51", ""] {
            assert!(!is_ours(Some(other)), "{other}");
        }
    }
}
