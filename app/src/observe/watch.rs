//! The observer of this node's work, outside of consensus. It feeds reports, traces and metrics.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{CapData, Delivery, DeliveryResult, json::delivery_to_json};
use capstan_kernel::{
    ids::KRef,
    queue::{Place, RunQueueEvent, event_to_json},
    slog::{Event, Slog, Writes},
};
use capstan_kernel_ports::{Hash, VatId};

use crate::{
    observe::{
        cause::{Cause, Causes, QueueChanges},
        metrics::Metrics,
        progress::{ProgressNote, Step},
        trace::{BlockTrace, Link, Written},
    },
    tx::TxHash,
};

/// Description of the kernel's last crank, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LastCrank {
    /// Height of the block.
    pub height: u64,
    /// Number of the crank.
    pub crank: u64,
    /// Description of the event that the crank processed.
    pub message: String,
    /// Place from which the event came, or `None` if it came from no queue.
    pub place: Option<Place>,
    /// [`Cause`] of the crank or change.
    pub cause: Option<Cause>,
    /// [`VatId`] of the vat that was brought into memory for the crank, until it gets its delivery.
    pub starting: Option<VatId>,
    /// [`LastDelivery`] of the crank, or `None` if it made none.
    pub delivery: Option<LastDelivery>,
}

impl LastCrank {
    /// Returns the [`VatId`] of the vat that ran, or was about to run.
    pub fn vat(&self) -> Option<VatId> {
        self.starting.or(self.delivery.as_ref().map(|delivery| delivery.vat))
    }
}

/// Description of a crank's last delivery, for people.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LastDelivery {
    /// [`VatId`] of the vat that received the delivery.
    pub vat: VatId,
    /// Position of the delivery in the vat's transcript.
    pub number: u64,
    /// Description of the delivery.
    pub delivery: String,
    /// Description of the result, or `None` if the delivery did not end.
    pub result: Option<String>,
}

/// Notes of the block in progress. Clones are handles of the same notes.
#[derive(Clone, Debug)]
pub(crate) struct Watch(Arc<Mutex<Notes>>);

#[derive(Debug)]
struct Notes {
    tracing: bool,
    /// [`struct@Hash`] of the crank chain, or `None` if it must be read from the state.
    chain: Option<Hash>,
    last: Option<LastCrank>,
    trace: BlockTrace,
    /// Remaining capacity for the block's writes, in bytes.
    room: usize,
    /// Number of calls of this block that devices refused.
    refusals: usize,
    metrics: Metrics,
    causes: Causes,
    /// Cause of changes between cranks.
    outside: Arc<Cause>,
    /// Cause of the crank in progress.
    inside: Arc<Cause>,
    /// [`TxHash`]es of the transactions of this block that were executed so far.
    executed: Vec<TxHash>,
    running: Option<ProgressNote>,
}

impl Watch {
    pub(crate) fn new(tracing: bool, metrics: Metrics, running: Option<ProgressNote>) -> Self {
        let trace = BlockTrace::default();
        let outside = Cause::block("genesis");
        Self(Arc::new(Mutex::new(Notes {
            tracing,
            chain: None,
            last: None,
            trace,
            room: 0,
            refusals: 0,
            metrics,
            causes: Causes::new(),
            inside: outside.clone(),
            outside,
            executed: Vec::new(),
            running,
        })))
    }

    /// Returns the [`Slog`] for the kernel, which takes notes and passes events on to `next`.
    pub(crate) fn slog(&self, next: Vec<Box<dyn Slog + Send>>) -> Box<dyn Slog + Send> {
        Box::new(Tee { watch: self.clone(), next })
    }

    /// Starts the notes of a block. `with` is the SHA-256 of its override. `chain` reads the crank chain's hash, and
    /// is called only if that is not known.
    pub(crate) fn begin_block<E>(
        &self,
        height: u64,
        with: Option<String>,
        txs: &[impl AsRef<[u8]>],
        chain: impl FnOnce() -> Result<Hash, E>,
    ) -> Result<(), E> {
        let mut notes = self.notes();
        if let Some(running) = &mut notes.running {
            running.begin_block(height, with, txs);
        }
        notes.causes.begin_block(height);
        notes.executed.clear();
        let before = match notes.chain {
            Some(hash) => hash,
            None => chain()?,
        };
        notes.last = None;
        notes.room = MAX_BLOCK_BYTES;
        notes.refusals = 0;
        notes.trace = BlockTrace { height, before, ..BlockTrace::default() };
        Ok(())
    }

