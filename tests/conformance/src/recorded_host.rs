//! A vat host without an engine: its vats do what the recording says they did. It tests the kernel
//! alone.

use std::collections::{BTreeMap, VecDeque};

use capstan_abi::{Delivery, DeliveryResult, json::{delivery_to_json, syscall_from_json, syscall_result_to_json}};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{Delivered, HostFault, Syscalls, VatHost, WorkerOptions, WorkerSource},
};
use serde_json::Value;

use crate::compare;

/// Plays recorded vats.
#[derive(Debug, Default)]
pub struct RecordedHost {
    vats: BTreeMap<VatId, Part>,
}

/// One vat's part.
#[derive(Debug, Default)]
struct Part {
    running: bool,
    /// Deliveries to come.
    script: VecDeque<Value>,
    /// Deliveries of this incarnation that were played.
    played: Vec<Value>,
    /// Deliveries of this incarnation still to be replayed.
    replay: VecDeque<Value>,
    /// No delivery was played since the worker was started.
    fresh: bool,
}

impl RecordedHost {
    /// The parts of all vats in a recording.
    pub fn new(expected: &Value) -> Self {
        let mut host = Self::default();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let in_cranks = list(&expected["cranks"]).into_iter().flat_map(|crank| list(&crank["deliveries"]));
        for delivery in in_cranks.chain(list(&expected["other"])) {
            if let Some(vat) = delivery["vatID"].as_str().and_then(|id| id.parse().ok()) {
                host.vats.entry(vat).or_default().script.push_back(delivery);
            }
        }
        for part in host.vats.values_mut() {
            part.script.make_contiguous().sort_by_key(|delivery| delivery["deliveryNum"].as_u64());
        }
        host
    }
}

impl VatHost for RecordedHost {
    fn engine(&self) -> Hash {
        Hash::default()
    }

    fn validate(&self, _module: &[u8]) -> Result<(), String> {
        Err("a recorded host runs no wasm".to_owned())
    }

    fn start(
        &mut self,
        vat: VatId,
        _source: &WorkerSource,
        _options: &WorkerOptions,
    ) -> Result<Result<(), String>, HostFault> {
        let part = self.vats.entry(vat).or_default();
        part.running = true;
        part.fresh = true;
        part.replay = part.played.iter().cloned().collect();
        Ok(Ok(()))
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        _limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let part = self.vats.entry(vat).or_default();
        let got = delivery_to_json(delivery);
        let starts_over = |next: Option<&Value>| {
            matches!(delivery, Delivery::StartVat { .. })
                && next.is_some_and(|next| compare::same(&next["vd"], &got))
        };
        if part.fresh && starts_over(part.script.front()) {
            part.played.clear();
            part.replay.clear();
        }
        part.fresh = false;
        let (scripted, replayed) = match part.replay.pop_front() {
            Some(scripted) => (scripted, true),
            None => {
                let next = part.script.pop_front();
                let extra = || HostFault(format!("{vat} has no part in delivery {got}"));
                (next.ok_or_else(extra)?, false)
            }
        };
        if !replayed {
            part.played.push(scripted.clone());
        }
        if !compare::same(&scripted["vd"], &got) {
            return Err(HostFault(format!("{vat}: expected {}, got {got}", scripted["vd"])));
        }
        play(vat, &scripted, syscalls)
    }

    fn is_running(&self, vat: VatId) -> bool {
        self.vats.get(&vat).is_some_and(|part| part.running)
    }

    fn stop(&mut self, vat: VatId) {
        if let Some(part) = self.vats.get_mut(&vat) {
            part.running = false;
        }
    }

    fn heap(&self, _vat: VatId) -> Option<(Hash, u64)> {
        None
    }
}

fn play(vat: VatId, scripted: &Value, syscalls: &mut dyn Syscalls) -> Result<Delivered, HostFault> {
    for row in scripted["syscalls"].as_array().into_iter().flatten() {
        let syscall = syscall_from_json(&row["vsc"]).map_err(|e| HostFault(e.to_string()))?;
        let answer = syscalls.syscall(syscall).ok_or_else(|| HostFault("unwound".to_owned()))?;
        let answer = syscall_result_to_json(&answer);
        if !compare::same(&row["vsr"], &answer) {
            let (call, expected) = (&row["vsc"], &row["vsr"]);
            return Err(HostFault(format!("{vat}: {call}: expected {expected}, got {answer}")));
        }
    }
    let result = match scripted["dr"][0].as_str() {
        Some("ok") => DeliveryResult::Ok,
        _ => DeliveryResult::Error(scripted["dr"][1].as_str().unwrap_or_default().to_owned()),
    };
    let log = scripted["log"].as_array().into_iter().flatten();
    Ok(Delivered {
        result,
        computrons: scripted["dr"][2]["compute"].as_u64().map(Computrons),
        test_log: log.filter_map(|line| line.as_str().map(str::to_owned)).collect(),
    })
}
