//! `enableSetup`: vats without liveslots, in JavaScript, on the real engine.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::{Args, Bundle, CreateVat};
use capstan_tests::{Machine, Node, bundle, bundle_text};
use serde_json::{Value, json};

use crate::dynamic::{kill, machine_with, refusal, tell};

fn raw() -> Bundle {
    bundle("tests/vats/raw.js")
}

/// A machine with a raw vat `vat`.
fn machine(options: &Value) -> Machine {
    let mut machine = machine_with(&[&raw()]);
    add(&mut machine, "vat", options);
    machine
}

fn add(machine: &mut Machine, name: &str, options: &Value) {
    let mut all = json!({"enableSetup": true});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    machine.ask("create", json!([name, raw().id, all]));
}

#[test]
fn setup_gets_swingsets_arguments_and_dispatch_its_deliveries() {
    let mut machine = machine(&json!({"vatParameters": {"a": [1, "x"]}}));
    let given = json!([
        null,
        [],
        ["testLog"],
        [
            "abandonExports",
            "callNow",
            "dropImports",
            "exit",
            "resolve",
            "retireExports",
            "retireImports",
            "send",
            "subscribe",
            "vatstoreDelete",
            "vatstoreGet",
            "vatstoreGetNextKey",
            "vatstoreSet",
        ],
    ]);
    assert_eq!(tell(&mut machine, "vat", "setupArguments", &[]), given);
    assert_eq!(tell(&mut machine, "vat", "parameters", &[]), json!({"a": [1, "x"]}));
    let message = tell(&mut machine, "vat", "message", &[json!("hello")]);
    assert_eq!(message[0], "hello");
    assert_eq!((&message[1]["target"], &message[1]["slots"]), (&json!("o+0"), &json!([])));
    let result = message[1]["result"].as_str().unwrap();
    assert!(result.starts_with("p-"), "{result}");
    let heard = tell(&mut machine, "vat", "heard", &[]);
    assert_eq!(heard[0], "startVat");
    assert!(heard.as_array().unwrap().contains(&json!("bringOutYourDead")), "{heard}");
}

#[test]
fn a_raw_vat_reads_and_writes_its_store() {
    let mut machine = machine(&json!({}));
    let calls = json!([
        ["vatstoreGet", "a"],
        ["vatstoreSet", "a", "1"],
        ["vatstoreSet", "b", ""],
        ["vatstoreGet", "a"],
        ["vatstoreGet", "b"],
        ["vatstoreGetNextKey", ""],
        ["vatstoreGetNextKey", "a"],
        ["vatstoreDelete", "b"],
        ["vatstoreGetNextKey", "a"],
    ]);
    let returned = |value: Value| json!(["returned", value]);
    let expected: Vec<Value> =
        [json!(null), json!(null), json!(null), json!("1"), json!(null), json!("a"), json!("b")]
            .into_iter()
            .chain([json!(null), json!(null)])
            .map(returned)
            .collect();
    assert_eq!(tell(&mut machine, "vat", "do", &[calls]), Value::Array(expected));
}

/// What the worker itself refuses: the vat can catch it and goes on.
#[test]
fn a_syscall_of_the_wrong_form_throws_in_the_vat() {
    let mut machine = machine(&json!({}));
    for call in [
        json!(["vatstoreGet", 7]),
        json!(["vatstoreSet", "a", 7]),
        json!(["send", "o+0", {"body": 1, "slots": []}]),
        json!(["subscribe", null]),
        json!(["resolve", "p-1"]),
        json!(["exit", "yes", {"body": "!#1", "slots": []}]),
        json!(["dropImports", "o-50"]),
    ] {
        let done = tell(&mut machine, "vat", "do", &[json!([call])]);
        assert_eq!(done[0][0], "threw", "{call}: {done}");
    }
    assert_eq!(tell(&mut machine, "vat", "increment", &[]), json!(1));
}

/// What the kernel refuses: the vat ends, whatever it catches, and the whole delivery is undone.
#[test]
fn an_illegal_syscall_is_the_end_of_a_raw_vat_and_undoes_the_delivery() {
    let mut machine = machine(&json!({}));
    let data = json!({"body": "!#[\"hear\",[]]", "slots": []});
    let exported = json!(["send", "o-50", {"body": "!#[]", "slots": ["o+7"]}]);
    let illegal = [
        json!(["send", "o-99", data]),
        json!(["send", "nonsense", data]),
        json!(["send", "d-70", data]),
        json!(["subscribe", "p-99"]),
        json!(["subscribe", "o+0"]),
        json!(["resolve", [["p-99", false, data]]]),
        json!(["resolve", [["o+0", false, data]]]),
        json!(["dropImports", ["o-99"]]),
        json!(["dropImports", ["o+0"]]),
        json!(["retireImports", ["o-99"]]),
        json!(["retireExports", ["o+99"]]),
        json!(["retireExports", ["o+0"]]),
        json!(["abandonExports", ["o-50"]]),
        json!(["callNow", "o+0", "method", data]),
        json!(["callNow", "d-99", "method", data]),
        exported,
    ];
    let text = "syscall translation error: prepare to die";
    for (number, call) in illegal.iter().enumerate() {
        let name = format!("victim{number}");
        add(&mut machine, &name, &json!({}));
        let calls = json!([["vatstoreSet", "undone", "1"], call]);
        let [answer, ending] = kill(&mut machine, &name, "do", &[calls]);
        assert_eq!(answer, json!(["rejected", "Error", "vat terminated"]), "{call}");
        assert_eq!(ending, json!(["rejected", "Error", text]), "{call}");
    }
    assert_eq!(tell(&mut machine, "vat", "increment", &[]), json!(1), "the others go on");
}

