//! The functions that are fuzzed: everything that reads bytes from strangers. Each function takes any bytes and
//! panics only if a property is broken.
//!
//! `make fuzz` runs them under libFuzzer, starting from [`seeds`]. It also compares the JavaScript worker with Node on random
//! programs: `programs/compare.mjs`.
//!
//! ```
//! // Bytes that are no transaction are refused, and never panic.
//! capstan_fuzz::tx(b"\x0a\xff");
//! ```

mod seeds;

use std::sync::{LazyLock, Mutex, PoisonError};

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{CapData, Delivery, DeliveryResult, JsString, Syscall, SyscallResult};
use capstan_app::tx::Tx;
use capstan_genesis::Params;
use capstan_kernel::vat::{EndKind, Ending};
use capstan_kernel_ports::{
    Computrons, VatId,
    host::{Syscalls, VatHost, WorkerOptions, WorkerSource},
};
use capstan_passable as smallcaps;
use capstan_vat_host::{Compiler, Compilers, HostOptions, JsEngine, WasmHost};

pub use seeds::{ENGINE, TARGETS, seeds};

/// Transactions: refused, or read the same way again, by a hash of exactly these bytes.
pub fn tx(data: &[u8]) {
    static PARAMS: LazyLock<Params> = LazyLock::new(Params::default);
    if let Ok(tx) = Tx::decode(data, &PARAMS) {
        let again = Tx::decode(data, &PARAMS).map(|again| again.actions);
        assert_eq!(again.as_ref(), Ok(&tx.actions));
        assert_eq!(tx.size, data.len());
    }
}

/// Capdata: a body that is let in is JSON, and whatever the kernel reads, it reads without harm.
///
/// The first byte says how many slots there are.
pub fn capdata(data: &[u8]) {
    let Some((count, body)) = data.split_first() else { return };
    let Ok(body) = std::str::from_utf8(body) else { return };
    let slots: Vec<String> = (0..count % 8).map(|i| format!("ro+{i}")).collect();
    if let Ok(text) = smallcaps::to_smallcaps_json(body, &slots) {
        let elements =
            capstan_abi::json::elements(format!("[{text}]").as_bytes()).map(Iterator::count);
        assert_eq!(elements, Ok(1), "let in, but no JSON: {text}");
        let again = smallcaps::to_smallcaps_json(&format!("#{text}"), &slots);
        assert_eq!(again.as_deref(), Ok(text.as_str()));
    }
    let ending = Ending { kind: EndKind::Failed, info: body.to_owned(), crank: 0 };
    let _ = ending.reason();
    if let Ok(data) = capstan_abi::json::capdata_from_json(body.as_bytes()) {
        let again = capstan_abi::json::capdata_to_json(&data).to_string();
        assert_eq!(capstan_abi::json::capdata_from_json(again.as_bytes()), Ok(data));
    }
}

/// The vat ABI, borsh and JSON: refused, or the same value and bytes again.
pub fn abi(data: &[u8]) {
    borsh_round_trip::<Delivery>(data);
    borsh_round_trip::<DeliveryResult>(data);
    borsh_round_trip::<Syscall>(data);
    borsh_round_trip::<SyscallResult>(data);
    borsh_round_trip::<CapData>(data);
    borsh_round_trip::<JsString>(data);
    if let Ok(text) = borsh::from_slice::<JsString>(data) {
        assert_eq!(JsString::from_json(&text.to_json()), Ok(text));
    }
    if let Ok(syscall) = capstan_abi::json::syscall_from_json(data) {
        // What is written for people loses lone surrogates, and nothing else.
        let again = capstan_abi::json::syscall_to_json(&syscall);
        let read = capstan_abi::json::syscall_from_json(again.to_string().as_bytes());
        let read = read.map(|read| capstan_abi::json::syscall_to_json(&read));
        assert_eq!(read, Ok(again));
    }
    let _ = capstan_abi::json::delivery_result_from_json(data);
}

fn borsh_round_trip<T: BorshDeserialize + BorshSerialize>(data: &[u8]) {
    if let Ok(value) = borsh::from_slice::<T>(data) {
        assert_eq!(borsh::to_vec(&value).ok().as_deref(), Some(data));
    }
}

/// Wasm modules: refused, or they start and their delivery ends. Never a fault of the node.
pub fn wasm(data: &[u8]) {
    static HOST: LazyLock<Mutex<WasmHost>> = LazyLock::new(|| Mutex::new(host()));
    let mut host = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let vat = VatId(1);
    let source = WorkerSource::Wasm { module: data.to_vec() };
    let valid = host.validate(data).is_ok();
    let started = match host.start(vat, &source, &WorkerOptions::default()) {
        Ok(started) => started.verdict,
        Err(fault) => panic!("starting: {fault}"),
    };
    assert!(valid || started.is_err(), "refused, and yet it started");
    if started.is_ok() {
        let limit = Computrons(5_000);
        let done = host.deliver(vat, &Delivery::BringOutYourDead, limit, &mut Silent);
        assert!(done.is_ok(), "{done:?}");
        host.stop(vat);
    }
}

fn host() -> WasmHost {
    let engine = JsEngine {
        worker_wasm: ENGINE.clone(),
        boot_scripts: vec![("toy".into(), b"boot".into())],
    };
    let compilers = Compilers { engine: Compiler::Singlepass, modules: Compiler::Singlepass };
    let options = HostOptions { compilers, ..HostOptions::default() };
    match WasmHost::open(engine, options, &|_| ()) {
        Ok(host) => host,
        Err(error) => panic!("the host of the fuzz target does not open: {error}"),
    }
}

/// Answers every syscall with null.
struct Silent;

impl Syscalls for Silent {
    fn syscall(&mut self, _: Syscall) -> Option<SyscallResult> {
        Some(SyscallResult::Ok(capstan_abi::SyscallData::Null))
    }

    fn malformed(&mut self, _: &str) -> Option<SyscallResult> {
        Some(SyscallResult::Error("malformed".to_owned()))
    }

    fn console(&mut self, _: &str, _: &str, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sound_passes_every_target() {
        for (target, run) in
            [("tx", tx as fn(&[u8])), ("capdata", capdata), ("abi", abi), ("wasm", wasm)]
        {
            let seeds = seeds(target);
            assert!(seeds.len() > 2, "{target}");
            seeds.iter().for_each(|seed| run(seed));
        }
        assert_eq!(TARGETS, ["tx", "capdata", "abi", "wasm"]);
        assert!(Tx::decode(&seeds("tx")[0], &Params::default()).is_ok());
    }
}
