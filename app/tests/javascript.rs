//! The application with the real engine and the system's own vats: an account is provisioned, creates
//! a JavaScript vat and talks to it. The new vat runs the provisioner's bundle, which is at hand.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;
#[path = "common/engine.rs"]
mod engine;

use capstan_app::{App, AppOptions, proto};
use capstan_store::Store;
use capstan_vat_host::WasmHost;
use common::{Chain, alice, any, capdata};
use engine::{genesis, host};
use serde_json::Value;

fn start() -> Chain<WasmHost> {
    let store = Store::in_memory().unwrap();
    let app = App::new(store, host(), AppOptions::default()).unwrap();
    let mut chain = Chain::of(app);
    chain.init(&genesis());
    chain.block(&[]);
    chain
}

#[test]
fn an_account_creates_a_javascript_vat_and_talks_to_it() {
    let mut chain = start();
    for _ in 0..5 {
        chain.block(&[]);
    }
    let mut alice = alice();
    let bundle = capstan_vat_system::provisioner_id();
    let create = any(&proto::MsgCreateVat {
        owner: alice.address().to_string(),
        bundle_id: bundle.to_owned(),
        name: "second".to_owned(),
        parameters: Some(capdata("{\"maxComputrons\":1000000}", &[])),
        computrons: 0,
    });
    let tx = alice.tx(vec![create]);
    chain.ok(tx.clone());
    let made = chain.settled(&tx, 0);
    assert_eq!(made["status"], "fulfilled", "{made}");
    let text = |name: &str| made["created_vat"][name].as_str().unwrap().to_owned();
    assert_eq!(text("vat_id"), "v3");
    let (root, meter) = (text("root"), text("meter"));

    // The new vat gives a factory of its own, whose methods answer.
    let tx = alice.tx(vec![alice.send(&root, "provision", "[\"someone\"]", &[])]);
    chain.ok(tx.clone());
    let given = chain.settled(&tx, 0);
    assert_eq!(given["status"], "fulfilled", "{given}");
    let factory = given["value"]["slots"][0].as_str().unwrap().to_owned();
    // Names are kept in durable storage, which takes the factory but not the root.
    let publish = alice.send(&factory, "publish", "#[\"it\",\"$0\"]", &[&factory]);
    let lookup = alice.send(&factory, "lookup", "[\"it\"]", &[]);
    let wrong = alice.send(&factory, "lookup", "[7]", &[]);
    let left = alice.send(&meter, "get", "[]", &[]);
    let tx = alice.tx(vec![publish, lookup, wrong, left]);
    chain.ok(tx.clone());
    assert_eq!(chain.settled(&tx, 0)["value"]["body"], "#\"someone/it\"");
    assert_eq!(chain.settled(&tx, 1)["value"]["slots"], serde_json::json!([factory]));
    let refused = chain.settled(&tx, 2);
    assert_eq!(refused["status"], "rejected");
    assert!(refused["value"]["body"].as_str().unwrap().contains("a name is a string"), "{refused}");
    let left = chain.settled(&tx, 3);
    assert!(left["value"]["body"].as_str().unwrap().contains("\"remaining\":\"+"), "{left}");

    let stats = chain.json("vats/v3/stats");
    let number = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!((&stats["status"], &stats["bundle_id"]), (&"running".into(), &bundle.into()));
    // startVat and five messages at least.
    assert!(number("deliveries") >= 5, "{stats}");
    assert!(number("computrons_total") > 0 && number("heap_bytes") > 0, "{stats}");
    let remaining: u64 = stats["meter_remaining"].as_str().unwrap().parse().unwrap();
    assert!(remaining < 100_000_000_000, "{stats}");
    assert_eq!(chain.json("vats/v3")["name"], "second");
}

#[test]
fn an_account_ends_its_vat() {
    let mut chain = start();
    let mut alice = alice();
    let poor = any(&proto::MsgCreateVat {
        owner: alice.address().to_string(),
        bundle_id: capstan_vat_system::provisioner_id().to_owned(),
        // Too few to start.
        computrons: 100_000,
        ..Default::default()
    });
    let tx = alice.tx(vec![poor]);
    chain.ok(tx.clone());
    let failed = chain.settled(&tx, 0);
    assert_eq!(failed["status"], "rejected", "{failed}");
    assert_eq!(failed["created_vat"], Value::Null);

    let create = any(&proto::MsgCreateVat {
        owner: alice.address().to_string(),
        bundle_id: capstan_vat_system::provisioner_id().to_owned(),
        ..Default::default()
    });
    let tx = alice.tx(vec![create]);
    chain.ok(tx.clone());
    let made = chain.settled(&tx, 0);
    let (vat, admin) = (&made["created_vat"]["vat_id"], &made["created_vat"]["admin"]);
    let end = any(&proto::MsgTerminateVat {
        sender: alice.address().to_string(),
        admin: admin.as_str().unwrap().to_owned(),
        reason: None,
    });
    let tx = alice.tx(vec![end]);
    chain.ok(tx.clone());
    assert_eq!(chain.settled(&tx, 0)["status"], "fulfilled");
    let mut status = Value::Null;
    for _ in 0..20 {
        chain.block(&[]);
        status = chain.json(&format!("vats/{}", vat.as_str().unwrap()))["status"].clone();
    }
    assert_ne!(status, "running");
}
