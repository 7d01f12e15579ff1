//! Writes down what the kernel does, in the shape of the recordings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_abi::{
    Delivery, DeliveryResult,
    json::{capdata_to_json, delivery_to_json, syscall_result_to_json, syscall_to_json},
};
use capstan_kernel::{
    ids::KRef,
    queue::event_to_json,
    slog::{CrankType, Event, Slog},
};
use serde_json::{Value, json};

/// The log so far, shared with the kernel.
#[derive(Clone, Debug, Default)]
pub struct Recording(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    cranks: Vec<Value>,
    /// A crank is going on. Deliveries outside of one (for a snapshot) are not written down.
    open: bool,
}

impl Recording {
    /// The cranks so far.
    pub fn cranks(&self) -> Vec<Value> {
        self.written().cranks.clone()
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_last(&self, change: impl FnOnce(&mut Value)) {
        let mut written = self.written();
        if !written.open {
            return;
        }
        if let Some(last) = written.cranks.last_mut() {
            change(last);
        }
    }

    fn with_delivery(&self, change: impl FnOnce(&mut Value)) {
        self.with_last(|crank| {
            if let Some(delivery) = crank["deliveries"].as_array_mut().and_then(|d| d.last_mut()) {
                change(delivery);
            }
        });
    }
}

impl Recording {
    fn note_result(&self, result: &DeliveryResult, test_log: &[String]) {
        let result = match result {
            DeliveryResult::Ok => json!(["ok"]),
            DeliveryResult::Error(text) => json!(["error", text.legible()]),
        };
        self.with_delivery(|delivery| {
            delivery["dr"] = result;
            if !test_log.is_empty() {
                delivery["log"] = json!(test_log);
            }
        });
    }
}

fn push(list: &mut Value, item: Value) {
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(items) = list.as_array_mut() {
        items.push(item);
    }
}

impl Slog for Recording {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::CrankStart { crank, crank_type, message, .. } => {
                let kind = match crank_type {
                    CrankType::Routing => "routing",
                    CrankType::Delivery => "delivery",
                };
                let crank = json!({"crankNum": crank, "crankType": kind, "message": event_to_json(message)});
                let mut written = self.written();
                written.cranks.push(crank);
                written.open = true;
            }
            Event::Deliver { vat, delivery_number, kernel, vat_delivery, .. } => {
                let delivery = json!({
                    "vatID": vat.to_string(),
                    "deliveryNum": delivery_number,
                    "kd": kernel_delivery_to_json(kernel),
                    "vd": delivery_to_json(vat_delivery),
                    "syscalls": [],
                });
                self.with_last(|crank| push(&mut crank["deliveries"], delivery));
            }
            Event::DeliverResult { result, test_log, .. } => self.note_result(result, test_log),
            Event::Syscall { syscall, result, refusal, .. } => {
                let mut row = json!({
                    "vsc": syscall_to_json(syscall),
                    "vsr": syscall_result_to_json(result),
                });
                if let Some(refusal) = refusal {
                    row["refusal"] = json!(refusal);
                }
                self.with_delivery(|delivery| push(&mut delivery["syscalls"], row));
            }
            Event::Clist { endpoint, change, kref, vref } => {
                let row = json!([change, endpoint.to_string(), kref.to_string(), vref]);
                self.with_last(|crank| push(&mut crank["clist"], row));
            }
            Event::CrankFinish { .. } => self.written().open = false,
            Event::Chained { .. }
            | Event::DeliveryLost { .. }
            | Event::Terminate { .. }
            | Event::UpgradeFailed { .. }
            | Event::WorkerStart { .. }
            | Event::WorkerStarted { .. }
            | Event::Console { .. }
            | Event::ReplayStart { .. }
            | Event::VatCleanup { .. }
            | Event::Replay { .. }
            | Event::SnapshotStart { .. }
            | Event::SnapshotSaved { .. }
            | Event::SnapshotLoaded { .. }
            | Event::DeviceThrew { .. }
            | Event::ServiceInvoked { .. }
            | Event::PromisePolicy { .. } => {}
        }
    }
}

/// SwingSet's kernel form of a delivery, which differs from the vat's in notifications.
fn kernel_delivery_to_json(delivery: &Delivery<KRef>) -> Value {
    let Delivery::Notify { resolutions } = delivery else { return delivery_to_json(delivery) };
    let rows = resolutions.iter().map(|resolution| {
        let state = if resolution.rejected { "rejected" } else { "fulfilled" };
        let data = capdata_to_json(&resolution.data);
        json!([resolution.promise.to_string(), {"state": state, "data": data}])
    });
    json!(["notify", rows.collect::<Vec<_>>()])
}
