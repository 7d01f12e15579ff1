//! The system's own vats with the real engine: computrons are paid for, vats are upgraded by who holds
//! their admin object, meters tell and give back, and the timer wakes by the time of the blocks.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;
#[path = "common/engine.rs"]
mod engine;

use capstan_app::{App, AppOptions, proto};
use capstan_store::Store;
use capstan_vat_host::WasmHost;
use common::{Chain, Client, alice, any, bob, capdata};
use engine::{genesis_with_timer, host};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A moment in 2026, in seconds since 1970.
const THEN: i64 = 1_770_000_000;

fn start() -> Chain<WasmHost> {
    let app = App::new(Store::in_memory().unwrap(), host(), AppOptions::default()).unwrap();
    let mut chain = Chain::of(app);
    chain.time = THEN;
    chain.init(&genesis_with_timer());
    for _ in 0..6 {
        chain.block(&[]);
    }
    chain
}

/// A vat made of the provisioner's bundle, which is at hand: `createdVat`, and the message's result.
fn create(chain: &mut Chain<WasmHost>, owner: &mut Client, computrons: u64) -> Value {
    let create = any(&proto::MsgCreateVat {
        owner: owner.address().to_string(),
        bundle_id: capstan_vat_system::provisioner_id().to_owned(),
        name: String::new(),
        parameters: None,
        computrons,
    });
    let tx = owner.tx(vec![create]);
    chain.ok(tx.clone());
    chain.settled(&tx, 0)
}

/// Sends a message that must be fulfilled: body and slots of the answer.
fn ask(
    chain: &mut Chain<WasmHost>,
    sender: &mut Client,
    target: &str,
    method: &str,
    args: &str,
    slots: &[&str],
) -> (String, Vec<String>) {
    let tx = sender.tx(vec![sender.send(target, method, args, slots)]);
    chain.ok(tx.clone());
    let answer = chain.settled(&tx, 0);
    assert_eq!(answer["status"], "fulfilled", "{method}: {answer}");
    let slots = answer["value"]["slots"].as_array().unwrap().iter();
    let slots = slots.map(|slot| slot.as_str().unwrap().to_owned()).collect();
    (answer["value"]["body"].as_str().unwrap().to_owned(), slots)
}

#[test]
fn computrons_are_paid_for_and_given_back_if_the_vat_does_not_start() {
    let mut chain = start();
    let mut alice = alice();
    let flat = 10_000_000;
    let before = chain.balance(alice.address());
    assert_eq!(create(&mut chain, &mut alice, 2_000_000_000)["status"], "fulfilled");
    // Two thousand millions at 10 ucap.
    // It is the account's first message, too.
    assert_eq!(before - chain.balance(alice.address()), flat + 20_000 + 5_000);
    let before = chain.balance(alice.address());
    let failed = create(&mut chain, &mut alice, 100_000);
    assert_eq!(failed["status"], "rejected", "{failed}");
    // The meter ran dry: nothing is left to be given back.
    // Priced by the million, rounded up.
    assert_eq!(before - chain.balance(alice.address()), flat + 10);
    let before = chain.balance(alice.address());
    let bundle = capstan_vat_system::provisioner_id();
    let args = format!(
        "[{bundle:?},{{\"computrons\":\"+2000000000\",\"vatParameters\":{{\"defaultComputrons\":\"no\"}}}}]"
    );
    let tx = alice.tx(vec![alice.send("factory", "createVat", &format!("#{args}"), &[])]);
    chain.ok(tx.clone());
    let failed = chain.settled(&tx, 0);
    assert_eq!(failed["status"], "rejected", "{failed}");
    assert!(failed["value"]["body"].as_str().unwrap().contains("defaultComputrons"), "{failed}");
    let lost = before - chain.balance(alice.address()) - flat;
    assert!((1..20_000).contains(&lost), "{lost} for the start, the rest is given back");
}

