//! Tests of the vatAdmin vat beyond SwingSet's, on the real engine: a meter tells when it runs low.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::{collections::BTreeMap, path::Path};

use capstan_conformance::javascript::Workshop;
use capstan_kernel::{
    Kernel, KernelConfig, KernelOptions, NodeOptions, StaticVat, VAT_ADMIN, ids::KRef,
    policy::Forever, promise::PromiseState, view,
};
use capstan_kernel_ports::memory::MemoryState;

#[test]
fn a_meter_that_falls_below_its_threshold_tells_whoever_waits() {
    let workshop = Workshop::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("workshop")).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let watcher = workshop.bundle(&here.join("vats/vat-meter-watcher.js")).unwrap();
    let spender = workshop.bundle(&here.join("scenarios/19-meter/vat-spender.js")).unwrap();
    let admin = workshop.bundle(Path::new(VAT_ADMIN)).unwrap();
    let vats = [("watcher", &watcher.0), (VAT_ADMIN, &admin.0)];
    let config = KernelConfig {
        bootstrap: Some("watcher".to_owned()),
        pin_bootstrap_root: true,
        vats: vats.map(|(name, id)| (name.to_owned(), StaticVat::new(id))).into(),
        named_bundles: BTreeMap::from([("spender".to_owned(), spender.0.clone())]),
        bundles: BTreeMap::from([watcher, spender, admin]),
        ..KernelConfig::new(KernelOptions {
            reap: Default::default(),
            relax_durability_rules: false,
            snapshot_initial: 3,
            snapshot_interval: 200,
            snapshot_debt: u64::MAX,
            collect_leaks: true,
            crank_limit: 100_000_000_000,
            guard: capstan_kernel::limits::SystemGuard::NONE,
            billing: capstan_kernel::billing::Billing::SWINGSET,
        })
    };
    let mut kernel = Kernel::new(workshop.host().unwrap(), NodeOptions::default());
    let mut state = MemoryState::default();
    let boot = kernel.initialize(&mut state, &config).unwrap();
    let Some(KRef::Promise(boot)) = boot else { panic!("{boot:?}") };
    kernel.run(&mut state, &mut Forever).unwrap();
    let PromiseState::Fulfilled(answer) = view::promise(&state, boot).unwrap().unwrap().state
    else {
        panic!("bootstrap was not fulfilled");
    };
    let answer: serde_json::Value = serde_json::from_str(&answer.body[1..]).unwrap();
    assert_eq!(answer["first"]["updateCount"], "+1", "{answer}");
    assert_eq!(answer["first"], answer["again"], "who asks later hears the latest");
    // Nothing was spent since: the update is what the meter holds.
    assert_eq!(answer["first"]["value"], answer["left"]["remaining"], "{answer}");
    assert_ne!(answer["left"]["remaining"], "+1000000000");
}
