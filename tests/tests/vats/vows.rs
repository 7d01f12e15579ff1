//! Agoric's `@agoric/vow`, unmodified, in vats: what is watched arrives in whichever incarnation is there, whoever was
//! upgraded meanwhile; and what is only a promise ends with the incarnation that made it, and says so.
#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeMap;

use capstan_tests::{Machine, MachineConfig, bundle};
use serde_json::{Value, json};

/// The boss, its maker and its watcher of vows.
fn start() -> Machine {
    let vow = |name: &str| bundle(&format!("tests/vats/vow-{name}.js"));
    Machine::start(&MachineConfig {
        vats: vec![("boss", vow("boss"))],
        named: vec![("maker", vow("maker")), ("watcher", vow("watcher"))],
        ..MachineConfig::default()
    })
}

/// A set of watched vows: a label, the watcher's method, and the vows' names.
const WATCHED: [(&str, &str, &[&str]); 8] = [
    ("watch", "watch", &["a"]),
    ("watch rejected", "watch", &["no"]),
    ("watch forwarded", "watch", &["f"]),
    ("all", "all", &["a", "b"]),
    ("all rejected", "all", &["a", "no"]),
    ("allSettled", "allSettled", &["a", "no"]),
    ("asVow", "asVow", &["a"]),
    ("asVow throws", "asVowThrows", &[]),
];

/// Promises of the watcher's: the method, the vow's name, and the value.
fn promised() -> [(&'static str, &'static str, Value); 6] {
    let settled = |value: &str| json!({"status": "fulfilled", "value": value});
    [
        ("when", "a", json!("A")),
        ("asPromise", "a", json!("A")),
        ("heapWhen", "a", json!("A")),
        ("greet", "g", json!("G greets watcher")),
        ("whenAll", "a", json!(["A", "A", "A"])),
        ("whenAllSettled", "a", json!([settled("A"), settled("A"), settled("plain")])),
    ]
}

/// Everything waits; these vats are upgraded, in this order; then everything is settled.
fn everything_arrives_after_upgrades_of(upgraded: &[&str]) {
    let mut vats = start();
    for (label, method, names) in WATCHED {
        vats.ask("give", json!([method, label, names]));
    }
    for (method, vow, _) in promised() {
        vats.ask("waitForPromise", json!([method, method, vow]));
    }
    vats.ask("waitFor", json!(["of the maker", "maker", "a"]));
    vats.ask("waitFor", json!(["of the watcher", "watcher", "watch"]));
    vats.ask("waitFor", json!(["rejected", "watcher", "watch rejected"]));
    vats.ask("waitFor", json!(["heap", "watcher", "heap"]));
    vats.ask("greetThrough", json!(["greeted", "maker", "g"]));
    let thrown = json!([0, "rejected", "thrown", "context"]);
    assert_eq!(vats.ask("log", json!([])), json!({ "asVow throws": thrown }));

    let mut incarnations = BTreeMap::new();
    for name in upgraded {
        let incarnation = incarnations.entry(*name).or_insert(0);
        *incarnation += 1;
        assert_eq!(vats.ask("upgrade", json!([name])), json!(incarnation), "{upgraded:?}");
    }
    vats.ask("settle", json!(["f", "forward", "a"]));
    vats.ask("settle", json!(["a", "resolve", "A"]));
    vats.ask("settle", json!(["b", "resolve", "B"]));
    vats.ask("settle", json!(["no", "reject", "never"]));
    vats.ask("settle", json!(["g", "greeter", "G"]));

    let seen_in = incarnations.get("watcher").copied().unwrap_or(0);
    let seen = |what: &str, value: Value| json!([seen_in, what, value, "context"]);
    let mut log = vats.ask("log", json!([]));
    let settled = log.as_object_mut().unwrap().remove("allSettled").unwrap();
    assert_eq!(settled[2][0], json!({"status": "fulfilled", "value": "A"}), "{settled}");
    assert_eq!(settled[2][1]["status"], json!("rejected"), "{settled}");
    assert_eq!(settled[2][1]["reason"]["#error"], json!("never"), "{settled}");
    assert_eq!((&settled[0], &settled[1]), (&json!(seen_in), &json!("fulfilled")));
    let expected = json!({
        "watch": seen("fulfilled", json!("A")),
        "watch rejected": seen("rejected", json!("never")),
        "watch forwarded": seen("fulfilled", json!("A")),
        "all": seen("fulfilled", json!(["A", "B"])),
        "all rejected": seen("rejected", json!("never")),
        "asVow": seen("fulfilled", json!("A")),
        "asVow throws": thrown,
    });
    assert_eq!(log, expected, "{upgraded:?}");

    assert_waiters_are_told(&mut vats, upgraded, seen_in == 0);
}

/// Those who wait for promises are told, but by a watcher that was upgraded.
fn assert_waiters_are_told(vats: &mut Machine, upgraded: &[&str], is_same_watcher: bool) {
    let fulfilled = |value: Value| json!(["fulfilled", value]);
    assert_eq!(vats.ask("waited", json!(["of the maker"])), fulfilled(json!("A")));
    assert_eq!(vats.ask("waited", json!(["of the watcher"])), fulfilled(json!(["seen", "A"])));
    let answer = fulfilled(json!("now you know the answer"));
    assert_eq!(vats.ask("waited", json!(["heap"])), answer);
    assert_eq!(vats.ask("waited", json!(["greeted"])), fulfilled(json!("G greets boss")));
    let rejected = vats.ask("waited", json!(["rejected"]));
    assert_eq!((&rejected[0], &rejected[1]["#error"]), (&json!("rejected"), &json!("never")));
    for (method, _, value) in promised() {
        let waited = vats.ask("waited", json!([method]));
        if is_same_watcher {
            assert_eq!(waited, fulfilled(value), "{method}, {upgraded:?}");
        } else {
            assert_eq!(waited[0], json!("rejected"), "{method}, {upgraded:?}");
            assert_eq!(waited[1]["name"], json!("vatUpgraded"), "{method}: {waited}");
            assert_eq!(waited[1]["incarnationNumber"], json!(0), "{method}: {waited}");
        }
    }
}

#[test]
fn vows_arrive_without_an_upgrade() {
    everything_arrives_after_upgrades_of(&[]);
}

#[test]
fn vows_arrive_after_an_upgrade_of_their_maker() {
    everything_arrives_after_upgrades_of(&["maker"]);
}

#[test]
fn vows_arrive_after_an_upgrade_of_their_watcher() {
    everything_arrives_after_upgrades_of(&["watcher"]);
}

#[test]
fn vows_arrive_after_upgrades_of_both_in_any_order_and_more_than_once() {
    everything_arrives_after_upgrades_of(&["maker", "watcher"]);
    everything_arrives_after_upgrades_of(&["watcher", "maker"]);
    everything_arrives_after_upgrades_of(&["maker", "watcher", "maker", "watcher"]);
}
