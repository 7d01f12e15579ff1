//! A vat host without an engine: its vats do what the recording says they did. It tests the kernel
//! alone.

use std::collections::BTreeSet;

use capstan_abi::{
    Delivery, DeliveryResult,
    json::{delivery_to_json, syscall_from_json, syscall_result_to_json},
};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{
        Delivered, HostFault, SourceRefused, Start, StartVerdict, Syscalls, VatHost, WorkerOptions,
        WorkerSource,
    },
};
use serde_json::Value;

use crate::{
    compare,
    runner::ScenarioHost,
    scenario::Scenario,
    script::{self, Script},
};

/// Plays recorded vats.
#[derive(Debug)]
pub struct RecordedHost {
    script: Script,
    running: BTreeSet<VatId>,
}

impl RecordedHost {
    /// A host for all vats of a recording.
    pub fn new(scenario: &Scenario) -> Self {
        Self { script: Script::new(scenario), running: BTreeSet::new() }
    }
}

impl ScenarioHost for RecordedHost {
    fn commit(&mut self) {
        self.script.commit();
    }

    fn roll_back(&mut self) {
        self.script.roll_back();
    }
}

impl VatHost for RecordedHost {
    fn engine(&self) -> Hash {
        Hash::default()
    }

    fn validate(&self, _module: &[u8]) -> StartVerdict {
        Err(SourceRefused("a recorded host runs no wasm".to_owned()))
    }

    fn start(
        &mut self,
        vat: VatId,
        _source: &WorkerSource,
        _options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        self.script.started(vat);
        self.running.insert(vat);
        Ok(Start::free(Ok(())))
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        _limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let got = delivery_to_json(delivery);
        let scripted = self.script.next(vat, delivery);
        let scripted = scripted
            .ok_or_else(|| HostFault::Missing(format!("{vat} has no part in delivery {got}")))?;
        if !compare::same(&scripted["vd"], &got) {
            return Err(HostFault::Missing(format!(
                "{vat}: expected {}, got {got}",
                scripted["vd"]
            )));
        }
        play(vat, &scripted, syscalls)
    }

    fn is_running(&self, vat: VatId) -> bool {
        self.running.contains(&vat)
    }

    fn stop(&mut self, vat: VatId) {
        self.running.remove(&vat);
    }

    fn takes_snapshots(&self, vat: VatId) -> bool {
        !self.script.is_local(vat)
    }

    fn heap(&self, _vat: VatId) -> Option<(Hash, u64)> {
        None
    }
}

fn play(vat: VatId, scripted: &Value, syscalls: &mut dyn Syscalls) -> Result<Delivered, HostFault> {
    for row in scripted["syscalls"].as_array().into_iter().flatten() {
        let syscall = syscall_from_json(row["vsc"].to_string().as_bytes());
        let syscall = syscall.map_err(|e| HostFault::Missing(e.to_string()))?;
        let answer =
            syscalls.syscall(syscall).ok_or_else(|| HostFault::Missing("unwound".to_owned()))?;
        let answer = syscall_result_to_json(&answer);
        if !compare::same(&row["vsr"], &answer) {
            let (call, expected) = (&row["vsc"], &row["vsr"]);
            return Err(HostFault::Missing(format!(
                "{vat}: {call}: expected {expected}, got {answer}"
            )));
        }
    }
    let result = match scripted["dr"][0].as_str() {
        Some("ok") => DeliveryResult::Ok,
        _ => DeliveryResult::Error(scripted["dr"][1].as_str().unwrap_or_default().into()),
    };
    let log = scripted["log"].as_array().into_iter().flatten();
    Ok(Delivered {
        result,
        computrons: script::computrons(scripted),
        test_log: log.filter_map(|line| line.as_str().map(str::to_owned)).collect(),
    })
}