#[test]
fn a_dispatch_that_throws_or_never_ends_is_the_end_of_the_vat() {
    let mut machine = machine(&json!({}));
    let gone = json!(["rejected", "Error", "vat terminated"]);
    let ended = |text: &str| json!(["rejected", "Error", text]);
    assert_eq!(kill(&mut machine, "vat", "boom", &[]), [gone.clone(), ended("RangeError: boom")]);
    add(&mut machine, "busy", &json!({}));
    assert_eq!(
        kill(&mut machine, "busy", "spin", &[]),
        [gone.clone(), ended("Compute meter exceeded")]
    );
    let id = raw().id;
    let options = json!({"enableSetup": true});
    machine.ask("create", json!(["poor", id, options, {"computrons": 2_000_000}]));
    let mut calls = 0;
    while kill(&mut machine, "poor", "increment", &[])[0][0] == "resolved" {
        calls += 1;
        assert!(calls < 1_000, "the meter is never empty");
    }
    let ending = machine.ask("ending", json!(["poor"]));
    assert_eq!(ending, ended("meter underflow, vat terminated"));
}

#[test]
fn a_bad_setup_refuses_the_vat_with_its_reason() {
    for (source, reason) in [
        ("export const other = 1;", "vat source bundle lacks (default) setup() function"),
        (
            "export default 7;",
            "the default export of a vat with enableSetup must be a function setup()",
        ),
        ("export default () => 7;", "setup() must return the dispatch function"),
        ("export default async () => () => {};", "setup() must return the dispatch function"),
        ("export default () => { throw Error('not today'); };", "not today"),
        (
            "export default () => () => {};\nexport const buildRootObject = () => {};",
            "vat source bundle has both buildRootObject() and a default setup()",
        ),
        (
            "export default syscall => { syscall.vatstoreSet('a', 'b'); return () => {}; };",
            "setup() must not make syscalls",
        ),
        ("throw Error('no import');\nexport default () => () => {};", "no import"),
    ] {
        let bundle = bundle_text(source);
        let mut machine = machine_with(&[&bundle]);
        let why = refusal(&mut machine, &bundle, &json!({"enableSetup": true}));
        assert!(why.contains(reason), "{source}: {why}");
    }
    // Without the option nobody calls setup().
    let raw = raw();
    let why = refusal(&mut machine_with(&[&raw]), &raw, &json!({}));
    assert!(why.contains("vat source bundle lacks buildRootObject() function"), "{why}");
}

#[test]
fn a_raw_vat_comes_back_from_its_snapshot_and_transcript() {
    let mut machine = machine(&json!({}));
    for count in 1..=12 {
        assert_eq!(tell(&mut machine, "vat", "increment", &[]), json!(count));
        let heard = tell(&mut machine, "vat", "count", &[]).as_u64().unwrap();
        machine.kernel.evict_all();
        let again = tell(&mut machine, "vat", "count", &[]).as_u64().unwrap();
        assert!(again > heard, "the heap is back: {heard} {again}");
    }
}

#[test]
fn a_raw_vat_is_upgraded_over_its_store() {
    let mut machine = machine(&json!({}));
    assert_eq!(tell(&mut machine, "vat", "increment", &[]), json!(1));
    let upgraded = machine.ask("upgrade", json!(["vat", raw().id, {"vatParameters": "new"}]));
    assert_eq!(upgraded, json!({"incarnationNumber": 1}));
    assert_eq!(tell(&mut machine, "vat", "count", &[]), json!(2), "the heap is new");
    assert_eq!(tell(&mut machine, "vat", "parameters", &[]), json!("new"));
    assert_eq!(tell(&mut machine, "vat", "increment", &[]), json!(2), "the store is the old one");
}

#[test]
fn a_raw_vat_without_a_transcript_begins_each_delivery_anew() {
    let mut machine = machine(&json!({"useTranscript": false}));
    for count in 1..=3 {
        assert_eq!(tell(&mut machine, "vat", "increment", &[]), json!(count));
        // Whether a node had the worker in memory makes no difference.
        assert_eq!(tell(&mut machine, "vat", "count", &[]), json!(1));
        machine.kernel.evict_all();
    }
    let mortal = bundle("tests/vats/documents/vat-mortal.js");
    let mut machine = machine_with(&[&mortal]);
    let why = refusal(&mut machine, &mortal, &json!({"useTranscript": false}));
    assert!(why.contains("useTranscript: false needs enableSetup"), "{why}");
}

#[test]
fn an_account_runs_a_raw_vat() {
    let mut node = Node::start(|_| {});
    let alice = node.wallet(0);
    let raw = raw();
    alice.install_bundle(&raw).unwrap();
    let options = format!(r#"["{}",{{"enableSetup":true,"name":"raw"}}]"#, raw.id);
    let made = alice.send("factory", "createVat", &Args::json(&options)).unwrap();
    assert_eq!(made.status, "fulfilled", "{}", made.value.body);
    let root = made.value.slots.last().unwrap().clone();
    let increment =
        |node: &Node| node.wallet(0).send(&root, "increment", &Args::default()).unwrap().value.body;
    assert_eq!(increment(&node), "#1");
    assert_eq!(increment(&node), "#2");
    node.wait_idle();
    node.restart();
    assert_eq!(increment(&node), "#3");
    // Without the option the bundle has nothing to run.
    let error = node.wallet(0).create_vat(&CreateVat::new(&raw.id)).unwrap_err().to_string();
    assert!(error.contains("buildRootObject"), "{error}");
    let wrong = format!(r#"["{}",{{"enableSetup":"yes"}}]"#, raw.id);
    let wrong = node.wallet(0).send("factory", "createVat", &Args::json(&wrong)).unwrap();
    assert!(wrong.value.body.contains("enableSetup must be true or false"), "{}", wrong.value.body);
}
