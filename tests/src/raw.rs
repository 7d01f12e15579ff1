//! Chains whose vats are all small wasm modules, `tests/vats/actor.wat`: they start in milliseconds, so that a test can
//! start thousands of nodes.

use std::sync::OnceLock;

use capstan_client::{DEV_NAMES, Key};
use capstan_genesis::{Genesis, GenesisBundle, GenesisVat};
use capstan_vat_host::JsEngine;

use crate::{CHAIN_ID, wasm_id};

/// Number of accounts of a raw chain: development accounts 0 and on.
pub const RAW_ACCOUNTS: u32 = 6;

/// The vats that are worked with, besides `provisioner` and `vatAdmin`. Accounts are given the roots of all vats in the
/// order of their names, each the next one at its first transaction.
pub const RAW_VATS: [&str; 4] = ["a", "b", "c", "d"];

/// The module of every vat.
pub fn actor() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| wat::parse_str(include_str!("../vats/actor.wat")).unwrap())
}

/// The module of a vat that takes every delivery, does nothing, and never says that it is done.
pub fn silent() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| wat::parse_str(include_str!("../vats/silent.wat")).unwrap())
}

/// The module of every vat with a custom section, which makes it another bundle.
pub fn actor_with(section: &[u8]) -> Vec<u8> {
    with_section(actor(), section)
}

/// Appends a custom section to a module: the same vat, but another bundle.
pub fn with_section(module: &[u8], section: &[u8]) -> Vec<u8> {
    let mut module = module.to_vec();
    module.push(0);
    // The section's length in LEB128: its name, `n`, with the name's length, and the bytes.
    let mut length = section.len() + 2;
    while length >= 0x80 {
        module.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    module.push(length as u8);
    module.extend(b"\x01n");
    module.extend(section);
    module
}

/// A genesis document of a raw chain. The budgets are small, so that work stays over from block to block, and heap
/// snapshots and cleanup are due often.
pub fn raw_genesis(change: impl FnOnce(&mut Genesis)) -> Genesis {
    let names = |index: u32| DEV_NAMES.get(index as usize).copied().unwrap_or("account");
    let accounts: Vec<_> =
        (0..RAW_ACCOUNTS).map(|index| (names(index), Key::dev(index).address())).collect();
    let mut genesis = Genesis::dev(CHAIN_ID, "2026-01-01T00:00:00Z", &accounts);
    let params = &mut genesis.app_state.params;
    params.block_computrons = 500_000;
    // A block has room for as many transactions as it had with a usual budget.
    params.tx_computrons = 100;
    params.tx_byte_computrons = 0;
    params.crank_computrons = 1_000_000;
    params.snapshot_interval = 10;
    params.cleanup.kv = 10;
    params.cleanup.exports = 2;
    params.cleanup.imports = 2;
    params.cleanup.transcripts = 10;
    genesis.app_state.kernel.reap_interval = 7;
    let bundle = GenesisBundle::new(wasm_id(actor()), None, actor());
    let vat = GenesisVat::new(bundle.id.clone());
    let kernel = &mut genesis.app_state.kernel;
    for name in RAW_VATS.into_iter().chain(["provisioner", "vatAdmin"]) {
        let critical = name == "vatAdmin";
        kernel.vats.insert(name.to_owned(), GenesisVat { critical, ..vat.clone() });
    }
    kernel.bootstrap = Some("provisioner".to_owned());
    kernel.provisioner = Some("provisioner".to_owned());
    genesis.app_state.bundles.push(bundle);
    change(&mut genesis);
    genesis
}

/// An engine that is there because a host must have one.
pub(crate) fn idle_engine() -> JsEngine {
    JsEngine {
        worker_wasm: wat::parse_str(include_str!("../vats/engine.wat")).unwrap(),
        boot_scripts: vec![],
    }
}
