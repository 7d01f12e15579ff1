//! Every example of the documents that Capstan answers to, on the real engine: SwingSet's "Dynamic Vats", the restart of
//! vats and subclusters, and `@agoric/vow`'s README. (SwingSet's first README is `cli/tests/basedir.rs`.) The sources
//! are `tests/vats/documents`.
#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeMap;

use capstan_client::Bundle;
use capstan_kernel::device::{BUNDLE, DeviceKind};
use capstan_kernel::subcluster::SubclusterConfig;
use capstan_kernel::{KernelPanic, StaticVat, ids::KRef, view};
use capstan_kernel_ports::VatId;
use capstan_kernel_ports::host::VatHost as _;
use capstan_tests::{Machine, MachineConfig, bundle};
use serde_json::{Value, json};

fn source(name: &str) -> Bundle {
    bundle(&format!("tests/vats/documents/vat-{name}.js"))
}

/// A machine whose bootstrap vat makes dynamic vats, and the ids of the bundles that it can make them from.
fn dynamic_vats() -> (Machine, String, String) {
    let (counter, mortal) = (source("counter"), source("mortal"));
    let (counter_id, mortal_id) = (counter.id.to_string(), mortal.id.to_string());
    let config = MachineConfig {
        vats: vec![("bootstrap", source("dynamic"))],
        installed: vec![counter, mortal],
        devices: vec![(BUNDLE, DeviceKind::Bundle)],
        ..MachineConfig::default()
    };
    // Small, so that it is soon spent.
    let machine = Machine::start_with(&config, |options| options.crank_limit = 60_000_000);
    (machine, counter_id, mortal_id)
}

#[test]
fn the_counter_of_dynamic_vats_counts() {
    let (mut machine, counter, _) = dynamic_vats();
    assert_eq!(machine.bootstrap, Ok(json!(["bundle", "vatAdmin"])));
    assert_eq!(machine.ask("countToTwo", json!([counter])), json!([1, 2]));
}

#[test]
fn the_bundle_device_gives_bundlecaps_and_has_no_power_over_vats() {
    let (mut machine, counter, _) = dynamic_vats();
    assert_eq!(machine.ask("bundleOf", json!([counter])), json!(counter));
    // One that is not installed.
    let unknown = format!("b1-{}", "0".repeat(128));
    assert_eq!(machine.ask("bundleOf", json!([unknown])), Value::Null);
    for method in ["terminateWithFailure", "createByBundleID", "upgradeVat", "createMeter"] {
        let answer = machine.ask("bundleDeviceCan", json!([method]));
        assert_eq!(answer[0], json!(false), "{method}: {answer}");
    }
}

#[test]
fn every_option_of_create_vat_is_taken() {
    let (mut machine, _, mortal) = dynamic_vats();
    let options = json!({
        "name": "all-of-them",
        "managerType": "xs-worker",
        "vatParameters": {"greeting": "hello", "deep": [1, {"two": 2}]},
        "enableSetup": false,
        "enablePipelining": false,
        "enableVatstore": true,
        "virtualObjectCacheSize": 10,
        "useTranscript": true,
        "reapInterval": 5,
    });
    machine.ask("create", json!(["vat", mortal, options, {"computrons": 1_000_000_000}]));
    assert_eq!(machine.ask("tell", json!(["vat", "parameters"])), options["vatParameters"]);
    let left = machine.ask("meter", json!(["vat"]));
    let left: u64 = left["remaining"].as_str().unwrap()[1..].parse().unwrap();
    assert!((1..1_000_000_000).contains(&left), "{left}");
    // SwingSet's documentation has four, and its code another name for one of them.
    for manager in ["local", "xs-worker", "nodeWorker", "node-subprocess", "xsnap"] {
        machine.ask("create", json!([manager, mortal, {"managerType": manager}]));
        assert_eq!(machine.ask("tell", json!([manager, "hear"])), json!(1), "{manager}");
    }
    for (option, value) in [
        ("shoeSize", json!(9)),
        ("reapInterval", json!("x")),
        ("virtualObjectCacheSize", json!("x")),
        ("enableVatstore", json!("x")),
        ("enableSetup", json!("x")),
        ("managerType", json!("wasm")),
        ("nodeOptions", json!(["inspect"])),
    ] {
        let why = machine.call("create", json!(["other", mortal, {option: value}])).unwrap_err();
        assert!(why["#error"].as_str().unwrap().starts_with("CreateVatOptions"), "{why}");
    }
}

#[test]
fn the_admin_node_knows_the_vats_counts() {
    let (mut machine, _, mortal) = dynamic_vats();
    machine.ask("create", json!(["vat", mortal]));
    // After the first snapshot, which begins a new transcript.
    machine.ask("tell", json!(["vat", "hear"]));
    let before = machine.ask("admin", json!(["vat", "adminData"]));
    // Its root is all that it holds: the promises of its answers are settled and gone. It was given two promises
    // more than it has, for its two answers.
    let expected = [("objectCount", 1), ("promiseCount", 0), ("deviceCount", 0)];
    for (count, number) in expected {
        assert_eq!(before[count], number, "{count}: {before}");
    }
    let totals = ["objectImportsTotal", "promiseImportsTotal", "deviceImportsTotal"];
    assert_eq!(totals.map(|total| before[total].as_u64()), [Some(0), Some(1), Some(0)], "{before}");
    machine.ask("tell", json!(["vat", "hear"]));
    let after = machine.ask("admin", json!(["vat", "adminData"]));
    let count = |data: &Value| data["transcriptCount"].as_u64().unwrap();
    assert!(count(&after) > count(&before), "{before} {after}");
}

