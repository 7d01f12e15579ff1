//! Faults that stop the node, and ends of vats that do not.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::panic::AssertUnwindSafe;

use capstan_app::EXIT_CONSENSUS_HALT;
use capstan_store::Store;
use common::{Chain, alice, attributes, genesis, mortal, wasm_id};
use tendermint_abci::Application;

#[test]
fn a_wrong_genesis_document_stops_the_node_with_a_report() {
    let cases: [(fn(&mut capstan_genesis::Genesis), &str); 2] = [
        (|g| g.app_state.params.block_computrons = 0, "block_computrons"),
        (
            |g| {
                let wrong = wasm_id(b"another").parse().unwrap();
                let bundle = capstan_genesis::GenesisBundle::new(wrong, None, b"bytes");
                g.app_state.bundles.push(bundle);
            },
            "does not match actual",
        ),
    ];
    for (spoil, part) in cases {
        let chain = Chain::open(Store::in_memory().unwrap());
        let stopped = std::panic::catch_unwind(AssertUnwindSafe(|| chain.init(&genesis(spoil))));
        assert!(stopped.is_err());
        let report = chain.fatal.lock().unwrap()[0].clone();
        assert!(report.cause.contains(part), "{report}");
    }
}

/// A genesis document with so many vats besides the two of the system. Bootstrap is given all of them, two devices and five
/// services.
fn crowd(vats: usize) -> capstan_genesis::Genesis {
    genesis(|g| {
        let bundle = wasm_id(b"admin").parse().unwrap();
        let vat = capstan_genesis::GenesisVat::new(bundle);
        g.app_state.kernel.vats.extend((0..vats).map(|n| (format!("v{n}"), vat.clone())));
    })
}

#[test]
fn a_system_bootstrap_vat_is_given_at_most_what_it_takes() {
    Chain::open(Store::in_memory().unwrap()).init(&crowd(55));
    let chain = Chain::open(Store::in_memory().unwrap());
    let stopped = std::panic::catch_unwind(AssertUnwindSafe(|| chain.init(&crowd(56))));
    assert!(stopped.is_err());
    let report = chain.fatal.lock().unwrap()[0].clone();
    assert!(report.cause.contains("65 vats, devices and services"), "{report}");
}

#[test]
fn the_death_of_a_critical_vat_stops_the_node_and_commits_nothing() {
    let mut chain = Chain::start(Store::in_memory().unwrap(), &critical());
    let mut alice = alice();
    let tx = alice.tx(vec![alice.send("factory", "echo", "[]", &[])]);
    chain.ok(tx);
    let (hash, height) = (chain.hash(), chain.height);
    let die = alice.tx(vec![alice.send("factory", "die", "[]", &[])]);
    let run = AssertUnwindSafe(|| chain.finalize(std::slice::from_ref(&die)));
    assert!(std::panic::catch_unwind(run).is_err());
    let report = chain.fatal.lock().unwrap()[0].clone();
    assert!(report.everywhere);
    assert_eq!((report.exit_code(), report.committed_height), (EXIT_CONSENSUS_HALT, height as u64));
    assert!(report.cause.contains("critical vat v1"), "{report}");
    assert!(report.cause.contains("Compute meter exceeded"), "{report}");
    // Queries are answered still, by what was committed; consensus stays stopped.
    assert_eq!((chain.hash(), chain.json("vats/v1")["status"].as_str()), (hash, Some("running")));
    let again = AssertUnwindSafe(|| chain.app.commit());
    assert!(std::panic::catch_unwind(again).is_err());
}

fn critical() -> capstan_genesis::Genesis {
    mortal(true)
}

#[test]
fn a_vat_of_the_system_loses_the_delivery_that_it_fails_in() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let tx = alice.tx(vec![alice.send("factory", "die", "[]", &[])]);
    let block = chain.block(std::slice::from_ref(&tx));
    assert!(attributes(&block.events, "vat.terminated", "vat_id").is_empty());
    let settled = chain.settled(&tx, 0);
    assert_eq!(settled["status"], "rejected");
    assert!(settled.to_string().contains("the vat of the system failed"), "{settled}");
    let again = alice.tx(vec![alice.send("factory", "echo", "[]", &[])]);
    chain.ok(again);
    assert_eq!(chain.json("vats/v1")["status"], "running");
}

#[test]
fn the_death_of_another_vat_is_an_event() {
    let mut chain = Chain::start(Store::in_memory().unwrap(), &mortal(false));
    let mut alice = alice();
    let tx = alice.tx(vec![alice.send("factory", "die", "[]", &[])]);
    let block = chain.block(std::slice::from_ref(&tx));
    assert_eq!(attributes(&block.events, "vat.terminated", "vat_id"), ["v1"]);
    let reasons = attributes(&block.events, "vat.terminated", "reason");
    assert_eq!(reasons, ["Compute meter exceeded"]);
    assert_eq!(chain.settled(&tx, 0)["status"], "rejected");
    let vat = chain.json("vats/v1");
    assert_ne!(vat["status"], "running");
    let ending = &vat["ending"];
    assert_eq!(
        (ending["failure"].as_bool(), ending["reason"].as_str()),
        (Some(true), Some(reasons[0].as_str()))
    );
    assert_eq!(chain.json("vats/v2")["ending"], serde_json::Value::Null);
}
