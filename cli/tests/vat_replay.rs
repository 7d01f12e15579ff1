//! `capstan vat replay`: a stopped node's vats are checked against their past.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::path::Path;

use capstan_kernel::transcript::Entry;
use capstan_kernel_ports::Computrons;
use capstan_kernel_ports::store::{Overlay, Read};
use capstan_store::Store;
use capstan_tests::raw_genesis;
use common::{Dev, Place, checkout};
use serde_json::{Value, json};

const COUNTER: &str = "examples/counter/vat-counter.js";

/// Creates a counter; its id, root and admin object.
fn create(place: &Place, dev: &Dev, name: &str) -> [String; 3] {
    let created = place
        .ask(
            dev,
            &["tx", "create-vat", "counter.json", "--name", name, "--from", "alice", "--json"],
        )
        .json();
    ["vat_id", "root", "admin"].map(|field| created[field].as_str().unwrap().to_owned())
}

fn tx(place: &Place, dev: &Dev, args: &[&str]) -> Value {
    place.ask(dev, &[&["tx"], args, &["--from", "alice", "--json"]].concat()).json()
}

/// A stopped chain on which a counter was created, counted, was upgraded and counted again, and another was ended: the
/// ids of both, and the first one's root.
fn story(place: &Place, args: &[&str]) -> [String; 3] {
    let source = checkout().join(COUNTER);
    assert_eq!(place.run(&["bundle", source.to_str().unwrap(), "-o", "counter.json"]).code, 0);
    let dev = place.dev_at(&place.home(), args);
    tx(place, &dev, &["install-bundle", "counter.json"]);
    let [vat, root, admin] = create(place, &dev, "one");
    for _ in 0..5 {
        tx(place, &dev, &["send", &root, "increment", "2"]);
    }
    let upgraded = tx(place, &dev, &["upgrade-vat", &admin, "counter.json"]);
    assert_eq!(upgraded["value"]["incarnationNumber"], 1, "{upgraded}");
    for _ in 0..4 {
        tx(place, &dev, &["send", &root, "increment", "3"]);
    }
    let [ended, _, admin] = create(place, &dev, "two");
    tx(place, &dev, &["terminate-vat", &admin, "--reason", "\"no longer needed\""]);
    let running = place.run(&["vat", "replay", &vat]);
    running.assert_failed(1, "stop it");
    assert!(dev.stop("TERM").success());
    [vat, ended, root]
}

/// Changes what the last delivery of a vat cost, in the transcript of a stopped node; its position.
fn damage(home: &Path, vat: &str) -> u64 {
    let store = Store::open(home.join("state"), capstan_store::Options::default()).unwrap();
    let mut block = store.begin_block();
    let prefix = format!("local.k.t.{vat}.");
    let entries = block.scan(prefix.as_bytes()).unwrap();
    let decoded = entries.into_iter().map(|(key, bytes)| (key, borsh::from_slice(&bytes).unwrap()));
    let (key, entry) =
        decoded.rev().find(|(_, entry)| matches!(entry, Entry::Delivery { .. })).unwrap();
    let Entry::Delivery { delivery, syscalls, result, .. } = entry else { unreachable!() };
    let computrons = Some(Computrons(7));
    block.set(
        &key,
        borsh::to_vec(&Entry::Delivery { delivery, syscalls, result, computrons }).unwrap(),
    );
    store.commit(store.prepare(block).unwrap(), store.height() + 1).unwrap();
    let position = std::str::from_utf8(&key[prefix.len()..]).unwrap();
    u64::from_str_radix(position, 16).unwrap()
}

#[test]
fn vats_of_an_archive_replay_from_genesis_and_a_changed_transcript_is_found() {
    let place = Place::new();
    let [vat, ended, _] = story(&place, &["--archive"]);
    let replay = |args: &[&str]| place.run(&[&["vat", "replay", "--json"], args].concat());
    let all = replay(&[&vat, "--from-genesis"]).json();
    assert_eq!(
        (&all["vat"], &all["equal"], &all["name"]),
        (&json!(vat), &json!(true), &json!("one"))
    );
    assert!(
        all["deliveries"].as_u64().unwrap() > 11 && all["heaps"].as_u64().unwrap() > 0,
        "{all}"
    );
    let part = replay(&[&vat]).json();
    assert!(part["deliveries"].as_u64() < all["deliveries"].as_u64(), "{part}");
    let other = replay(&[&vat, "--from-genesis", "--compiler", "singlepass"]).json();
    assert_eq!(other, all);
    // What ended can be replayed from its beginning, the vats of the system too.
    assert_eq!(replay(&[&ended, "--from-genesis"]).json()["equal"], true);
    assert_eq!(replay(&["v1", "--from-genesis"]).json()["equal"], true);

    let position = damage(&place.home(), &vat);
    let found = replay(&[&vat]);
    assert_eq!(found.code, 1, "{found:?}");
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((&report["equal"], &report["transcript_is_damaged"]), (&json!(false), &json!(true)));
    let difference = &report["difference"];
    assert_eq!(
        (&difference["position"], &difference["kind"]),
        (&json!(position), &json!("computrons"))
    );
    assert_eq!(difference["expected"], 7);
    assert!(difference["delivery"].is_array(), "{report}");
    let text = place.run(&["vat", "replay", &vat]);
    assert!(
        text.stdout.contains("the computrons differs:") && text.stdout.contains("- 7"),
        "{text:?}"
    );
    text.assert_failed(1, "is damaged");
}

#[test]
fn what_cannot_be_replayed_says_why_and_what_to_do() {
    let place = Place::new();
    place.run(&["vat", "replay", "v3"]).assert_failed(1, "is no home");
    let [vat, ended, root] = story(&place, &[]);
    place.run(&["vat", "replay", "vat3"]).assert_failed(2, "not a vat id");
    place.run(&["vat", "replay", "v99"]).assert_failed(1, "there is no v99");
    place.run(&["vat", "replay", &vat, "--from-genesis"]).assert_failed(1, "--archive");
    place.run(&["vat", "replay", &ended]).assert_failed(1, "no longer needed");
    assert_eq!(place.run(&["vat", "replay", &vat, "--json"]).json()["equal"], true);
    // The node goes on as if nobody had looked.
    let dev = place.dev();
    assert_eq!(tx(&place, &dev, &["send", &root, "read"])["value"], 12);
}

#[test]
fn wasm_vats_replay_too() {
    let place = Place::new();
    let file = place.path().join("raw.json");
    let genesis = raw_genesis(|_| {});
    std::fs::write(&file, genesis.to_json().unwrap()).unwrap();
    let init = ["init", "--genesis", file.to_str().unwrap()];
    assert_eq!(place.run(&init).code, 0);
    let dev = place.dev_at(&place.home(), &["--archive"]);
    for _ in 0..6 {
        assert_eq!(tx(&place, &dev, &["send", "factory", "increment"])["status"], "fulfilled");
    }
    assert!(dev.stop("TERM").success());
    for args in [
        &["v3"][..],
        &["v3", "--from-genesis"],
        &["v3", "--from-genesis", "--compiler", "cranelift"],
    ] {
        let done = place.run(&[&["vat", "replay", "--json"], args].concat()).json();
        assert_eq!(done["equal"], true, "{done}");
    }
}
