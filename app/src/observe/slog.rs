//! The slog: events of the kernel as lines of JSON in a file.
//!
//! Types and fields are named as in SwingSet's slog, so that tools written for it read this one: `kernel-init-start`,
//! `kernel-init-finish`, `create-vat`, `vat-startup-start`, `vat-startup-finish`, `console`, `crank-start`,
//! `crank-finish` (with `crankhash`, the link of Capstan's crank chain), `deliver`, `deliver-result`, `syscall`,
//! `syscall-result`, `clist`, `terminate`, `vat-cleanup`, `vat-cleanup-complete`, `start-replay`, `finish-replay`,
//! `heap-snapshot-save`, `heap-snapshot-load`, and of the chain `cosmic-swingset-bootstrap-block-start` and `-finish`,
//! `cosmic-swingset-begin-block`, `cosmic-swingset-end-block-start` and `-finish`, `cosmic-swingset-commit-block-start`
//! and `-finish`, `cosmic-swingset-after-commit-block`. As there, `create-vat` and `vat-startup-…` come the first time
//! that this process brings a vat into memory, and what ends something has its `seconds`, except for syscalls. Deliveries
//! that are replayed are not written again. Capstan's own are `device-threw` and `promise-policy`. Every line has `time`,
//! seconds since 1970, and `monotime`, seconds since the process's slog began. Events of cranks that were undone are
//! there too.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use capstan_abi::json::{
    capdata_to_json, delivery_to_json, syscall_result_to_json, syscall_to_json,
};
use capstan_abi::{Delivery, DeliveryResult};
use capstan_files::{RotatingFile, Rotation};
use capstan_kernel::{
    ids::{BundleKind, KRef},
    queue::event_to_json,
    slog::{CrankType, Event, Slog},
    vat::VatConfig,
};
use capstan_kernel_ports::VatId;
use serde_json::{Value, json};

/// Handle of a slog file. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct SlogFile(Arc<Mutex<Writer>>);

#[derive(Debug)]
struct Writer {
    out: RotatingFile,
    began: Instant,
    /// Start times of unfinished activities, by the type of the line that will end each.
    under_way: BTreeMap<&'static str, Instant>,
    /// Vats that this process has brought into memory before.
    known: BTreeSet<VatId>,
    /// Vat that is being brought into memory for the first time, or `None`.
    starting: Option<VatId>,
    crank: u64,
    hash: Option<String>,
    delivery: Option<(String, u64)>,
    syscalls: u64,
    failed: bool,
}

impl SlogFile {
    /// Opens the file at `path` to append to it, or creates it. `rotation` bounds its size: see [`Rotation`].
    pub fn append(path: &Path, rotation: Rotation) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Writer {
            out: RotatingFile::append(path, rotation)?,
            began: Instant::now(),
            under_way: BTreeMap::new(),
            known: BTreeSet::new(),
            starting: None,
            crank: 0,
            hash: None,
            delivery: None,
            syscalls: 0,
            failed: false,
        }))))
    }

    pub(crate) fn kernel_init(&self) {
        self.writer().start("kernel-init-start", "kernel-init-finish", json!({}));
    }

    pub(crate) fn kernel_ready(&self) {
        self.writer().finish("kernel-init-finish", json!({}));
    }

    pub(crate) fn bootstrap(&self, time: Option<u64>) {
        self.writer().start(
            "cosmic-swingset-bootstrap-block-start",
            "cosmic-swingset-bootstrap-block-finish",
            json!({"blockTime": time}),
        );
    }

    pub(crate) fn bootstrapped(&self, time: Option<u64>) {
        let mut writer = self.writer();
        writer.finish("cosmic-swingset-bootstrap-block-finish", json!({"blockTime": time}));
        writer.flush();
    }

    pub(crate) fn begin_block(&self, height: u64, time: Option<u64>) {
        let mut writer = self.writer();
        let fields = json!({"blockHeight": height, "blockTime": time});
        writer.put("cosmic-swingset-begin-block", fields.clone());
        writer.start("cosmic-swingset-end-block-start", "cosmic-swingset-end-block-finish", fields);
    }

    pub(crate) fn end_block(&self, height: u64, cranks: u64, computrons: u64) {
        let mut writer = self.writer();
        let fields = json!({"blockHeight": height, "cranks": cranks, "computrons": computrons});
        writer.finish("cosmic-swingset-end-block-finish", fields);
        writer.flush();
    }

    pub(crate) fn commit(&self, height: u64) {
        self.writer().start(
            "cosmic-swingset-commit-block-start",
            "cosmic-swingset-commit-block-finish",
            json!({"blockHeight": height}),
        );
    }

    pub(crate) fn committed(&self, height: u64) {
        let mut writer = self.writer();
        writer.finish("cosmic-swingset-commit-block-finish", json!({"blockHeight": height}));
        writer.put("cosmic-swingset-after-commit-block", json!({"blockHeight": height}));
        writer.flush();
    }

    /// Flushes the buffer to the file.
    pub(crate) fn flush(&self) {
        self.writer().flush();
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic cannot leave part of a line, so the lock's state is consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slog for SlogFile {
    fn event(&mut self, event: Event<'_>) {
        self.writer().event(&event);
    }
}