#[test]
fn a_vat_is_upgraded_by_who_holds_its_admin_object() {
    let mut chain = start();
    let (mut alice, mut bob) = (alice(), bob());
    let made = create(&mut chain, &mut alice, 0);
    let text = |name: &str| made["created_vat"][name].as_str().unwrap().to_owned();
    let (vat, root, admin) = (text("vat_id"), text("root"), text("admin"));
    let (_, slots) = ask(&mut chain, &mut alice, &root, "provision", "[\"someone\"]", &[]);
    ask(&mut chain, &mut alice, &slots[0], "publish", "#[\"it\",\"$0\"]", &[&slots[0]]);

    let upgrade = |sender: &Client, admin: &str, bundle: &str, params: &str| {
        any(&proto::MsgUpgradeVat {
            sender: sender.address().to_string(),
            admin: admin.to_owned(),
            bundle_id: bundle.to_owned(),
            parameters: Some(capdata(params, &[])),
            upgrade_message: "newer".to_owned(),
        })
    };
    let same = capstan_vat_system::provisioner_id();
    // Bob holds objects of his own, but not this one.
    create(&mut chain, &mut bob, 0);
    for (sender, bundle, code) in
        [(&mut bob, same.to_owned(), 49), (&mut alice, format!("b1-{}", "0".repeat(128)), 44)]
    {
        let admin = if code == 49 { "ro-99" } else { admin.as_str() };
        let tx = sender.tx(vec![upgrade(sender, admin, &bundle, "{}")]);
        let result = chain.block(&[tx]).tx_results.remove(0);
        assert_eq!(result.code, code, "{}", result.log);
    }
    let tx = alice.tx(vec![upgrade(&alice, &admin, same, "{}")]);
    chain.ok(tx.clone());
    let upgraded = chain.settled(&tx, 0);
    assert_eq!(upgraded["status"], "fulfilled", "{upgraded}");
    assert_eq!(upgraded["value"]["body"], r##"#{"incarnationNumber":1}"##);
    assert_eq!(chain.json(&format!("vats/{vat}"))["incarnation"], 1);
    // What it keeps durably is there still, and the objects are the same.
    let (_, found) = ask(&mut chain, &mut alice, &slots[0], "lookup", "[\"it\"]", &[]);
    assert_eq!(found, slots);

    // A new incarnation that does not start leaves the old one.
    let tx = alice.tx(vec![upgrade(&alice, &admin, same, "{\"defaultComputrons\":\"no\"}")]);
    chain.ok(tx.clone());
    let failed = chain.settled(&tx, 0);
    assert_eq!(failed["status"], "rejected", "{failed}");
    assert!(failed["value"]["body"].as_str().unwrap().contains("vat-upgrade failure"), "{failed}");
    assert_eq!(chain.json(&format!("vats/{vat}"))["incarnation"], 1);
    ask(&mut chain, &mut alice, &slots[0], "lookup", "[\"it\"]", &[]);
}

/// The most computrons that a vat of the provisioner's code sells, which its parameters say.
fn limit(chain: &mut Chain<WasmHost>, alice: &mut Client, factory: &str) -> String {
    let bundle = capstan_vat_system::provisioner_id();
    let args = format!("#[{bundle:?},{{\"computrons\":\"+{}\"}}]", u64::MAX);
    let tx = alice.tx(vec![alice.send(factory, "createVat", &args, &[])]);
    chain.ok(tx.clone());
    let refused = chain.settled(&tx, 0);
    let text = refused["value"]["body"].as_str().unwrap().to_owned();
    let (_, rest) = text.split_once("at most ").unwrap_or_else(|| panic!("{text}"));
    rest.split_once("n]").unwrap().0.trim_start_matches(['\\', '"', '[']).to_owned()
}

#[test]
fn an_upgrade_without_parameters_keeps_those_that_the_vat_has() {
    let mut chain = start();
    let mut alice = alice();
    let parameters = r#"{"defaultComputrons":"+5","maxComputrons":"+7"}"#;
    let bundle = capstan_vat_system::provisioner_id();
    let create = any(&proto::MsgCreateVat {
        owner: alice.address().to_string(),
        bundle_id: bundle.to_owned(),
        parameters: Some(capdata(&format!("#{parameters}"), &[])),
        ..Default::default()
    });
    let tx = alice.tx(vec![create]);
    chain.ok(tx.clone());
    let made = chain.settled(&tx, 0)["created_vat"].clone();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let (_, slots) = ask(&mut chain, &mut alice, &text("root"), "provision", "[\"x\"]", &[]);
    let factory = slots[0].clone();
    assert_eq!(limit(&mut chain, &mut alice, &factory), "7");
    for (given, status, expected) in [
        (None, "fulfilled", "7"),
        (Some(r#"#{"maxComputrons":"no"}"#), "rejected", "7"),
        (None, "fulfilled", "7"),
        (Some("#{}"), "fulfilled", "10000000000000"),
        (None, "fulfilled", "10000000000000"),
        (Some(r##"#{"maxComputrons":"+9"}"##), "fulfilled", "9"),
        (Some("#\"#undefined\""), "fulfilled", "10000000000000"),
    ] {
        let upgrade = any(&proto::MsgUpgradeVat {
            sender: alice.address().to_string(),
            admin: text("admin"),
            bundle_id: bundle.to_owned(),
            parameters: given.map(|given| capdata(given, &[])),
            upgrade_message: String::new(),
        });
        let tx = alice.tx(vec![upgrade]);
        chain.ok(tx.clone());
        let answer = chain.settled(&tx, 0);
        assert_eq!(answer["status"], status, "{given:?}: {answer}");
        assert_eq!(limit(&mut chain, &mut alice, &factory), expected, "{given:?}");
    }
    // The factory's own method does the same.
    let kept = format!("#[\"$0\",{bundle:?}]");
    ask(&mut chain, &mut alice, "factory", "upgradeVat", &kept, &[&text("admin")]);
    let given = format!(r##"#["$0",{bundle:?},{{"vatParameters":{{"maxComputrons":"+9"}}}}]"##);
    ask(&mut chain, &mut alice, "factory", "upgradeVat", &given, &[&text("admin")]);
    ask(&mut chain, &mut alice, "factory", "upgradeVat", &kept, &[&text("admin")]);
    assert_eq!(limit(&mut chain, &mut alice, &factory), "9");
}

#[test]
fn the_end_of_a_vat_gives_back_what_its_meter_has_left() {
    let mut chain = start();
    let (mut alice, mut bob) = (alice(), bob());
    // An account's first message costs more.
    create(&mut chain, &mut alice, 0);
    let flat = 10_000_000;
    let before = chain.balance(alice.address());
    let made = create(&mut chain, &mut alice, 2_000_000_000)["created_vat"].clone();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let record = chain.json(&format!("vats/{}", text("vat_id")));
    assert_eq!(record["owner"], alice.address().to_string());
    let meter = record["meter_id"].as_str().unwrap().to_owned();
    let fund = |payer: &Client| {
        any(&proto::MsgFundMeter {
            sender: payer.address().to_string(),
            meter: meter.clone(),
            computrons: 1_000_000_000,
        })
    };
    chain.ok(bob.tx(vec![fund(&bob)]));
    let terminate = any(&proto::MsgTerminateVat {
        sender: alice.address().to_string(),
        admin: text("admin"),
        reason: None,
    });
    let mut block = chain.block(&[alice.tx(vec![terminate])]);
    let mut returned = Vec::new();
    for _ in 0..5 {
        let found = |name: &str| common::attributes(&block.events, "meter.returned", name);
        returned.extend([found("meter_id"), found("owner"), found("amount"), found("computrons")]);
        if common::attributes(&block.events, "vat.terminated", "kind") == ["terminated"] {
            assert_eq!(common::attributes(&block.events, "vat.terminated", "failure"), ["false"]);
        }
        block = chain.block(&[]);
    }
    let returned: Vec<String> = returned.into_iter().flatten().collect();
    let [id, owner, amount, computrons] = returned.try_into().unwrap();
    assert_eq!((id, owner), (meter.clone(), alice.address().to_string()));
    let coins: u128 = amount.trim_end_matches("ucap").parse().unwrap();
    let computrons: u128 = computrons.parse().unwrap();
    assert_eq!(coins, computrons / 100_000, "ten coins a million");
    // What it cost to start and to end is gone. What bob paid is alice's.
    assert!(computrons > 2_900_000_000, "{computrons}");
    let paid = before - chain.balance(alice.address());
    assert_eq!(paid, 2 * flat + 20_000 - coins);
    let left = chain.json(&format!("meters/{meter}"));
    assert_eq!((&left["remaining"], &left["vats"]), (&"0".into(), &0.into()), "{left}");
    assert_eq!(left["given_back"], computrons.to_string());
    let ending = chain.json(&format!("vats/{}", text("vat_id")))["ending"].clone();
    assert_eq!((&ending["kind"], &ending["failure"]), (&"terminated".into(), &false.into()));
    // Nobody can fund it any more, and the coins stay.
    let before = chain.balance(bob.address());
    let refused = chain.block(&[bob.tx(vec![fund(&bob)])]).tx_results.remove(0);
    assert!(refused.code != 0 && refused.log.contains("pays for no vat"), "{}", refused.log);
    assert_eq!(before - chain.balance(bob.address()), flat);
}

#[test]
fn a_meter_that_is_funded_lets_its_vat_go_on() {
    let mut chain = start();
    let mut alice = alice();
    let made = create(&mut chain, &mut alice, 0);
    let vat = made["created_vat"]["vat_id"].as_str().unwrap().to_owned();
    let meter = chain.json(&format!("vats/{vat}"))["meter_id"].as_str().unwrap().to_owned();
    let remaining = |chain: &Chain<WasmHost>| -> u64 {
        chain.json(&format!("meters/{meter}"))["remaining"].as_str().unwrap().parse().unwrap()
    };
    let left = remaining(&chain);
    let before = chain.balance(alice.address());
    let fund = any(&proto::MsgFundMeter {
        sender: alice.address().to_string(),
        meter: meter.clone(),
        computrons: 4_000_000,
    });
    let result = chain.ok(alice.tx(vec![fund]));
    assert_eq!(common::attributes(&result.events, "meter.funded", "amount"), ["40ucap"]);
    assert_eq!(before - chain.balance(alice.address()), 10_000_000 + 40);
    assert_eq!(remaining(&chain), left + 4_000_000);
}

#[test]
fn the_timer_wakes_by_the_time_of_the_blocks() {
    let mut chain = start();
    let mut alice = alice();
    let (_, slots) = ask(&mut chain, &mut alice, "factory", "lookup", "[\"chain/timer\"]", &[]);
    let timer = slots[0].clone();
    let (body, _) = ask(&mut chain, &mut alice, &timer, "getCurrentTimestamp", "[]", &[]);
    assert!(body.contains(&format!("\"absValue\":\"+{THEN}\"")), "{body}");

    chain.time += 5;
    let delay = alice.send(&timer, "delay", "#[\"+60\"]", &[]);
    let repeat = alice.send(&timer, "repeatAfter", "#[10,20,\"$0.Alleged: handler\"]", &["ro+1"]);
    let late = alice.send(&timer, "wakeAt", "#[\"+7\"]", &[]);
    let bad = alice.send(&timer, "setWakeup", "#[\"+7\",\"no handler\"]", &[]);
    let tx = alice.tx(vec![delay, repeat, late, bad]);
    chain.ok(tx.clone());
    let hash = hex::encode_upper(Sha256::digest(&tx));
    let status = |chain: &Chain<WasmHost>, index| {
        chain.json(&format!("txs/{hash}/{index}"))["status"].as_str().unwrap().to_owned()
    };
    for (index, expected) in [(0, "pending"), (1, "fulfilled"), (2, "fulfilled"), (3, "rejected")] {
        assert_eq!(status(&chain, index), expected, "message {index}");
    }
    // An idle block of another time leaves no trace: nobody is due.
    let root = chain.block(&[]).app_hash;
    chain.time += 9;
    assert_eq!(chain.block(&[]).app_hash, root);
    // The repeater is due at 10 seconds, and its message is in the account's outbox.
    chain.time += 1;
    assert_ne!(chain.block(&[]).app_hash, root);
    let outbox = chain.json(&format!("accounts/{}/outbox", alice.address()));
    let entries = outbox["entries"].as_array().unwrap();
    let last = entries.last().unwrap()["delivery_json"].as_str().unwrap();
    assert!(last.contains("wake") && last.contains(&format!("+{}", chain.time)), "{last}");
    chain.time += 50;
    chain.block(&[]);
    assert_eq!(status(&chain, 0), "fulfilled");
    let answer = chain.json(&format!("txs/{hash}/0"));
    let woken = format!("\"absValue\":\"+{}\"", chain.time);
    assert!(answer["value"]["body"].as_str().unwrap().contains(&woken), "{answer}");
}

#[test]
fn notifiers_repeaters_and_cancellation_keep_time() {
    let mut chain = start();
    let mut alice = alice();
    let (_, slots) = ask(&mut chain, &mut alice, "factory", "lookup", "[\"chain/timer\"]", &[]);
    let timer = slots[0].clone();
    let args = "#[5,10,\"$0.Alleged: token\"]";
    let (_, notifier) = ask(&mut chain, &mut alice, &timer, "makeNotifier", args, &["ro+1"]);
    let (_, repeater) = ask(&mut chain, &mut alice, &timer, "makeRepeater", "[5,10]", &[]);
    let handler = "#[\"$0.Alleged: handler\"]";
    ask(&mut chain, &mut alice, &repeater[0], "schedule", handler, &["ro+2"]);
    let first = alice.send(&notifier[0], "getUpdateSince", "[]", &[]);
    let delay = alice.send(&timer, "delay", "#[100,\"$0.Alleged: token\"]", &["ro+3"]);
    let tx = alice.tx(vec![first, delay]);
    chain.ok(tx.clone());
    let hash = hex::encode_upper(Sha256::digest(&tx));
    let answer = |chain: &Chain<WasmHost>, index: u32| {
        let answer = chain.json(&format!("txs/{hash}/{index}"));
        format!(
            "{} {}",
            answer["status"].as_str().unwrap(),
            answer["value"]["body"].as_str().unwrap_or_default()
        )
    };
    assert!(answer(&chain, 0).starts_with("pending"));
    // Late by two seconds: the update tells the beat, its number is 1.
    chain.time += 7;
    chain.block(&[]);
    let update = answer(&chain, 0);
    assert!(
        update.contains(&format!("+{}", THEN + 5)) && update.contains("\"updateCount\":\"+1\""),
        "{update}"
    );
    // Who has not heard of it hears it at once; a cancelled notifier tells no number any more.
    let (body, _) = ask(&mut chain, &mut alice, &notifier[0], "getUpdateSince", "[]", &[]);
    assert!(body.contains("\"updateCount\":\"+1\""), "{body}");
    ask(&mut chain, &mut alice, &timer, "cancel", "#[\"$0\"]", &["ro+1"]);
    let (body, _) = ask(&mut chain, &mut alice, &notifier[0], "getUpdateSince", "#[\"+1\"]", &[]);
    assert!(body.contains("\"updateCount\":\"#undefined\""), "{body}");
    // A cancelled promise is rejected.
    ask(&mut chain, &mut alice, &timer, "cancel", "#[\"$0\"]", &["ro+3"]);
    let cancelled = answer(&chain, 1);
    assert!(
        cancelled.starts_with("rejected") && cancelled.contains("TimerCancelled"),
        "{cancelled}"
    );
    // A repeater waits for its handler, and does not come again once it is disabled.
    let wakes = |chain: &Chain<WasmHost>| {
        let outbox = chain.json(&format!("accounts/{}/outbox", alice_address()));
        outbox.to_string().matches("wake").count()
    };
    assert_eq!(wakes(&chain), 1);
    chain.time += 30;
    chain.block(&[]);
    assert_eq!(wakes(&chain), 1, "the handler has not answered");
    ask(&mut chain, &mut alice, &repeater[0], "disable", "[]", &[]);
    let (body, _) = ask(&mut chain, &mut alice, &timer, "getCurrentTimestamp", "[]", &[]);
    assert!(body.contains(&format!("+{}", chain.time)), "{body}");
}

fn alice_address() -> capstan_genesis::Address {
    alice().address()
}

#[test]
fn a_published_name_has_a_deposit_that_is_given_back() {
    let mut chain = start();
    let mut alice = alice();
    let fee = 10_000_000;
    ask(&mut chain, &mut alice, "factory", "lookup", "[\"chain/timer\"]", &[]);
    let before = chain.balance(alice.address());
    let publish = ("publish", "#[\"it\",\"$0\"]");
    ask(&mut chain, &mut alice, "factory", publish.0, publish.1, &["ro+1"]);
    assert_eq!(before - chain.balance(alice.address()), fee + 10_000);
    // A name that is taken costs nothing.
    let tx = alice.tx(vec![alice.send("factory", publish.0, publish.1, &["ro+1"])]);
    chain.ok(tx.clone());
    assert_eq!(chain.settled(&tx, 0)["status"], "rejected");
    assert_eq!(before - chain.balance(alice.address()), 2 * fee + 10_000);
    ask(&mut chain, &mut alice, "factory", "unpublish", "[\"it\"]", &[]);
    assert_eq!(before - chain.balance(alice.address()), 3 * fee);
    // Once.
    let tx = alice.tx(vec![alice.send("factory", "unpublish", "[\"it\"]", &[])]);
    chain.ok(tx.clone());
    assert_eq!(chain.settled(&tx, 0)["status"], "rejected");
    assert_eq!(before - chain.balance(alice.address()), 4 * fee);
    // Who cannot pay cannot publish.
    let mut carol = common::Client::new(9, 3);
    let enough = u128::from(2 * fee as u64) + 5_000 + 9_999;
    let tx = alice.tx(vec![alice.pay(carol.address(), enough)]);
    chain.ok(tx);
    ask(&mut chain, &mut carol, "factory", "lookup", "[\"chain/timer\"]", &[]);
    let tx = carol.tx(vec![carol.send("factory", publish.0, publish.1, &["ro+1"])]);
    chain.ok(tx.clone());
    let refused = chain.settled(&tx, 0);
    assert_eq!(refused["status"], "rejected", "{refused}");
    assert_eq!(chain.balance(carol.address()), 9_999);
}

#[test]
fn an_admin_object_lives_on_when_its_vat_cannot_be_ended() {
    let mut chain = start();
    let mut alice = alice();
    let made = create(&mut chain, &mut alice, 0);
    let admin = made["created_vat"]["admin"].as_str().unwrap().to_owned();
    let (nested, long) = ("[".repeat(40) + &"]".repeat(40), "x".repeat(100_000));
    let reasons = [
        // A promise cannot be told as a reason, wherever it is in it.
        ("#[\"&0\"]".to_owned(), vec!["rp+1"]),
        ("#[[1,[\"&0\"]]]".to_owned(), vec!["rp+2"]),
        ("#[{\"why\":\"&0\"}]".to_owned(), vec!["rp+3"]),
        ("#[\"why\",\"&0\"]".to_owned(), vec!["rp+4"]),
        // Nor what is too deep, too long or too much.
        (format!("#[{nested}]"), vec![]),
        (format!("#[\"{long}\"]"), vec![]),
        (format!("#[[0{}]]", ",0".repeat(5_000)), vec![]),
    ];
    for (reason, slots) in reasons {
        let tx = alice.tx(vec![alice.send(&admin, "terminateWithFailure", &reason, &slots)]);
        chain.ok(tx.clone());
        assert_eq!(chain.settled(&tx, 0)["status"], "rejected", "{reason:.80}");
    }
    ask(&mut chain, &mut alice, &admin, "terminateWithFailure", "[\"enough\"]", &[]);
    let vat = made["created_vat"]["vat_id"].as_str().unwrap();
    assert_ne!(chain.json(&format!("vats/{vat}"))["status"], "running");
}

#[test]
fn more_wakeups_than_a_delivery_fires_are_fired_in_the_same_block() {
    let mut chain = start();
    let mut alice = alice();
    let (_, slots) = ask(&mut chain, &mut alice, "factory", "lookup", "[\"chain/timer\"]", &[]);
    let wake =
        |alice: &Client| alice.send(&slots[0], "setWakeup", "#[\"+1770000100\",\"$0\"]", &["ro+1"]);
    let messages = (0..60).map(|_| wake(&alice)).collect();
    let tx = alice.tx(messages);
    chain.ok(tx);
    let woken = |chain: &Chain<WasmHost>| {
        let outbox = chain.json(&format!("accounts/{}/outbox?limit=1000", alice_address()));
        outbox.to_string().matches("wake").count()
    };
    assert_eq!(woken(&chain), 0);
    chain.time = THEN + 100;
    chain.block(&[]);
    assert_eq!(woken(&chain), 60);
    let root = chain.block(&[]).app_hash;
    chain.time += 1;
    assert_eq!(chain.block(&[]).app_hash, root, "nothing is left");
}