    /// Takes the [`BlockTrace`] of the block so far, or `None` if no traces are kept.
    pub(crate) fn take_trace(&self) -> Option<BlockTrace> {
        let mut notes = self.notes();
        let trace = std::mem::take(&mut notes.trace);
        notes.tracing.then_some(trace)
    }

    /// Forgets the block, which was not committed. The crank chain must then be read again.
    pub(crate) fn forget(&self) {
        let mut notes = self.notes();
        notes.chain = None;
        notes.causes.forget();
    }

    /// Sets the [`Cause`] of the following changes between cranks.
    pub(crate) fn caused_by(&self, cause: Arc<Cause>) {
        let mut notes = self.notes();
        if let Some(tx) = cause.tx()
            && notes.executed.last() != Some(&tx)
        {
            notes.executed.push(tx);
        }
        notes.outside = cause;
    }

    /// [`TxHash`]es of the transactions of this block that were executed so far.
    pub(crate) fn executed(&self) -> Vec<TxHash> {
        self.notes().executed.clone()
    }

    /// Notes the next [`Step`] of the block.
    pub(crate) fn step(&self, step: Step) {
        if let Some(running) = &mut self.notes().running {
            running.step(step);
        }
    }

    /// Notes that the next end of the process says nothing about the block in progress.
    pub(crate) fn stopping(&self) {
        if let Some(running) = &mut self.notes().running {
            running.stopping();
        }
    }

    /// Computes a block's root by `compute`, and records the duration.
    pub(crate) fn root<T>(&self, compute: impl FnOnce() -> T) -> T {
        self.step(Step::Root);
        let began = Instant::now();
        let result = compute();
        self.notes().metrics.root_computed(began.elapsed());
        self.step(Step::Executed);
        result
    }

