//! What this node sees of its own work, outside of consensus: for the report at its end, for traces and metrics.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use capstan_abi::{CapData, Delivery, DeliveryResult, json::delivery_to_json};
use capstan_kernel::{
    ids::KRef,
    queue::{RunQueueEvent, event_to_json},
    slog::{Event, Slog},
};
use capstan_kernel_ports::{Hash, VatId};

use crate::{
    metrics::Metrics,
    trace::{BlockTrace, Link, Written},
};

/// The last thing that the kernel did, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastCrank {
    /// The block's height.
    pub height: u64,
    /// The crank's number.
    pub crank: u64,
    /// What it worked on.
    pub message: String,
    /// The last delivery that it made; none if it made none.
    pub delivery: Option<LastDelivery>,
}

/// A delivery, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastDelivery {
    /// To which vat.
    pub vat: VatId,
    /// Its position in the vat's transcript.
    pub number: u64,
    /// What it was.
    pub delivery: String,
    /// How it ended; none if it did not.
    pub result: Option<String>,
}

/// Notes of the block in progress. Clones are handles of the same notes.
#[derive(Clone, Debug)]
pub(crate) struct Watch(Arc<Mutex<Notes>>);

#[derive(Debug)]
struct Notes {
    tracing: bool,
    /// The crank chain's hash as far as it is known.
    chain: Option<Hash>,
    last: Option<LastCrank>,
    trace: BlockTrace,
    /// Bytes that may still be kept of the block's writes.
    room: usize,
    metrics: Metrics,
}

impl Watch {
    pub(crate) fn new(tracing: bool, metrics: Metrics) -> Self {
        let trace = BlockTrace::default();
        Self(Arc::new(Mutex::new(Notes {
            tracing,
            chain: None,
            last: None,
            trace,
            room: 0,
            metrics,
        })))
    }

    /// The slog for the kernel: takes notes, and passes all on to `next`.
    pub(crate) fn slog(&self, next: Vec<Box<dyn Slog + Send>>) -> Box<dyn Slog + Send> {
        Box::new(Tee { watch: self.clone(), next })
    }

    /// A block begins. `chain` is asked for the crank chain's hash if it is not known.
    pub(crate) fn begin_block<E>(
        &self,
        height: u64,
        chain: impl FnOnce() -> Result<Hash, E>,
    ) -> Result<(), E> {
        let mut notes = self.notes();
        let before = match notes.chain {
            Some(hash) => hash,
            None => chain()?,
        };
        notes.last = None;
        notes.room = MAX_BLOCK_BYTES;
        notes.trace = BlockTrace { height, before, ..BlockTrace::default() };
        Ok(())
    }

    /// What was noted of the block so far; the notes are empty then.
    pub(crate) fn take_trace(&self) -> Option<BlockTrace> {
        let mut notes = self.notes();
        let trace = std::mem::take(&mut notes.trace);
        notes.tracing.then_some(trace)
    }

    /// What the block came to is not what is committed: the crank chain is to be read again.
    pub(crate) fn forget(&self) {
        self.notes().chain = None;
    }

    /// Computes a block's root, and notes how long that takes.
    pub(crate) fn root<T>(&self, compute: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = compute();
        self.notes().metrics.root_computed(began.elapsed());
        result
    }

    /// The last thing that the kernel did in this block.
    pub(crate) fn last(&self) -> Option<LastCrank> {
        self.notes().last.clone()
    }

    /// Whether traces are kept.
    pub(crate) fn is_tracing(&self) -> bool {
        self.notes().tracing
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each note is whole, whatever happened after it.
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
            Event::CrankStart { crank, message, .. } => {
                let (height, message) = (self.trace.height, about_event(message));
                self.last = Some(LastCrank { height, crank: *crank, message, delivery: None });
            }
            Event::Deliver { vat, delivery_number, kernel, .. } => {
                if let Some(last) = &mut self.last {
                    last.delivery = Some(LastDelivery {
                        vat: *vat,
                        number: *delivery_number,
                        delivery: about_delivery(kernel),
                        result: None,
                    });
                }
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
            Event::Terminate { vat, failure, info } => {
                tracing::info!(%vat, failure, info = cut(&info.body), "a vat ended");
            }
            Event::DeviceThrew { device, method, why } => {
                tracing::warn!(device, method, why, "a device refused a call");
            }
            Event::Chained { crank, hash, writes } => {
                self.chain = Some(*hash);
                if self.tracing {
                    let mut kept = Vec::new();
                    let room = &mut self.room;
                    writes.visit(&mut |key, value| kept.extend(keep(room, key, value)));
                    let about = crank.map_or(Vec::new(), |_| self.about_last());
                    self.trace.links.push(Link { crank: *crank, about, hash: *hash, writes: kept });
                }
            }
            _ => {}
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

/// Keeps a write while there is room for it.
fn keep(room: &mut usize, key: &[u8], value: Option<&[u8]>) -> Option<Written> {
    *room = room.checked_sub(key.len() + 64)?;
    Some(Written::new(key, value))
}

fn about_event(event: &RunQueueEvent) -> String {
    match event {
        RunQueueEvent::Send { target, message, .. } => {
            format!("send {target} {}", about_data(&message.methargs))
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

/// How much of a message is told.
const MAX_TEXT_CHARS: usize = 300;

/// How much of one block's writes is kept, in bytes of keys and what goes with them.
const MAX_BLOCK_BYTES: usize = 64 << 20;
