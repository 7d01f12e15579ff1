//! The loop of `capstan serve`: entries of the outbox to the object, and what it says to the chain.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use capstan_client::{Args, ClientError, TxBuilder, Wallet, proto};
use serde_json::{Value, json};

use super::chain::{Chain, Sent, is_transient};
use super::child::Node;
use super::journal::{Answer, Journal, Pending};
use crate::output::Output;

/// The object's reference.
const ROOT: &str = "ro+1000000";
/// Numbers of the objects that one run can export.
const NUMBERS: u64 = 1_000_000;
/// Calls that run or wait to be answered at a time. Further ones stay in the outbox.
const MAX_RUNNING: usize = 64;
/// Sends of the object that wait.
const MAX_SENDS: usize = 64;
/// Bytes that the object's program has not read yet, from which on no more of the outbox is read.
const MAX_BACKLOG: usize = 16 << 20;
/// Entries without an answer that are acknowledged together.
const ACK_BATCH: usize = 100;
/// Interval between two looks at the outbox.
const PAUSE: Duration = Duration::from_millis(200);

/// The options of the command line.
pub(super) struct Options {
    pub(super) file: PathBuf,
    pub(super) names: Vec<String>,
    pub(super) imports: Vec<String>,
    pub(super) max_fee: u64,
    pub(super) limit: Duration,
}

pub(super) struct Service {
    chain: Chain,
    journal: Journal,
    node: Node,
    output: Output,
    limit: Duration,
    /// The last entry that was read.
    seen: u64,
    running: BTreeMap<u64, Instant>,
    sends: VecDeque<Value>,
    paused: bool,
}

impl Service {
    /// Repairs what a crash left, starts the object and publishes it.
    pub(super) fn start(
        wallet: Wallet,
        dir: &Path,
        options: Options,
        output: Output,
    ) -> anyhow::Result<Self> {
        let chain = Chain::new(wallet, options.max_fee)?;
        let mut journal = Journal::open(dir)?;
        chain.provision()?;
        journal.record.session += 1;
        journal.save()?;
        let first = journal.record.session * NUMBERS + NUMBERS;
        let node = Node::start(&options.file, ROOT, first, &options.imports)?;
        let mut service = Self {
            seen: journal.record.acknowledged,
            chain,
            journal,
            node,
            output,
            limit: options.limit,
            running: BTreeMap::new(),
            sends: VecDeque::new(),
            paused: false,
        };
        if service.journal.record.pending.is_some() {
            service.finish()?;
        }
        service.journal.interrupted(service.node.idempotent);
        service.refit();
        service.journal.save()?;
        for name in options.names {
            service.publish(&name)?;
        }
        let address = service.chain.wallet.address().to_string();
        service.say("ready", json!({"account": address, "object": ROOT}));
        Ok(service)
    }

