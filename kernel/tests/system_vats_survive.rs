//! Vats of the system: what reaches them, who pays for it, and that nothing ends them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::Delivery;
use capstan_kernel::{KernelPanic, ids::MeterId, limits::SystemGuard, vat::Threshold, view};
use capstan_kernel_ports::{VatId, host::VatHost as _};
use serde_json::{Value, json};
use support::script::{Stage, answer, orders};

const GUARD: SystemGuard = SystemGuard {
    max_bytes: 2_000,
    max_depth: 10,
    max_nodes: 300,
    max_slots: 20,
    message_price: 100,
    byte_price: 1,
    slot_price: 50,
    wake_price: 70,
};

/// A stage with a vat of the system, `sys`, and an ordinary one, `user`. For all others `sys` is `o-51`;
/// for vatAdmin `user` is `o-52`, and new vats' roots come from `o-53` on.
fn stage() -> Stage {
    Stage::new(&["sys", "user"], |config| {
        config.options.guard = GUARD;
        let sys = config.vats.get_mut("sys").unwrap();
        sys.system = true;
        sys.critical = true;
    })
}

/// Has vatAdmin make a vat with so many computrons; returns its number.
fn metered(stage: &mut Stage, computrons: u64, root: &str) -> VatId {
    let meter = format!("#[\"+{computrons}\",\"+0\"]");
    let create = r##"#["b1-user",{"meterID":"m1"}]"##;
    let before: Vec<VatId> = view::live_vats(&stage.state).unwrap();
    let make = json!([
        ["call", "d-70", "createMeter", meter],
        ["call", "d-70", "createByBundleID", create]
    ]);
    stage.perform("vatAdmin", make).unwrap();
    // Introduces it to the vat of the system, which becomes its o-50.
    let hello = json!(["send", root, "#[\"hello\",[\"$0\"]]", ["o-51"]]);
    stage.perform("vatAdmin", json!([hello])).unwrap();
    let live = view::live_vats(&stage.state).unwrap();
    live.into_iter().find(|vat| !before.contains(vat)).unwrap()
}

/// Has the vat whose root vatAdmin holds do something.
fn direct(stage: &mut Stage, root: &str, operations: &Value) {
    let body = orders(operations);
    stage.perform("vatAdmin", json!([["send", root, body, []]])).unwrap();
}

fn remaining(stage: &Stage) -> u128 {
    let meter = MeterId::parse("m1").unwrap();
    view::meter(&stage.state, meter).unwrap().unwrap().remaining.unwrap()
}

fn messages_to(stage: &Stage, vat: &str, name: &str) -> usize {
    let is = |delivery: &Delivery| matches!(delivery, Delivery::Message { message, .. } if support::method(message) == name);
    stage.count(stage.vat(vat), is)
}

