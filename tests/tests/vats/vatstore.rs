//! `enableVatstore`: what `vatPowers.vatstore` keeps, finds and refuses, on the real engine.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::{Args, CreateVat};
use capstan_tests::{Machine, Node, bundle};
use serde_json::{Value, json};

use crate::dynamic::{machine_with, refusal, tell};

fn stored() -> capstan_client::Bundle {
    bundle("tests/vats/stored.js")
}

/// A machine with one vat `vat` of `stored.js`.
fn machine(options: &Value) -> Machine {
    let stored = stored();
    let mut machine = machine_with(&[&stored]);
    machine.ask("create", json!(["vat", stored.id, options]));
    machine
}

fn set_all(machine: &mut Machine, keys: &[&str]) {
    for key in keys {
        tell(machine, "vat", "set", &[json!(key), json!(format!("value of {key}"))]);
    }
}

/// The keys that a loop of `getAfter` finds within bounds.
fn keys(machine: &mut Machine, bounds: &[&str]) -> Value {
    let bounds: Vec<Value> = bounds.iter().map(|bound| json!(bound)).collect();
    let found = tell(machine, "vat", "all", &bounds);
    found.as_array().unwrap().iter().map(|entry| entry[0].clone()).collect()
}

#[test]
fn a_vat_has_a_vatstore_unless_it_is_made_without() {
    let mut machine = machine(&json!({}));
    let all = json!(["delete", "get", "getAfter", "set"]);
    assert_eq!(tell(&mut machine, "vat", "methods", &[]), all);
    let id = stored().id;
    machine.ask("create", json!(["with", id, {"enableVatstore": true}]));
    assert_eq!(tell(&mut machine, "with", "methods", &[]), all);
    machine.ask("create", json!(["without", id, {"enableVatstore": false}]));
    assert_eq!(tell(&mut machine, "without", "methods", &[]), Value::Null);
    for value in [json!("yes"), json!(0), Value::Null] {
        let why = refusal(&mut machine, &stored(), &json!({"enableVatstore": value}));
        assert_eq!(why, "CreateVatOptions(enableVatstore)");
    }
}

#[test]
fn what_is_set_is_got_until_it_is_deleted() {
    let mut machine = machine(&json!({}));
    let mut call = |method: &str, args: &[&str]| {
        let args: Vec<Value> = args.iter().map(|arg| json!(arg)).collect();
        tell(&mut machine, "vat", method, &args)
    };
    assert_eq!(call("get", &["a"]), Value::Null);
    assert_eq!(call("set", &["a", "one"]), Value::Null);
    assert_eq!(call("get", &["a"]), "one");
    call("set", &["a", "two"]);
    assert_eq!(call("get", &["a"]), "two");
    assert_eq!(call("delete", &["a"]), Value::Null);
    assert_eq!(call("get", &["a"]), Value::Null);
    call("delete", &["a"]);
    // An empty value reads as none, except where the key is found.
    call("set", &["empty", ""]);
    assert_eq!(call("get", &["empty"]), Value::Null);
    assert_eq!(call("after", &["", "e"]), json!(["empty", ""]));
}

/// The table of SwingSet's documentation of `vatstoreGetAfter`.
#[test]
fn get_after_walks_along_a_prefix_or_between_bounds() {
    let mut machine = machine(&json!({}));
    let all = [
        "bar",
        "baz",
        "foocount",
        "foopriority",
        "joober",
        "plugh.3",
        "plugh.47",
        "plugh.8",
        "zot",
    ];
    set_all(&mut machine, &all);
    let mut walk = |bounds: &[&str]| keys(&mut machine, bounds);
    assert_eq!(walk(&["bar", "goomba"]), json!(["bar", "baz", "foocount", "foopriority"]));
    assert_eq!(walk(&["bar", "joober"]), json!(["bar", "baz", "foocount", "foopriority"]));
    assert_eq!(walk(&["foo"]), json!(["foocount", "foopriority"]));
    assert_eq!(walk(&["plugh."]), json!(["plugh.3", "plugh.47", "plugh.8"]));
    assert_eq!(walk(&["baz", "plugh"]), json!(["baz", "foocount", "foopriority", "joober"]));
    assert_eq!(walk(&["bar", "zz"]), json!(all));
    assert_eq!(walk(&["bar"]), json!(["bar"]), "the bound itself is a key");
    assert_eq!(walk(&["q"]), json!([]));
    let mut after = |args: &[&str]| {
        let args: Vec<Value> = args.iter().map(|arg| json!(arg)).collect();
        tell(&mut machine, "vat", "after", &args)
    };
    assert_eq!(after(&["foocount", "foo"]), json!(["foopriority", "value of foopriority"]));
    // What it was after need not be stored.
    assert_eq!(after(&["fooda", "foo"]), json!(["foopriority", "value of foopriority"]));
    assert_eq!(after(&["foopriority", "foo"]), Value::Null);
    assert_eq!(after(&["zot", "bar", "foo"]), Value::Null);
}

