//! The line of each event of the kernel.

use std::time::Instant;

use capstan_abi::json::{
    capdata_to_json, delivery_to_json, syscall_result_to_json, syscall_to_json,
};
use capstan_abi::{Delivery, DeliveryResult, Syscall, SyscallResult};
use capstan_kernel::{
    ids::{BundleKind, KRef},
    queue::{RunQueueEvent, event_to_json},
    slog::{CrankType, Event},
    vat::VatConfig,
};
use capstan_kernel_ports::{Computrons, Hash, VatId};
use serde_json::{Value, json};

use super::writer::Writer;

impl Writer {
    /// Writes the lines of an event.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::CrankStart { crank, crank_type, message, .. } => {
                self.crank_start(*crank, *crank_type, message);
            }
            Event::Chained { hash, .. } => self.hash = Some(hash.to_string()),
            Event::CrankFinish { crank } => self.crank_finish(*crank),
            Event::Deliver { vat, delivery_number, kernel, vat_delivery, .. } => {
                self.deliver(*vat, *delivery_number, kernel, vat_delivery);
            }
            Event::DeliverResult { result, computrons, .. } => {
                self.deliver_result(result, *computrons);
            }
            Event::Syscall { syscall, result, refusal, .. } => {
                self.syscall(syscall, result, *refusal);
            }
            Event::Console { vat, source, level, text } => self.console(*vat, source, level, text),
            Event::WorkerStart { vat, config } => self.worker_start(*vat, config),
            Event::WorkerStarted { vat } => {
                if self.starting.take().is_some() {
                    self.finish("vat-startup-finish", about_vat(*vat));
                }
            }
            Event::SnapshotStart { .. } => {
                self.under_way.insert("heap-snapshot-save", Instant::now());
            }
            Event::SnapshotSaved { vat, heap, pages, position } => {
                self.snapshot_saved(*vat, heap, *pages, *position);
            }
            Event::VatCleanup { vat, work, complete } => {
                let work = format!("{work:?}");
                self.put("vat-cleanup", json!({"vatID": vat.to_string(), "work": work}));
                if *complete {
                    self.put("vat-cleanup-complete", about_vat(*vat));
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
            Event::Clist { .. }
            | Event::Terminate { .. }
            | Event::UpgradeFailed { .. }
            | Event::DeliveryLost { .. }
            | Event::SnapshotLoaded { .. }
            | Event::DeviceThrew { .. }
            | Event::ServiceInvoked { .. }
            | Event::PromisePolicy { .. } => self.single_line(event),
        }
    }

    /// Writes the line of an event that neither begins nor ends anything.
    fn single_line(&mut self, event: &Event<'_>) {
        let (kind, fields) = match event {
            Event::Clist { endpoint, change, kref, vref } => (
                "clist",
                json!({"crankNum": self.crank, "mode": change, "vatID": endpoint.to_string(), "kobj": kref.to_string(), "vobj": vref}),
            ),
            Event::Terminate { vat, kind, info, .. } => (
                "terminate",
                json!({"vatID": vat.to_string(), "shouldReject": kind.rejects(), "info": capdata_to_json(info)}),
            ),
            Event::UpgradeFailed { vat, cause } => {
                ("vat-upgrade-failed", json!({"vatID": vat.to_string(), "cause": cause}))
            }
            Event::DeliveryLost { vat, cause } => (
                "delivery-lost",
                json!({"vatID": vat.to_string(), "cause": capdata_to_json(cause)}),
            ),
            Event::SnapshotLoaded { vat, heap } => (
                "heap-snapshot-load",
                json!({"vatID": vat.to_string(), "snapshotID": heap.to_string()}),
            ),
            Event::DeviceThrew { device, method, why } => (
                "device-threw",
                json!({"crankNum": self.crank, "device": device, "method": method, "why": why}),
            ),
            Event::ServiceInvoked { service, method, why_not } => (
                "kernel-service",
                json!({"crankNum": self.crank, "service": service, "method": method, "error": why_not}),
            ),
            Event::PromisePolicy { promise, rejected, data } => (
                "promise-policy",
                json!({"kpid": promise.to_string(), "rejected": rejected, "data": capdata_to_json(data)}),
            ),
            _ => return,
        };
        self.put(kind, fields);
    }

    fn crank_start(&mut self, crank: u64, crank_type: CrankType, message: &RunQueueEvent) {
        self.crank = crank;
        self.delivery = None;
        let message = event_to_json(message);
        let kind = match crank_type {
            CrankType::Routing => "routing",
            CrankType::Delivery => "delivery",
        };
        let fields = json!({"crankType": kind, "crankNum": crank, "messageType": message["type"], "message": message});
        self.start("crank-start", "crank-finish", fields);
    }

    fn crank_finish(&mut self, crank: u64) {
        let hash = self.hash.take();
        self.finish("crank-finish", json!({"crankNum": crank, "crankhash": hash}));
    }

    fn deliver(
        &mut self,
        vat: VatId,
        number: u64,
        kernel: &Delivery<KRef>,
        vat_delivery: &Delivery,
    ) {
        self.delivery = Some((vat.to_string(), number));
        self.syscalls = 0;
        let (kd, vd) = (kernel_delivery(kernel), delivery_to_json(vat_delivery));
        let fields = self.about(json!({"replay": false, "dispatch": vd[0], "kd": kd, "vd": vd}));
        self.start("deliver", "deliver-result", fields);
    }

    fn deliver_result(&mut self, result: &DeliveryResult, computrons: Option<Computrons>) {
        let usage = json!({"compute": computrons.map(|c| c.0)});
        let dr = match result {
            DeliveryResult::Ok => json!(["ok", null, usage]),
            DeliveryResult::Error(text) => json!(["error", text.legible(), usage]),
        };
        let fields = self.about(json!({"replay": false, "dr": dr}));
        self.finish("deliver-result", fields);
        self.delivery = None;
    }

    fn syscall(&mut self, syscall: &Syscall, result: &SyscallResult, refusal: Option<&str>) {
        let vsc = syscall_to_json(syscall);
        let number = self.syscalls;
        self.syscalls += 1;
        let fields = self
            .about(json!({"syscallNum": number, "replay": false, "syscall": vsc[0], "vsc": vsc}));
        self.put("syscall", fields);
        let vsr = syscall_result_to_json(result);
        let mut fields = self.about(json!({"syscallNum": number, "replay": false, "vsr": vsr}));
        if let Some(why) = refusal {
            fields["refusal"] = json!(why);
        }
        self.put("syscall-result", fields);
    }

    fn console(&mut self, vat: VatId, source: &str, level: &str, text: &str) {
        // Liveslots calls itself `ls`. SwingSet's slog spells it out.
        let source = if source == "ls" { "liveslots" } else { source };
        let mut fields = self.about(json!({
            "source": source,
            "state": "delivery",
            "level": level,
            "args": [text],
        }));
        fields["vatID"] = json!(vat.to_string());
        self.put("console", fields);
    }

    fn worker_start(&mut self, vat: VatId, config: &VatConfig) {
        self.starting = self.known.insert(vat).then_some(vat);
        if self.starting.is_some() {
            self.put("create-vat", create_vat(vat, config));
            self.start("vat-startup-start", "vat-startup-finish", about_vat(vat));
        }
    }

    fn snapshot_saved(&mut self, vat: VatId, heap: &Hash, pages: u64, position: u64) {
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
}

fn about_vat(vat: VatId) -> Value {
    json!({"vatID": vat.to_string()})
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
