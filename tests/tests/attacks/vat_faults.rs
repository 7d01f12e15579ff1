//! Faults that end a wasm vat on a chain, with SwingSet's texts, and the effects of `changeOptions`. (JavaScript vats' excesses are
//! `hostile_vats.rs`, their meters `documents.rs`.)
#![allow(clippy::unwrap_used)] // tests

use capstan_abi::Delivery;
use capstan_genesis::{GenesisBundle, GenesisVat};
use capstan_kernel::transcript::Entry;
use capstan_kernel::view;
use capstan_kernel_ports::VatId;
use capstan_kernel_ports::store::Read;
use capstan_tests::{
    Account, BareApp, Machine, MachineConfig, Options, bundle, raw_genesis, wasm_id,
};
use capstan_vat_host::{Compiler, Compilers};
use serde_json::{Value, json};
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::RequestQuery;

/// The actor that dies in another way.
fn actor_that(dies: &str, helper: &str) -> Vec<u8> {
    let source = include_str!("../../vats/actor.wat");
    let changed = source.replace("(then (unreachable))) ;; die", &format!("(then {dies})) ;; die"));
    let changed = changed.replace(
        "  (func (export \"capstan_abi\")",
        &format!("  {helper}\n  (func (export \"capstan_abi\")"),
    );
    assert_ne!(changed, source);
    wat::parse_str(&changed).unwrap()
}

/// Why the vat ended that the account's first message killed.
fn ends_with(module: &[u8], compilers: Compilers) -> String {
    let genesis = raw_genesis(|genesis| {
        let bundle = GenesisBundle::new(wasm_id(module), None, module);
        let kernel = &mut genesis.app_state.kernel;
        kernel.vats.insert("a".to_owned(), GenesisVat::new(bundle.id.clone()));
        genesis.app_state.bundles.push(bundle);
    });
    let app = BareApp::start(&genesis, &Options { compilers, ..Options::raw() });
    app.block(1, &[]);
    let mut alice = Account::dev(0);
    for (height, method) in (2..).zip(["increment", "die", "increment"]) {
        let tx = alice.calls(&[method]);
        app.block(height, &[alice.tx(tx)]);
    }
    // A block's budget is small: what is left over is done in the next ones.
    for height in 5..60 {
        app.block(height, &[]);
    }
    let request = RequestQuery { path: "vats/v3".to_owned(), ..RequestQuery::default() };
    let answer: Value = serde_json::from_slice(&app.app().query(request).value).unwrap();
    assert_eq!((&answer["name"], answer["status"] == "running"), (&json!("a"), false), "{answer}");
    answer["ending"]["reason"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn each_excess_of_a_wasm_vat_ends_it_with_its_text_under_either_compiler() {
    let recursive = "(func $deeper (param i32) (result i32) \
        (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    for (dies, helper, expected) in [
        ("(loop $for_ever (br $for_ever))", "", "Compute meter exceeded"),
        ("(drop (call $deeper (i32.const 0)))", recursive, "Stack meter exceeded"),
        ("(drop (memory.grow (i32.const 1)))", "", "Allocate meter exceeded"),
        // Any other trap.
        (
            "(drop (i32.div_s (i32.const 1) (i32.const 0)))",
            "",
            "wasm trap: integer operation without a result",
        ),
    ] {
        let module = actor_that(dies, helper);
        for modules in [Compiler::Singlepass, Compiler::Cranelift] {
            let why = ends_with(&module, Compilers { modules, ..Compilers::default() });
            assert_eq!(why, expected, "{dies}, {modules:?}");
        }
    }
}

/// The deliveries in a vat's transcript, all of which is kept.
fn deliveries(machine: &Machine, vat: VatId) -> Vec<Delivery> {
    let entries = machine.state().scan(format!("local.k.t.{vat}.").as_bytes()).unwrap();
    let delivery = |(_, bytes): (Vec<u8>, Vec<u8>)| match borsh::from_slice(&bytes).unwrap() {
        Entry::Delivery { delivery, .. } => Some(delivery),
        _ => None,
    };
    entries.into_iter().filter_map(delivery).collect()
}

#[test]
fn changed_options_take_effect_and_the_vat_is_told_what_concerns_it() {
    let document = |name: &str| bundle(&format!("tests/vats/documents/vat-{name}.js"));
    let mortal = document("mortal");
    let id = mortal.id.to_string();
    let config = MachineConfig {
        vats: vec![("bootstrap", document("dynamic"))],
        installed: vec![mortal],
        ..MachineConfig::default()
    };
    let mut machine = Machine::start_with(&config, |options| {
        (options.snapshot_initial, options.snapshot_interval) = (10_000, 10_000);
    });
    machine.ask("create", json!(["vat", id, {"reapInterval": 1_000}]));
    let vat = *view::live_vats(&machine.state()).unwrap().last().unwrap();
    let reaps = |machine: &Machine| {
        deliveries(machine, vat).iter().filter(|d| **d == Delivery::BringOutYourDead).count()
    };
    let hear_three_times = |machine: &mut Machine| {
        let before = reaps(machine);
        for _ in 0..3 {
            machine.ask("tell", json!(["vat", "hear"]));
        }
        reaps(machine) - before
    };
    assert_eq!(hear_three_times(&mut machine), 0);
    let options = json!({"reapInterval": 1});
    assert_eq!(machine.ask("admin", json!(["vat", "changeOptions", options])), Value::Null);
    assert!(hear_three_times(&mut machine) >= 3);
    machine.ask("admin", json!(["vat", "changeOptions", {"reapInterval": "never"}]));
    assert_eq!(hear_three_times(&mut machine), 0);
    // The kernel alone was concerned.
    let told = |machine: &Machine| {
        let all = deliveries(machine, vat).into_iter();
        let changes = all.filter_map(|delivery| match delivery {
            Delivery::ChangeVatOptions { options_json } => Some(options_json),
            _ => None,
        });
        changes.collect::<Vec<_>>()
    };
    assert_eq!(told(&machine), Vec::<String>::new());
    let both = json!({"reapInterval": 2, "virtualObjectCacheSize": 5});
    machine.ask("admin", json!(["vat", "changeOptions", both]));
    assert_eq!(told(&machine), [r#"{"virtualObjectCacheSize":5}"#]);
    assert!(hear_three_times(&mut machine) >= 1);
    for (options, part) in [
        (json!({"reapInterval": "sometimes"}), "invalid reapInterval value"),
        (json!({"reapInterval": -1}), "invalid reapInterval value"),
        (json!({"virtualObjectCacheSize": "x"}), "invalid virtualObjectCacheSize value"),
        (json!({"shoeSize": 9}), "invalid option"),
    ] {
        let why = machine.call("admin", json!(["vat", "changeOptions", options])).unwrap_err();
        assert!(why["#error"].as_str().unwrap().contains(part), "{why}");
    }
    assert_eq!(machine.ask("tell", json!(["vat", "hear"])), json!(13), "it lives");
}