#[test]
fn done_tells_how_a_vat_ended() {
    let (mut machine, _, mortal) = dynamic_vats();
    let mut ends = |method: &str, args: Value, expected: Value| {
        machine.ask("create", json!([method, mortal]));
        assert_eq!(machine.ask("ending", json!([method])), json!([]));
        let mut call = vec![json!(method), json!(method)];
        call.extend(args.as_array().unwrap().iter().cloned());
        let answer = machine.ask("kill", Value::Array(call));
        let ending = machine.ask("ending", json!([method]));
        assert_eq!(ending, expected, "{method}: {answer}");
        // Whoever asks later hears the same from the dead.
        let again = machine.ask("kill", json!([method, "hear"]));
        assert_eq!(again, json!(["rejected", "Error", "vat terminated"]), "{method}");
        answer
    };
    let gone = json!(["rejected", "Error", "vat terminated"]);
    // Who exits of itself answers first.
    assert_eq!(ends("exit", json!(["enough"]), json!(["resolved", "enough"]))[0], "resolved");
    assert_eq!(ends("fail", json!(["broken"]), json!(["rejected", "Error", "broken"])), gone);
    for (method, text) in [
        ("compute", "Compute meter exceeded"),
        ("allocate", "Allocate meter exceeded"),
        ("recurse", "Stack meter exceeded"),
    ] {
        assert_eq!(ends(method, json!([]), json!(["rejected", "Error", text])), gone);
    }
    machine.ask("create", json!(["ended", mortal]));
    machine.ask("end", json!(["ended", "by its owner"]));
    assert_eq!(
        machine.ask("ending", json!(["ended"])),
        json!(["rejected", "Error", "by its owner"])
    );
}

#[test]
fn a_vat_whose_meter_runs_out_ends_and_one_without_goes_on() {
    let (mut machine, _, mortal) = dynamic_vats();
    machine.ask("create", json!(["rich", mortal, {}, {"computrons": 1_000_000_000}]));
    let left =
        machine.ask("meter", json!(["rich"]))["remaining"].as_str().unwrap()[1..].parse::<u64>();
    // Enough for its start and little more.
    let enough = 1_000_000_000 - left.unwrap() + 20_000;
    machine.ask("create", json!(["poor", mortal, {}, {"computrons": enough}]));
    machine.ask("create", json!(["unmetered", mortal]));
    let mut calls = 0;
    while machine.ask("kill", json!(["poor", "hear"]))[0] == "resolved" {
        calls += 1;
        assert!(calls < 1_000, "the meter is never empty");
    }
    let ending = machine.ask("ending", json!(["poor"]));
    assert_eq!(ending, json!(["rejected", "Error", "meter underflow, vat terminated"]));
    assert_eq!(machine.ask("meter", json!(["poor"]))["remaining"], "+0");
    for name in ["rich", "unmetered"] {
        assert_eq!(machine.ask("kill", json!([name, "hear"])), json!(["resolved", 1]), "{name}");
    }
}

#[test]
fn the_end_of_a_critical_vat_stops_the_kernel_and_only_the_key_makes_one() {
    let (mut machine, _, mortal) = dynamic_vats();
    let why = machine.call("create", json!(["fake", mortal, {"critical": true}])).unwrap_err();
    assert_ne!(why, Value::Null);
    machine.ask("create", json!(["plain", mortal]));
    machine.ask("kill", json!(["plain", "fail", "nobody minds"]));
    machine.ask("create", json!(["heart", mortal, {}, {"isCritical": true}]));
    let panic = machine.send("kill", json!(["heart", "fail", "it breaks"])).unwrap_err();
    let KernelPanic::CriticalVat { info, .. } = &panic else { panic!("{panic}") };
    assert!(info.contains("it breaks"), "{info}");
    // And so it stays.
    assert_eq!(machine.send("ending", json!(["heart"])), Err(panic));
}

#[test]
fn a_vat_is_upgraded_to_other_code_or_to_its_own() {
    let (mut machine, counter, mortal) = dynamic_vats();
    machine.ask("create", json!(["vat", mortal, {"vatParameters": {"v": 1}}]));
    machine.ask("tell", json!(["vat", "hear"]));
    let options = json!({"upgradeMessage": "null upgrade", "vatParameters": {"v": 2}});
    let upgraded = machine.ask("upgrade", json!(["vat", mortal, options]));
    assert_eq!(upgraded, json!({"incarnationNumber": 1}));
    assert_eq!(machine.ask("tell", json!(["vat", "parameters"])), json!({"v": 2}));
    assert_eq!(machine.ask("tell", json!(["vat", "incarnation"])), json!(1));
    assert_eq!(machine.ask("tell", json!(["vat", "hear"])), json!(1), "the heap is new");
    // Other code has other methods; the root is the same object.
    let upgraded = machine.ask("upgrade", json!(["vat", counter]));
    assert_eq!(upgraded, json!({"incarnationNumber": 2}));
    assert_eq!(machine.ask("tell", json!(["vat", "increment"])), json!(1));
    let why = machine.call("tell", json!(["vat", "incarnation"])).unwrap_err();
    assert!(why["#error"].as_str().unwrap().contains("incarnation"), "{why}");
}