    /// Serves until it is stopped.
    pub(super) fn run(mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let mut limit = PAUSE;
            while let Some(told) = self.node.next(limit)? {
                self.told(&told)?;
                limit = Duration::ZERO;
            }
            self.node.watch(self.limit)?;
            self.time_out()?;
            self.transact()?;
            self.read()?;
        }
        self.say("stopped", json!({"acknowledged": self.journal.record.acknowledged}));
        Ok(())
    }

    /// Takes new entries of the outbox.
    fn read(&mut self) -> anyhow::Result<()> {
        let busy = self.running.len() + self.journal.record.answers.len() >= MAX_RUNNING;
        if busy || self.node.backlog() > MAX_BACKLOG {
            return Ok(());
        }
        let client = self.chain.wallet.client();
        let room = MAX_RUNNING - self.running.len();
        let page = match client.outbox(&self.chain.wallet.address(), self.seen, room as u32) {
            Ok(page) => page,
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for entry in page.entries {
            // Somebody else acknowledged what lies between.
            if self.seen == self.journal.record.acknowledged && entry.number > self.seen + 1 {
                self.journal.record.acknowledged = entry.number - 1;
            }
            self.seen = entry.number;
            let delivery: Value = serde_json::from_str(&entry.delivery_json)?;
            self.take(entry.number, delivery)?;
        }
        Ok(())
    }

    fn take(&mut self, number: u64, delivery: Value) -> anyhow::Result<()> {
        let record = &mut self.journal.record;
        if record.done.contains(&number) || record.answers.contains_key(&number) {
            return Ok(());
        }
        if delivery[0] == "message" {
            let promise = delivery[2]["result"].as_str().map(str::to_owned);
            record.started.insert(number, promise);
            self.journal.save()?;
            planted("started");
            self.running.insert(number, Instant::now());
            self.say("call", json!({"entry": number, "target": delivery[1]}));
        } else {
            record.done.insert(number);
        }
        self.node.tell(&json!({"t": "entry", "entry": number, "delivery": delivery}))
    }

    /// Does what the object's program says.
    fn told(&mut self, told: &Value) -> anyhow::Result<()> {
        self.node.answers();
        match told["t"].as_str().unwrap_or_default() {
            "answer" => {
                let number = told["entry"].as_u64().unwrap_or_default();
                self.answered(number, told)?;
            }
            "settle" => {
                let promise = text(told, "promise");
                let settled = self.fitting(answer(promise, told));
                self.journal.record.own.push(settled);
                self.journal.save()?;
            }
            "send" if self.sends.len() >= MAX_SENDS => {
                let error = format!("more than {MAX_SENDS} messages wait to be sent");
                self.node.tell(&json!({"t": "failed", "id": told["id"], "error": error}))?;
            }
            "send" => match self.chain.excess(&text(told, "body"), &slots(told)) {
                Some(excess) => {
                    let error = format!("the message is too large: {excess}");
                    self.node.tell(&json!({"t": "failed", "id": told["id"], "error": error}))?;
                }
                None => self.sends.push_back(told.clone()),
            },
            "drop" => self.sends.push_back(told.clone()),
            _ => {}
        }
        Ok(())
    }

    /// Journals an answer. A second one, as after a timeout, is left out.
    fn answered(&mut self, number: u64, told: &Value) -> anyhow::Result<()> {
        self.running.remove(&number);
        let Some(promise) = self.journal.record.started.remove(&number) else { return Ok(()) };
        let answer = self.fitting(answer(promise.clone().unwrap_or_default(), told));
        let record = &mut self.journal.record;
        for slot in answer.slots.iter().filter(|slot| slot.starts_with("rp+")) {
            record.open.insert(slot.clone());
        }
        match promise {
            Some(_) => drop(record.answers.insert(number, answer)),
            None => drop(record.done.insert(number)),
        }
        self.journal.save()?;
        planted("answered");
        Ok(())
    }

    /// Returns an answer as it is, or a rejection in its place if the chain does not take it.
    fn fitting(&self, answer: Answer) -> Answer {
        let Some(excess) = self.chain.excess(&answer.body, &answer.slots) else { return answer };
        let body = error_body(&format!("the account's object answered with too much: {excess}"));
        Answer { rejected: true, body, slots: Vec::new(), ..answer }
    }

    /// Rejects in place of answers of an earlier run that the chain does not take by now.
    fn refit(&mut self) {
        let record = &mut self.journal.record;
        let (answers, own) = (std::mem::take(&mut record.answers), std::mem::take(&mut record.own));
        let answers = answers.into_iter().map(|(number, answer)| (number, self.fitting(answer)));
        let answers = answers.collect();
        let own = own.into_iter().map(|answer| self.fitting(answer)).collect();
        let record = &mut self.journal.record;
        (record.answers, record.own) = (answers, own);
    }

    fn time_out(&mut self) -> anyhow::Result<()> {
        let limit = self.limit;
        let late: Vec<u64> = self
            .running
            .iter()
            .filter(|(_, began)| began.elapsed() > limit)
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            let body = error_body(&format!("the account's object did not answer within {limit:?}"));
            self.answered(number, &json!({"rejected": true, "body": body, "slots": []}))?;
        }
        Ok(())
    }

    /// Sends what is ready: answers together, then the object's messages.
    fn transact(&mut self) -> anyhow::Result<()> {
        let record = &self.journal.record;
        let ready = !record.answers.is_empty() || !record.own.is_empty();
        let unacknowledged = self.journal.through(&[]) - record.acknowledged;
        if ready || unacknowledged as usize >= ACK_BATCH {
            self.answer(false)?;
        }
        while let Some(told) = self.sends.pop_front() {
            if !self.forward(&told)? {
                self.sends.push_front(told);
                break;
            }
        }
        Ok(())
    }

    /// Sends a transaction of answers. If it fails, each answer is sent alone.
    fn answer(&mut self, alone: bool) -> anyhow::Result<()> {
        let (tx, pending) = self.chain.answers(&self.journal, alone);
        let sent = match self.chain.send(&mut self.journal, &tx, pending.clone()) {
            Err(error) if error.downcast_ref::<ClientError>().is_some_and(is_transient) => {
                return Ok(());
            }
            sent => sent?,
        };
        let Some(sent) = sent else { return self.pause() };
        self.paused = false;
        if self.conclude(&pending, sent)? || alone {
            return Ok(());
        }
        self.answer(true)
    }

    /// Finishes the transaction that an earlier run signed.
    fn finish(&mut self) -> anyhow::Result<()> {
        let Some(pending) = self.journal.record.pending.clone() else { return Ok(()) };
        let sent = self.chain.finish(&mut self.journal)?;
        self.conclude(&pending, sent).map(drop)
    }

    /// Notes what became of answers. Returns whether they are on the chain.
    fn conclude(&mut self, pending: &Pending, sent: Sent) -> anyhow::Result<bool> {
        let problem = match sent {
            Sent::Block(info) if info.code == 0 => {
                planted("committed");
                self.journal.settled(pending);
                self.journal.save()?;
                self.say("answered", json!({"entries": pending.answers, "height": info.height}));
                return Ok(true);
            }
            Sent::Block(info) => info.log,
            Sent::No(log) => log,
        };
        self.say("failed", json!({"entries": pending.answers, "error": problem}));
        self.journal.record.pending = None;
        match (&pending.answers[..], pending.own) {
            ([number], 0) => self.give_up(*number, &problem),
            // The chain would refuse it again, and each attempt has a fee.
            ([], 1) => self.journal.give_up_own(),
            _ => {}
        }
        self.journal.save()?;
        Ok(false)
    }

    /// Replaces an answer that the chain does not take by a rejection that says so, or leaves it if it is one.
    fn give_up(&mut self, number: u64, problem: &str) {
        let record = &mut self.journal.record;
        let Some(answer) = record.answers.get_mut(&number) else { return };
        let body = error_body(&format!("the chain did not take the answer: {problem}"));
        if answer.rejected && answer.body.contains("the chain did not take") {
            record.answers.remove(&number);
            record.done.insert(number);
        } else {
            (answer.rejected, answer.body, answer.slots) = (true, body, Vec::new());
        }
    }

    /// Sends a message or a drop of the object. Returns whether it is dealt with.
    fn forward(&mut self, told: &Value) -> anyhow::Result<bool> {
        let wallet = &self.chain.wallet;
        let tx = if told["t"] == "drop" {
            let refs = vec![text(told, "reference")];
            TxBuilder::new().message(&proto::MsgDrop { sender: wallet.address().to_string(), refs })
        } else {
            let body = text(told, "body");
            let args = Args::smallcaps(body.strip_prefix('#').unwrap_or(&body), slots(told));
            let (target, method) = (text(told, "target"), text(told, "method"));
            TxBuilder::new().message(&wallet.send_message(&target, &method, &args))
        };
        let pending =
            Pending { bytes: String::new(), sequence: 0, answers: Vec::new(), own: 0, ack: None };
        let sent = match self.chain.send(&mut self.journal, &tx, pending) {
            // Nothing was signed: the node is asked again later.
            Err(error) if error.downcast_ref::<ClientError>().is_some_and(is_transient) => {
                return Ok(false);
            }
            sent => sent?,
        };
        let Some(sent) = sent else {
            self.pause()?;
            return Ok(false);
        };
        self.journal.record.pending = None;
        self.journal.save()?;
        let reply = match sent {
            Sent::Block(info) if info.code == 0 => {
                let outcome = info.outcome(self.chain.wallet.client().addr())?;
                let promise = match told["t"] == "send" {
                    true => outcome.response::<proto::MsgSendResponse>(0)?.result,
                    false => String::new(),
                };
                json!({"t": "sent", "id": told["id"], "promise": promise})
            }
            Sent::Block(info) => json!({"t": "failed", "id": told["id"], "error": info.log}),
            Sent::No(error) => json!({"t": "failed", "id": told["id"], "error": error}),
        };
        if told["t"] == "send" {
            self.node.tell(&reply)?;
        }
        Ok(true)
    }

    fn publish(&mut self, name: &str) -> anyhow::Result<()> {
        if self.journal.record.published.contains(name) {
            return Ok(());
        }
        let args = Args::smallcaps(
            &json!([name, "$0.Alleged: served"]).to_string(),
            vec![ROOT.to_owned()],
        );
        let answer = self.chain.wallet.send("factory", "publish", &args)?;
        if answer.status == "rejected" {
            bail!("{name:?} cannot be published: {}", answer.value.body);
        }
        self.journal.record.published.insert(name.to_owned());
        self.journal.save()?;
        self.say("published", json!({"name": name}));
        Ok(())
    }

    fn pause(&mut self) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.paused, true) {
            self.say("paused", json!({"why": "the fees of this hour reach --max-fee-per-hour"}));
        }
        Ok(())
    }

    fn say(&self, what: &str, mut record: Value) {
        let text = format!("{what}: {record}");
        record["event"] = what.into();
        self.output.either(&record, &text);
    }
}

/// Ends the process at a step that a test names in the environment, as a crash would.
pub(super) fn planted(step: &str) {
    // Only builds for development can be crashed so.
    if cfg!(debug_assertions) && std::env::var("CAPSTAN_SERVE_CRASH_AT").is_ok_and(|at| at == step)
    {
        std::process::abort();
    }
}

fn text(told: &Value, field: &str) -> String {
    told[field].as_str().unwrap_or_default().to_owned()
}

fn slots(told: &Value) -> Vec<String> {
    let all = told["slots"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns the body of an error with this message.
fn error_body(message: &str) -> String {
    format!("#{}", json!({"#error": message, "name": "Error"}))
}

fn answer(promise: String, told: &Value) -> Answer {
    let rejected = told["rejected"] == true;
    Answer { promise, rejected, body: text(told, "body"), slots: slots(told) }
}