impl Writer {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::CrankStart { crank, crank_type, message, .. } => {
                self.crank = *crank;
                self.delivery = None;
                let message = event_to_json(message);
                let kind = match crank_type {
                    CrankType::Routing => "routing",
                    CrankType::Delivery => "delivery",
                };
                let fields = json!({"crankType": kind, "crankNum": crank, "messageType": message["type"], "message": message});
                self.start("crank-start", "crank-finish", fields);
            }
            Event::Chained { hash, .. } => self.hash = Some(hash.to_string()),
            Event::CrankFinish { crank } => {
                let hash = self.hash.take();
                self.finish("crank-finish", json!({"crankNum": crank, "crankhash": hash}));
            }
            Event::Deliver { vat, delivery_number, kernel, vat_delivery } => {
                self.delivery = Some((vat.to_string(), *delivery_number));
                self.syscalls = 0;
                let (kd, vd) = (kernel_delivery(kernel), delivery_to_json(vat_delivery));
                let fields =
                    self.about(json!({"replay": false, "dispatch": vd[0], "kd": kd, "vd": vd}));
                self.start("deliver", "deliver-result", fields);
            }
            Event::DeliverResult { result, computrons, .. } => {
                let usage = json!({"compute": computrons.map(|c| c.0)});
                let dr = match result {
                    DeliveryResult::Ok => json!(["ok", null, usage]),
                    DeliveryResult::Error(text) => json!(["error", text.legible(), usage]),
                };
                let fields = self.about(json!({"replay": false, "dr": dr}));
                self.finish("deliver-result", fields);
                self.delivery = None;
            }
            Event::Syscall { syscall, result, refusal, .. } => {
                let vsc = syscall_to_json(syscall);
                let number = self.syscalls;
                self.syscalls += 1;
                let fields = self.about(
                    json!({"syscallNum": number, "replay": false, "syscall": vsc[0], "vsc": vsc}),
                );
                self.put("syscall", fields);
                let mut fields = self.about(json!({"syscallNum": number, "replay": false, "vsr": syscall_result_to_json(result)}));
                if let Some(why) = refusal {
                    fields["refusal"] = json!(why);
                }
                self.put("syscall-result", fields);
            }
            Event::Clist { endpoint, change, kref, vref } => {
                let fields = json!({"crankNum": self.crank, "mode": change, "vatID": endpoint.to_string(), "kobj": kref.to_string(), "vobj": vref});
                self.put("clist", fields);
            }
            Event::Terminate { vat, failure, info } => {
                let fields = json!({"vatID": vat.to_string(), "shouldReject": failure, "info": capdata_to_json(info)});
                self.put("terminate", fields);
            }
            Event::DeliveryLost { vat, cause } => {
                let fields = json!({"vatID": vat.to_string(), "cause": capdata_to_json(cause)});
                self.put("delivery-lost", fields);
            }
            Event::VatCleanup { vat, work, complete } => {
                let work = format!("{work:?}");
                self.put("vat-cleanup", json!({"vatID": vat.to_string(), "work": work}));
                if *complete {
                    self.put("vat-cleanup-complete", json!({"vatID": vat.to_string()}));
                }
            }
            Event::SnapshotStart { .. } => {
                self.under_way.insert("heap-snapshot-save", Instant::now());
            }
            Event::SnapshotSaved { vat, heap, pages, position } => {
                let seconds = self.seconds("heap-snapshot-save");
                let fields = json!({
                    "vatID": vat.to_string(),
                    "snapshotID": heap.to_string(),
                    "endPosition": position,
                    "pages": pages,
                    "saveSeconds": seconds,
                });
                self.put("heap-snapshot-save", fields);
            }
            Event::SnapshotLoaded { vat, heap } => {
                let fields = json!({"vatID": vat.to_string(), "snapshotID": heap.to_string()});
                self.put("heap-snapshot-load", fields);
            }
            Event::WorkerStart { vat, config } => {
                self.starting = self.known.insert(*vat).then_some(*vat);
                if self.starting.is_some() {
                    self.put("create-vat", create_vat(*vat, config));
                    let fields = json!({"vatID": vat.to_string()});
                    self.start("vat-startup-start", "vat-startup-finish", fields);
                }
            }
            Event::WorkerStarted { vat } => {
                if self.starting.take().is_some() {
                    self.finish("vat-startup-finish", json!({"vatID": vat.to_string()}));
                }
            }
            Event::ReplayStart { vat, entries } => {
                let fields = json!({"vatID": vat.to_string(), "deliveries": entries});
                self.start("start-replay", "finish-replay", fields);
            }
            Event::Replay { vat, deliveries } => {
                let fields = json!({"vatID": vat.to_string(), "deliveries": deliveries});
                self.finish("finish-replay", fields);
            }
            Event::Console { vat, source, level, text } => {
                // Liveslots calls itself `ls`. SwingSet's slog spells it out.
                let source = if *source == "ls" { "liveslots" } else { source };
                let mut fields = self.about(json!({
                    "source": source,
                    "state": "delivery",
                    "level": level,
                    "args": [text],
                }));
                fields["vatID"] = json!(vat.to_string());
                self.put("console", fields);
            }
            Event::DeviceThrew { device, method, why } => {
                let fields =
                    json!({"crankNum": self.crank, "device": device, "method": method, "why": why});
                self.put("device-threw", fields);
            }
            Event::ServiceInvoked { service, method, why_not } => {
                let fields = json!({"crankNum": self.crank, "service": service, "method": method, "error": why_not});
                self.put("kernel-service", fields);
            }
            Event::PromisePolicy { promise, rejected, data } => {
                let fields = json!({"kpid": promise.to_string(), "rejected": rejected, "data": capdata_to_json(data)});
                self.put("promise-policy", fields);
            }
        }
    }

    /// Adds to `fields` those that name the current delivery.
    fn about(&self, mut fields: Value) -> Value {
        if let Some((vat, number)) = &self.delivery {
            fields["crankNum"] = json!(self.crank);
            fields["vatID"] = json!(vat);
            fields["deliveryNum"] = json!(number);
        }
        fields
    }

    /// Writes the first line of an activity, which a line of the type `end` will end.
    fn start(&mut self, kind: &str, end: &'static str, fields: Value) {
        self.put(kind, fields);
        self.under_way.insert(end, Instant::now());
    }

    /// Writes the last line of an activity.
    fn finish(&mut self, kind: &'static str, mut fields: Value) {
        fields["seconds"] = json!(self.seconds(kind));
        self.put(kind, fields);
    }

    /// Returns the duration, in seconds, of the activity that a line of the type `end` ends.
    fn seconds(&mut self, end: &'static str) -> Option<f64> {
        self.under_way.remove(end).map(|began| began.elapsed().as_secs_f64())
    }

    fn put(&mut self, kind: &str, fields: Value) {
        // A clock before 1970 is wrong, but that is no reason to stop.
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut line = json!({"type": kind});
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
            line.insert("time".to_owned(), json!(time.as_secs_f64()));
            line.insert("monotime".to_owned(), json!(self.began.elapsed().as_secs_f64()));
        }
        let written = self.out.write_line(&line.to_string());
        self.note(written);
    }

    fn flush(&mut self) {
        let flushed = self.out.flush();
        self.note(flushed);
    }

    /// Logs the first of several failures in a row. A node goes on without its slog.
    fn note(&mut self, outcome: io::Result<()>) {
        if let (Err(error), false) = (&outcome, self.failed) {
            tracing::warn!(%error, "the slog cannot be written");
        }
        self.failed = outcome.is_err();
    }
}

/// Builds the line `create-vat`, as in SwingSet's slog.
fn create_vat(vat: VatId, config: &VatConfig) -> Value {
    let name = config.name.as_deref().unwrap_or_default();
    let description = format!("{name} (from bundleID: {})", config.bundle_id);
    let is_wasm = BundleKind::from_id(&config.bundle_id) == Some(BundleKind::Wasm);
    json!({
        "vatID": vat.to_string(),
        "dynamic": !config.is_static,
        "description": description.trim(),
        "name": config.name,
        "managerType": if is_wasm { "wasm" } else { "javascript" },
        "vatSourceBundle": {"bundleID": config.bundle_id},
    })
}

/// Returns SwingSet's kernel form of a [`Delivery`], which differs from the vat's in notifications.
fn kernel_delivery(delivery: &Delivery<KRef>) -> Value {
    let Delivery::Notify { resolutions } = delivery else { return delivery_to_json(delivery) };
    let rows = resolutions.iter().map(|resolution| {
        let state = if resolution.rejected { "rejected" } else { "fulfilled" };
        json!([resolution.promise.to_string(), {"state": state, "data": capdata_to_json(&resolution.data)}])
    });
    json!(["notify", rows.collect::<Vec<_>>()])
}