/// Calls the root of a vat of a subcluster.
#[track_caller]
fn call_root(machine: &mut Machine, vat: VatId, method: &str) -> Value {
    use capstan_abi::CapData;
    use capstan_kernel::promise::ResultPolicy;
    let promise: KRef = machine
        .change(|kernel, block| {
            let root = kernel.vat_root(block, vat)?.unwrap();
            let methargs = CapData { body: format!("#[\"{method}\",[]]"), slots: vec![] };
            kernel.queue_to_object(block, root, methargs, ResultPolicy::Ignore)
        })
        .unwrap();
    machine.run().unwrap();
    match machine.settled(promise) {
        Some(Ok(value)) => value,
        other => panic!("{vat} {method}: {other:?}"),
    }
}

#[test]
fn a_subcluster_lives_on_in_the_vat_table_until_its_vats_are_ended() {
    let (mut machine, counter, mortal) = dynamic_vats();
    let config = SubclusterConfig {
        bootstrap: None,
        vats: vec![
            ("counter".to_owned(), StaticVat::new(counter)),
            ("mortal".to_owned(), StaticVat::new(mortal)),
        ],
        ..SubclusterConfig::default()
    };
    let launched = machine.change(|kernel, block| kernel.launch_default_subcluster(block, &config));
    let vats: BTreeMap<String, VatId> = launched.unwrap().unwrap().vats.into_iter().collect();
    machine.run().unwrap();
    let (counter, mortal) = (vats["counter"], vats["mortal"]);
    for vat in [counter, mortal] {
        let status = view::vat_state(&machine.state(), vat).unwrap().unwrap().status;
        assert_eq!(status.ending(), None, "{vat}");
    }
    assert_eq!(call_root(&mut machine, counter, "increment"), json!(1));
    // As after a restart: the table says which vats there are, they come back with what they had, and the default
    // subcluster is not launched again.
    machine.kernel.evict_all();
    let again = machine.change(|kernel, block| kernel.launch_default_subcluster(block, &config));
    assert_eq!(again.unwrap(), None);
    assert!(!machine.kernel.host().is_running(counter));
    machine.change(|kernel, block| kernel.run_vat(block, counter)).unwrap();
    assert!(machine.kernel.host().is_running(counter));
    assert_eq!(call_root(&mut machine, counter, "increment"), json!(2));
    let reason = capstan_abi::CapData { body: "#\"over\"".to_owned(), slots: vec![] };
    machine.change(|kernel, block| kernel.terminate_vat(block, counter, &reason)).unwrap();
    machine.run().unwrap();
    let status =
        |machine: &Machine, vat| view::vat_state(&machine.state(), vat).unwrap().unwrap().status;
    // The table remembers how it ended; nothing else is left of it.
    assert_eq!(status(&machine, counter).ending().unwrap().reason(), "over");
    assert_eq!(machine.change(|kernel, block| kernel.vat_root(block, counter)).unwrap(), None);
    assert_eq!(call_root(&mut machine, mortal, "hear"), json!(1));
    let ended = machine.change(|kernel, block| kernel.terminate_all_vats(block, &reason)).unwrap();
    assert!(ended.contains(&mortal) && !ended.contains(&counter), "{ended:?}");
    assert!(view::live_vats(&machine.state()).unwrap().is_empty());
}

#[test]
fn vows_of_the_readme_are_vows_to_some_and_answers_to_others() {
    let config = MachineConfig {
        vats: vec![("boss", source("vow-boss"))],
        named: vec![("maker", source("vow-maker")), ("reader", source("vow-reader"))],
        ..MachineConfig::default()
    };
    let mut machine = Machine::start(&config);
    let vow = json!(["Vow", ["payload"], ["vowV0"]]);
    assert_eq!(machine.ask("read", json!(["readPlain"])), json!([vow, vow]));
    assert_eq!(machine.ask("read", json!(["read"])), json!(["one", "x+y"]));
    let told = machine.ask("tell", json!(["tell"]));
    assert_eq!(told, json!("told: now you know the answer"));
    // Vows and resolvers in durable stores: made, watched, and after upgrades of both sides resolved.
    machine.ask("make", json!(["keep"]));
    for vat in ["maker", "reader"] {
        assert_eq!(machine.ask("upgrade", json!([vat])), json!({"incarnationNumber": 1}));
    }
    machine.ask("make", json!(["resolveKept", "late"]));
    assert_eq!(machine.ask("tell", json!(["kept"])), json!(["told: seen late", "late"]));
}