#[test]
fn keys_and_values_are_checked_and_the_vat_goes_on() {
    let mut machine = machine(&json!({}));
    let mut refused = |method: &str, args: Value| {
        let mut call = vec![json!("vat"), json!(method)];
        call.extend(args.as_array().unwrap().iter().cloned());
        let why = machine.call("tell", Value::Array(call)).unwrap_err();
        why["#error"].as_str().unwrap().to_owned()
    };
    for key in ["", "with space", "colon:", "é", "line\n", "\u{7f}"] {
        assert_eq!(refused("set", json!([key, "x"])), "invalid vatstore key", "{key:?}");
        assert_eq!(refused("get", json!([key])), "invalid vatstore key", "{key:?}");
        assert_eq!(refused("delete", json!([key])), "invalid vatstore key", "{key:?}");
        assert_eq!(refused("after", json!(["", key])), "invalid vatstore key", "{key:?}");
    }
    assert!(refused("set", json!([7, "x"])).contains("string"));
    assert!(refused("set", json!(["a", 7])).contains("string"));
    assert!(refused("after", json!([])).contains("string"));
    assert_eq!(refused("after", json!(["a", "b"])), "priorKey must be >= lowerBound");
    assert_eq!(refused("after", json!(["", "b", "b"])), "upperBound must be > lowerBound");
    assert_eq!(refused("after", json!(["b", "b", "a"])), "upperBound must be > lowerBound");
    set_all(&mut machine, &["a"]);
    assert_eq!(keys(&mut machine, &["a"]), json!(["a"]));
}

#[test]
fn the_vatstore_outlives_the_worker_and_the_upgrade_and_shows_nothing_of_liveslots() {
    let mut machine = machine(&json!({}));
    set_all(&mut machine, &["a", "b"]);
    machine.kernel.evict_all();
    assert_eq!(keys(&mut machine, &["!+", "z"]), json!(["a", "b"]), "its own keys alone");
    let upgraded = machine.ask("upgrade", json!(["vat", stored().id]));
    assert_eq!(upgraded, json!({"incarnationNumber": 1}));
    assert_eq!(keys(&mut machine, &["a", "z"]), json!(["a", "b"]));
    machine.kernel.evict_all();
    assert_eq!(tell(&mut machine, "vat", "get", &[json!("b")]), "value of b");
}

#[test]
fn an_accounts_vat_has_a_vatstore_and_keeps_it_over_a_restart() {
    let mut node = Node::start(|_| {});
    let alice = node.wallet(0);
    let stored = stored();
    alice.install_bundle(&stored).unwrap();
    let vat = alice.create_vat(&CreateVat::new(&stored.id)).unwrap();
    let set = alice.send(&vat.root, "set", &Args::json(r#"["color","red"]"#)).unwrap();
    assert_eq!(set.status, "fulfilled", "{}", set.value.body);
    node.wait_idle();
    node.restart();
    let alice = node.wallet(0);
    let got = alice.send(&vat.root, "get", &Args::json(r#"["color"]"#)).unwrap();
    assert_eq!(got.value.body, "#\"red\"");
    let options = format!(r#"["{}",{{"enableVatstore":false}}]"#, stored.id);
    let without = alice.send("factory", "createVat", &Args::json(&options)).unwrap();
    assert_eq!(without.status, "fulfilled", "{}", without.value.body);
    let root = vat_root(&without.value);
    let methods = alice.send(&root, "methods", &Args::default()).unwrap();
    assert_eq!(methods.value.body, "#\"#undefined\"");
}

/// The root in the answer to `createVat`.
fn vat_root(answer: &capstan_client::proto::CapData) -> String {
    let body: Value = serde_json::from_str(&answer.body[1..]).unwrap();
    let root = body["root"].as_str().unwrap();
    let index = root[1..].split('.').next().unwrap().parse::<usize>().unwrap();
    answer.slots[index].clone()
}
