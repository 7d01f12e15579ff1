//! The real engine, and a chain with the system's own vats.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use capstan_genesis::{Genesis, GenesisBundle, Params};
use capstan_vat_host::{HostOptions, JsEngine, WasmHost};

/// A host that runs JavaScript.
pub fn host() -> WasmHost {
    let boot_scripts = capstan_vat_js::boot_scripts();
    let engine = JsEngine {
        worker_wasm: capstan_vat_js::worker().to_vec(),
        boot_scripts: boot_scripts.map(|(name, script)| (name.to_owned(), script.to_vec())).into(),
    };
    let cache_dir = Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/engine").into());
    WasmHost::open(engine, HostOptions { cache_dir, ..HostOptions::default() }, &|_| {}).unwrap()
}

/// A genesis document with vatAdmin and the provisioner, and without a timer.
pub fn genesis() -> Genesis {
    let mut genesis = crate::common::genesis(|_| {});
    genesis.app_state.bundles.clear();
    genesis.app_state.params = Params::default();
    genesis.add_system_vats(
        bundle(capstan_vat_system::vat_admin_id(), capstan_vat_system::vat_admin_bundle()),
        bundle(capstan_vat_system::provisioner_id(), capstan_vat_system::provisioner_bundle()),
    );
    genesis
}

/// Returns the same genesis document with a timer.
pub fn genesis_with_timer() -> Genesis {
    let mut genesis = genesis();
    genesis.add_timer(bundle(capstan_vat_system::timer_id(), capstan_vat_system::timer_bundle()));
    genesis
}

fn bundle(id: &str, json: &[u8]) -> GenesisBundle {
    GenesisBundle::new(id.parse().unwrap(), None, json)
}