    /// Counts the executed block in the metrics: the computrons that it counted, and its `changes`.
    pub(crate) fn executed_block<'a>(
        &self,
        computrons: u64,
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) {
        let bytes = changes.map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len)).sum();
        self.notes().metrics.executed(computrons, bytes);
    }

    /// Returns the [`LastCrank`] of this block, or `None` if it ran none.
    pub(crate) fn last(&self) -> Option<LastCrank> {
        self.notes().last.clone()
    }

    /// Returns whether traces are kept.
    pub(crate) fn is_tracing(&self) -> bool {
        self.notes().tracing
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each note is complete by itself, so a panic leaves consistent notes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tee {
    watch: Watch,
    next: Vec<Box<dyn Slog + Send>>,
}

impl Slog for Tee {
    fn event(&mut self, event: Event<'_>) {
        self.watch.notes().event(&event);
        for next in &mut self.next {
            next.event(event.clone());
        }
    }
}

impl Notes {
    fn event(&mut self, event: &Event<'_>) {
        self.metrics.event(event);
        match event {
            Event::CrankStart { crank, message, place, .. } => {
                self.inside = place.map_or_else(|| Cause::Kernel.into(), |at| self.causes.at(at));
                self.last = Some(LastCrank {
                    height: self.trace.height,
                    crank: *crank,
                    message: about_event(message),
                    place: *place,
                    cause: Some((*self.inside).clone()),
                    ..LastCrank::default()
                });
                self.note_last();
            }
            Event::WorkerStart { vat, .. } => {
                if let Some(last) = &mut self.last {
                    last.starting = Some(*vat);
                }
                self.note_last();
            }
            Event::Deliver { vat, delivery_number, kernel, .. } => {
                if let Some(last) = &mut self.last {
                    last.starting = None;
                    last.delivery = Some(LastDelivery {
                        vat: *vat,
                        number: *delivery_number,
                        delivery: about_delivery(kernel),
                        result: None,
                    });
                }
                self.note_last();
            }
            Event::DeliverResult { result, .. } => {
                let text = match result {
                    DeliveryResult::Ok => "ok".into(),
                    DeliveryResult::Error(text) => text.legible(),
                };
                let delivery = self.last.as_mut().and_then(|last| last.delivery.as_mut());
                if let Some(delivery) = delivery {
                    delivery.result = Some(cut(&text));
                }
            }
            Event::DeviceThrew { device, method, why } => {
                self.refusals += 1;
                if self.refusals <= MAX_REFUSALS {
                    let (method, why) = (cut(method), cut(why));
                    tracing::warn!(device, method, why, "a device refused a call");
                } else if self.refusals == MAX_REFUSALS + 1 {
                    tracing::warn!("devices refused more calls in this block");
                }
            }
            Event::Chained { crank, hash, writes } => self.chained(*crank, *hash, *writes),
            _ => {}
        }
    }

    fn chained(&mut self, crank: Option<u64>, hash: Hash, writes: Writes<'_>) {
        self.chain = Some(hash);
        let (mut kept, mut changes) = (Vec::new(), QueueChanges::default());
        let (tracing, room) = (self.tracing, &mut self.room);
        writes.visit(&mut |key, value| {
            changes.note(key, value);
            if tracing {
                kept.extend(keep(room, key, value));
            }
        });
        let cause = if crank.is_some() { self.inside.clone() } else { self.outside.clone() };
        let moved = self.causes.follow(self.trace.height, &cause, changes);
        if !tracing {
            return;
        }
        let (about, place) = match crank {
            Some(_) => (self.about_last(), self.last.as_ref().and_then(|last| last.place)),
            None => (Vec::new(), None),
        };
        let cause = Some((*cause).clone());
        self.trace.links.push(Link { crank, about, hash, writes: kept, place, cause, moved });
    }

    /// Notes the crank in progress, for the start after this process ends.
    fn note_last(&mut self) {
        if let (Some(running), Some(last)) = (&mut self.running, &self.last) {
            running.crank(last);
        }
    }

    fn about_last(&self) -> Vec<String> {
        let Some(last) = &self.last else { return Vec::new() };
        let mut about = vec![last.message.clone()];
        if let Some(LastDelivery { vat, number, delivery, result }) = &last.delivery {
            let result = result.as_deref().unwrap_or("no result");
            about.push(format!("d{number} to {vat}: {delivery}: {result}"));
        }
        about
    }
}

/// Returns a write as it is kept, or `None` if it exceeds `room`.
fn keep(room: &mut usize, key: &[u8], value: Option<&[u8]>) -> Option<Written> {
    *room = room.checked_sub(key.len() + 64)?;
    Some(Written::new(key, value))
}

fn about_event(event: &RunQueueEvent) -> String {
    match event {
        RunQueueEvent::Send { target, message, .. } => {
            let result = message.result.map(|result| format!(" -> {result}")).unwrap_or_default();
            format!("send {target} {}{result}", about_data(&message.methargs))
        }
        RunQueueEvent::Notify { endpoint, promise } => format!("notify {endpoint} {promise}"),
        other => cut(&event_to_json(other).to_string()),
    }
}

fn about_delivery(delivery: &Delivery<KRef>) -> String {
    match delivery {
        Delivery::Message { target, message } => {
            format!("message {target} {}", about_data(&message.methargs))
        }
        other => cut(&delivery_to_json(other).to_string()),
    }
}

fn about_data(data: &CapData<KRef>) -> String {
    let slots: Vec<String> = data.slots.iter().take(8).map(ToString::to_string).collect();
    match slots.is_empty() {
        true => cut(&data.body),
        false => format!("{} [{}]", cut(&data.body), slots.join(" ")),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Upper bound of the lines that a block writes to the log about calls that devices refused: vats cause them.
const MAX_REFUSALS: usize = 20;

/// Upper bound of a message's description, in characters.
const MAX_TEXT_CHARS: usize = 300;

/// Upper bound of the writes of one block that are kept, in bytes of keys and overhead.
const MAX_BLOCK_BYTES: usize = 64 << 20;