#[test]
fn what_is_at_a_limit_arrives_and_one_more_is_rejected_unseen() {
    let text = |bytes: usize| format!("#[\"m\",[\"{}\"]]", "x".repeat(bytes - 11));
    let deep =
        |depth: usize| format!("#[\"m\",{}{}]", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let wide = |nodes: usize| format!("#[\"m\",[1{}]]", ",1".repeat(nodes - 4));
    let cases = [
        (text(2_000), text(2_001), "at most 2000 bytes"),
        (deep(10), deep(11), "at most 10 levels of nesting"),
        (wide(300), wide(301), "at most 300 values"),
    ];
    let mut stage = stage();
    for (number, (good, bad, words)) in cases.iter().enumerate() {
        assert_eq!(answer(&stage.send("sys", good, &[])).unwrap(), "#\"m\"", "{words}");
        let refusal = answer(&stage.send("sys", bad, &[])).unwrap_err();
        assert!(refusal.contains(words), "{refusal}");
        assert_eq!(messages_to(&stage, "sys", "m"), number + 1, "{words}");
        // Others take it.
        assert_eq!(answer(&stage.send("user", bad, &[])).unwrap(), "#\"m\"");
    }
    let slots: Vec<_> = (0..21).map(|_| capstan_kernel::ids::KRef::Object(20)).collect();
    answer(&stage.send("sys", "#[\"s\",[]]", &slots[..20])).unwrap();
    let refusal = answer(&stage.send("sys", "#[\"s\",[]]", &slots)).unwrap_err();
    assert!(refusal.contains("at most 20 references, not 21"), "{refusal}");
    assert_eq!(messages_to(&stage, "sys", "s"), 1);
    stage.check();
}

#[test]
fn what_a_vat_sends_by_way_of_a_promise_is_looked_at_where_it_arrives() {
    let mut stage = stage();
    // The message waits on a promise of user's own and is released by its resolution.
    let long = format!("#[\"m\",[\"{}\"]]", "x".repeat(3_000));
    let wait = json!([["send", "o-50", "#[\"hold\",[\"&0\"]]", ["p+5"]]]);
    stage.perform("user", wait).unwrap();
    let promise = stage.references("boot", "p-")[0].clone();
    let send = json!([["send", promise, long, [], "p+9"]]);
    stage.perform("boot", send).unwrap();
    stage.perform("user", json!([["resolve", "p+5", "#\"$0\"", ["o-51"]]])).unwrap();
    assert_eq!(messages_to(&stage, "sys", "m"), 0);
    let told = stage.heard.borrow().iter().any(|(vat, delivery)| match delivery {
        Delivery::Notify { resolutions } if *vat == stage.vat("boot") => {
            resolutions.iter().any(|r| r.rejected && r.data.body.contains("at most 2000 bytes"))
        }
        _ => false,
    });
    assert!(told, "boot never heard of the refusal");
}

#[test]
fn promises_and_unsound_references_are_refused() {
    let mut stage = stage();
    let cases = [
        ("#[\"m\",[\"&0\"]]", vec!["p+5"], "takes no promises"),
        ("#[\"m\",[]]", vec!["p+6"], "takes no promises"),
        ("#[\"m\",[\"$1\"]]", vec!["o+5"], "smallcaps alone"),
        ("#[\"m\",[\"&0\"]]", vec!["o+5"], "smallcaps alone"),
        ("#[\"m\",[\"$0x\"]]", vec!["o+5"], "smallcaps alone"),
        ("#[\"m\",[\"+abc\"]]", vec![], "smallcaps alone"),
        ("#[\"m\",[\"\\u00245\"]]", vec![], "smallcaps alone"),
        ("#[\"m\",[\"#bogus\"]]", vec![], "smallcaps alone"),
        ("#[\"m\",[{\"#tag\":1}]]", vec![], "smallcaps alone"),
        ("#[\"m\",[", vec![], "smallcaps alone"),
        ("[\"m\",[]]", vec![], "smallcaps alone"),
        ("#[\"m\",[]] []", vec![], "smallcaps alone"),
    ];
    for (number, (body, slots, words)) in cases.into_iter().enumerate() {
        let result = format!("p+{}", 900 + number);
        stage.perform("user", json!([["send", "o-51", body, slots, result]])).unwrap();
        let user = stage.vat("user");
        let told = |delivery: &Delivery| match delivery {
            Delivery::Notify { resolutions } => resolutions
                .iter()
                .any(|r| r.promise == result && r.rejected && r.data.body.contains(words)),
            _ => false,
        };
        assert_eq!(stage.count(user, told), 1, "{body} {words}");
    }
    assert_eq!(messages_to(&stage, "sys", "m"), 0);
    stage
        .perform("user", json!([["send", "o-51", "#[\"m\",[\"$0.Alleged: x\",\"$0\"]]", ["o+5"]]]))
        .unwrap();
    assert_eq!(messages_to(&stage, "sys", "m"), 1);
    stage.check();
}

#[test]
fn a_reference_with_a_long_name_is_refused_however_it_is_written() {
    let mut stage = stage();
    // Index, dot and name have 128 bytes at most, as they stand in the body.
    let names = [
        (format!("$0.{}", "x".repeat(125)), None),
        (format!("$0.{}", "x".repeat(126)), Some("names of at most 128 bytes, not 129")),
        (format!("$0.{}", "\\\"".repeat(63)), Some("names of at most 128 bytes, not 129")),
        (format!("\\u00240.{}", "x".repeat(126)), Some("names of at most 128 bytes, not 134")),
        // An ordinary text may be as long as the message.
        (format!("x$0.{}", "x".repeat(500)), None),
    ];
    for (number, (text, refusal)) in names.into_iter().enumerate() {
        let (result, method) = (format!("p+{}", 900 + number), format!("m{number}"));
        let body = format!("#[\"{method}\",[\"{text}\",\"$0\"]]");
        stage.perform("user", json!([["send", "o-51", body, ["o+5"], result]])).unwrap();
        let user = stage.vat("user");
        let told = |delivery: &Delivery| match delivery {
            Delivery::Notify { resolutions } => resolutions.iter().any(|r| {
                r.promise == result && refusal.is_some_and(|words| r.data.body.contains(words))
            }),
            _ => false,
        };
        assert_eq!(stage.count(user, told), usize::from(refusal.is_some()), "{text}");
        assert_eq!(messages_to(&stage, "sys", &method), usize::from(refusal.is_none()), "{text}");
    }
}

#[test]
fn results_that_are_too_large_for_a_vat_of_the_system_are_told_as_rejections() {
    // The vat of the system asks user, whose answer has this many bytes.
    for (length, is_rejected) in [(1_997, false), (1_998, true)] {
        let mut stage = stage();
        // user's root is o-51 there, after boot.
        let ask = json!([["send", "o-51", format!("#[\"ask\",[{length}]]"), [], "p+7"]]);
        stage.perform("sys", ask).unwrap();
        let sys = stage.vat("sys");
        let told: Vec<bool> = stage
            .heard
            .borrow()
            .iter()
            .filter(|(vat, _)| *vat == sys)
            .filter_map(|(_, delivery)| match delivery {
                Delivery::Notify { resolutions } => {
                    resolutions.iter().find(|r| r.promise == "p+7").map(|r| {
                        assert_eq!(r.data.body.contains("at most 2000 bytes"), is_rejected);
                        r.rejected
                    })
                }
                _ => None,
            })
            .collect();
        assert_eq!(told, [is_rejected], "{length}");
        stage.check();
    }
}

#[test]
fn a_delivery_in_which_a_vat_of_the_system_fails_is_lost_and_the_vat_goes_on() {
    let mut stage = stage();
    let sys = stage.vat("sys");
    stage.perform("sys", json!([["set", "kept", 1]])).unwrap();
    let failures = [
        (json!(["fail", 5]), "eeeee"),
        (json!(["fail", 5_000_000]), "(cut: 5000000 bytes)"),
        (json!(["illegal"]), "prepare to die"),
        (json!(["exit", true, "#\"enough\""]), "enough"),
        (json!(["exit", false, "#\"done\""]), "done"),
    ];
    for (failure, cause) in failures {
        let rejection = stage.perform("sys", json!([["set", "lost", 1], failure])).unwrap_err();
        assert!(rejection.contains("the vat of the system failed"), "{rejection}");
        assert!(rejection.contains(cause) && rejection.len() < 3_000, "{rejection}");
        assert!(stage.lives(sys), "{cause}");
        // It was undone: its worker comes back as it was before.
        assert!(!stage.kernel.host().is_running(sys), "{cause}");
        stage.perform("sys", json!([["set", "again", 1]])).unwrap();
        stage.check();
    }
    let keys = stage.keys(sys);
    assert_eq!(keys, ["again", "kept"]);
}

#[test]
fn a_critical_vat_of_a_user_still_halts_the_chain() {
    let mut stage = Stage::new(&["user"], |config| {
        config.options.guard = GUARD;
        config.vats.get_mut("user").unwrap().critical = true;
    });
    let methargs =
        capstan_abi::CapData { body: "#[\"do\",[[\"fail\",3]]]".to_owned(), slots: vec![] };
    stage.kernel.post_to_vat_root(&mut stage.state, "user", methargs).unwrap();
    let panic =
        stage.kernel.run(&mut stage.state, &mut capstan_kernel::policy::Forever).unwrap_err();
    assert!(matches!(panic, KernelPanic::CriticalVat { .. }), "{panic}");
}

#[test]
fn notifications_collections_and_reaping_that_a_vat_of_the_system_fails_in_are_lost_too() {
    let fails = |bundle: &str, delivery: &Delivery| {
        let spared = matches!(delivery, Delivery::Message { .. } | Delivery::StartVat { .. });
        bundle == "b1-sys" && !spared
    };
    let change = |config: &mut capstan_kernel::KernelConfig| {
        config.options.guard = GUARD;
        let sys = config.vats.get_mut("sys").unwrap();
        sys.system = true;
        sys.critical = true;
        sys.reap.deliveries = Threshold::At(3);
    };
    let mut stage = Stage::failing(&["sys", "user"], change, fails);
    let sys = stage.vat("sys");
    // Exports of the vat of the system that user drops, and an answer that it waits for.
    let export = json!([["send", "o-51", "#[\"take\",[\"$0\",\"$1\"]]", ["o+7", "o+8"], "p+5"]]);
    stage.perform("sys", export).unwrap();
    stage.perform("user", json!([["drop", "o-53", "o-54"]])).unwrap();
    for _ in 0..10 {
        stage.perform("sys", json!([["set", "k", 1]])).unwrap();
    }
    assert!(stage.lives(sys));
    let tried = |is: fn(&Delivery) -> bool| stage.count(sys, is);
    assert_eq!(tried(|d| matches!(d, Delivery::Notify { .. })), 1);
    assert_eq!(tried(|d| matches!(d, Delivery::DropExports { .. })), 1);
    assert!(tried(|d| matches!(d, Delivery::BringOutYourDead)) >= 3);
    let retired = tried(|d| matches!(d, Delivery::RetireExports { .. }));
    assert!(retired <= 1, "{retired}");
    stage.check();
}

#[test]
fn a_metered_vat_pays_for_what_it_has_a_vat_of_the_system_do() {
    let mut stage = stage();
    metered(&mut stage, 1_000_000, "o-53");
    let spend = |stage: &mut Stage, operations: Value| {
        let before = remaining(stage);
        direct(stage, "o-53", &operations);
        before - remaining(stage)
    };
    let idle = spend(&mut stage, json!([]));
    let body = "#[\"m\",[\"$0\"]]";
    let to_user = spend(&mut stage, json!([["send", "o+0", body, ["o-50"]]]));
    // It is the receiver of its own message.
    assert_eq!(to_user, 2 * idle);
    let to_system = spend(&mut stage, json!([["send", "o-50", body, ["o-50"]]]));
    assert_eq!(to_system, idle + 100 + body.len() as u128 + 50);
    // A message that the vat of the system fails in is paid for, too.
    let failing = "#[\"do\",[[\"fail\",3]]]";
    let lost = spend(&mut stage, json!([["send", "o-50", failing, []]]));
    assert_eq!(lost, idle + 100 + failing.len() as u128);
    // What is refused for its size is not.
    let large = format!("#[\"m\",[\"{}\"]]", "x".repeat(3_000));
    assert_eq!(spend(&mut stage, json!([["send", "o-50", large, []]])), idle);
    stage.check();
}

#[test]
fn a_meter_that_does_not_cover_the_price_has_the_message_rejected_and_the_vat_lives() {
    let body = "#[\"m\",[]]";
    let price = 100 + body.len() as u64;
    // What every delivery costs on this host, and what introductions take.
    let delivery = 1_000;
    let mut first = stage();
    metered(&mut first, 100_000, "o-53");
    let begun = 100_000 - u64::try_from(remaining(&first)).unwrap();
    for (left, arrives) in [(price, 1), (price - 1, 0)] {
        let mut stage = stage();
        let vat = metered(&mut stage, begun + delivery + left, "o-53");
        direct(&mut stage, "o-53", &json!([["send", "o-50", body, []]]));
        assert_eq!(messages_to(&stage, "sys", "m"), arrives, "{left}");
        let unspent = if arrives == 1 { 0 } else { left };
        assert_eq!(remaining(&stage), u128::from(unspent));
        assert!(stage.lives(vat), "{left}");
        stage.check();
    }
}

#[test]
fn a_vat_pays_for_what_a_vat_of_the_system_sends_it_or_does_not_get_it() {
    let begun = {
        let mut stage = stage();
        metered(&mut stage, 100_000, "o-53");
        100_000 - u64::try_from(remaining(&stage)).unwrap()
    };
    let mut stage = stage();
    let vat = metered(&mut stage, begun + 1_070 + 69, "o-53");
    // vatAdmin hands the vat of the system its root: o-53 there after boot, user and vatAdmin.
    let give = json!([["send", "o-51", "#[\"take\",[\"$0\"]]", ["o-53"]]]);
    stage.perform("vatAdmin", give).unwrap();
    let wake = |promise: &str| json!([["send", "o-53", "#[\"wake\",[]]", [], promise]]);
    stage.perform("sys", wake("p+7")).unwrap();
    assert_eq!(remaining(&stage), 69);
    stage.perform("sys", wake("p+8")).unwrap();
    assert_eq!(remaining(&stage), 69);
    assert!(stage.lives(vat));
    let sys = stage.vat("sys");
    let refused = |delivery: &Delivery| match delivery {
        Delivery::Notify { resolutions } => resolutions
            .iter()
            .any(|r| r.rejected && r.data.body.contains("the receiver's meter m1 does not cover")),
        _ => false,
    };
    assert_eq!(stage.count(sys, refused), 1);
    stage.check();
}

#[test]
fn a_vat_whose_end_is_undone_stays_in_memory() {
    let mut stage = Stage::new(&["user"], |config| {
        config.vats.get_mut("vatAdmin").unwrap().system = true;
        config.options.billing.resident_vats = 10;
    });
    let vat = stage.vat("user");
    let end = format!("#[\"{vat}\",\"done\"]");
    let call = json!(["call", "d-70", "terminateWithFailure", end]);
    let failed = stage.perform("vatAdmin", json!([call, ["fail", 5]])).unwrap_err();
    assert!(failed.contains("the message was undone"), "{failed}");
    assert!(stage.lives(vat));
    assert!(stage.kernel.host().is_running(vat), "the state says that it is in memory");
    stage.perform("vatAdmin", json!([call])).unwrap();
    assert!(!stage.lives(vat) && !stage.kernel.host().is_running(vat));
}
