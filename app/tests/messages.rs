//! Messages of transactions: coins, calls of vats, meters, results.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_app::proto;
use capstan_store::Store;
use common::{
    Chain, Client, MODULE, alice, alice_address, any, attributes, bob, capdata, hex_hash, mortal,
    provisioned, response, wasm_id,
};

#[test]
fn coins_move_and_accounts_come_to_be() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let dave = Client::new(4, 3).address();
    assert_eq!(chain.query(&format!("accounts/{dave}"), &[]).code, 103);
    let before = chain.balance(alice.address());
    let tx = alice.tx(vec![alice.pay(dave, 700), alice.pay(bob().address(), 1)]);
    let result = chain.ok(tx);
    assert_eq!(attributes(&result.events, "account.created", "address"), [dave.to_string()]);
    assert_eq!(attributes(&result.events, "transfer", "amount"), ["700ucap", "1ucap"]);
    assert_eq!(attributes(&result.events, "fee.paid", "amount"), ["10000000ucap"]);
    assert_eq!(chain.balance(dave), 700);
    assert_eq!(chain.balance(alice.address()), before - 10_000_000 - 701);
    assert_eq!(chain.json(&format!("accounts/{dave}"))["account_number"], 3);
}

#[test]
fn messages_of_one_transaction_happen_all_or_none() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let before = (chain.balance(alice.address()), chain.balance(bob().address()));
    let too_much = alice.pay(bob().address(), u128::from(u64::MAX));
    let tx = alice.tx(vec![alice.pay(bob().address(), 5), alice.install(MODULE), too_much]);
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert_eq!(result.code, 40, "{}", result.log);
    assert_eq!(attributes(&result.events, "fee.paid", "amount"), ["10000000ucap"]);
    assert!(attributes(&result.events, "transfer", "amount").is_empty());
    // The account has become an endpoint all the same.
    assert_eq!(attributes(&result.events, "account.provisioned", "amount"), ["5000ucap"]);
    assert_eq!(chain.balance(alice.address()), before.0 - 10_000_000 - 5_000);
    assert_eq!(chain.balance(bob().address()), before.1);
    assert_eq!(chain.query(&format!("bundles/{}", wasm_id(MODULE)), &[]).code, 103);
    // The sequence was used: the next one is good.
    let next = alice.tx(vec![alice.pay(bob().address(), 5)]);
    chain.ok(next);
}

#[test]
fn messages_are_answered_and_their_results_found() {
    let mut chain = Chain::start(Store::in_memory().unwrap(), &mortal(false));
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let by_name = alice.send("factory", "echo", "[1, \"$2\"]", &[]);
    let by_ref = alice.send(&factory, "echo", "#[\"$0\",\"&1\"]", &["ro+1", "rp+1"]);
    let failing = alice.send(&factory, "fail", "[]", &[]);
    let tx = alice.tx(vec![by_name, by_ref, failing]);
    let block = chain.block(std::slice::from_ref(&tx));
    assert_eq!(block.tx_results[0].code, 0, "{}", block.tx_results[0].log);
    let sent: proto::MsgSendResponse = response(&block.tx_results[0]);
    assert_eq!(
        attributes(&block.tx_results[0].events, "message.sent", "method"),
        ["echo", "echo", "fail"]
    );
    assert_eq!(attributes(&block.events, "message.resolved", "message_index"), ["0", "1", "2"]);
    let first = chain.settled(&tx, 0);
    assert_eq!(first["status"], "fulfilled");
    assert_eq!(first["promise"], sent.result.as_str());
    assert_eq!(first["value"]["body"], "#[1,\"!$2\"]");
    assert_eq!(first["settled_height"], chain.height);
    let second = chain.settled(&tx, 1);
    // What the account exported comes back under its own names.
    assert_eq!(second["value"]["slots"], serde_json::json!(["ro+1", "rp+1"]));
    let third = chain.settled(&tx, 2);
    assert_eq!(third["status"], "rejected");
    assert_eq!(third["value"]["body"], "#{\"#error\":\"no\",\"name\":\"Error\"}");
}

#[test]
fn vats_call_accounts_and_accounts_answer() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let tx = alice.tx(vec![alice.send(&factory, "call", "#[\"$0\"]", &["ro+7"])]);
    let block = chain.block(&[tx]);
    assert_eq!(block.tx_results[0].code, 0, "{}", block.tx_results[0].log);
    let outbox = chain.json(&format!("accounts/{}/outbox", alice.address()));
    let entries = outbox["entries"].as_array().unwrap();
    let mut deliveries = entries.iter().rev().map(|e| e["delivery_json"].as_str().unwrap());
    let call = deliveries.find(|d| d.starts_with("[\"message\"")).unwrap();
    let call: serde_json::Value = serde_json::from_str(call).unwrap();
    assert_eq!(
        (&call[1], &call[2]["methargs"]["body"]),
        (&"ro+7".into(), &"#[\"hello\",[]]".into())
    );
    let promise = call[2]["result"].as_str().unwrap().to_owned();
    let resolve = any(&proto::MsgResolve {
        sender: alice.address().to_string(),
        resolutions: vec![proto::Resolution {
            promise: promise.clone(),
            rejected: false,
            data: Some(capdata("\"hi\"", &[])),
        }],
    });
    let tx = alice.tx(vec![resolve.clone()]);
    let result = chain.ok(tx);
    assert_eq!(attributes(&result.events, "promise.resolved", "promise"), [promise]);
    // Once only.
    let tx = alice.tx(vec![resolve]);
    assert_eq!(chain.block(&[tx]).tx_results[0].code, 49);
    // Acknowledged entries are gone; what was never sent cannot be acknowledged.
    let last = entries.last().unwrap()["number"].as_u64().unwrap();
    let ack = |through| any(&proto::MsgAck { sender: alice_address(), through });
    let tx = alice.tx(vec![ack(last)]);
    chain.ok(tx);
    let outbox = chain.json(&format!("accounts/{}/outbox", alice.address()));
    assert_eq!(outbox["entries"].as_array().unwrap().len(), 0);
    let tx = alice.tx(vec![ack(last + 100)]);
    assert_eq!(chain.block(&[tx]).tx_results[0].code, 49);
}

#[test]
fn references_of_others_are_refused() {
    let mut chain = Chain::new();
    let (mut alice, mut bob) = (alice(), bob());
    let factory = provisioned(&mut chain, &mut alice);
    // Bob holds nothing under that name, and alice nothing under another.
    for (client, target) in [(&mut bob, factory.as_str()), (&mut alice, "ro-999")] {
        let tx = client.tx(vec![client.send(target, "echo", "[]", &[])]);
        let result = chain.block(&[tx]).tx_results.remove(0);
        assert_eq!(result.code, 49, "{}", result.log);
        assert!(result.log.contains(target), "{}", result.log);
    }
    let tx = alice.tx(vec![alice.send(&factory, "echo", "#[\"$0\"]", &["ro-999"])]);
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert_eq!(result.code, 49, "{}", result.log);
    let drop = any(&proto::MsgDrop { sender: alice_address(), refs: vec![factory.clone()] });
    let tx = alice.tx(vec![drop.clone()]);
    chain.ok(tx);
    let tx = alice.tx(vec![drop]);
    assert_eq!(chain.block(&[tx]).tx_results[0].code, 49);
}

#[test]
fn creating_a_vat_asks_the_factory_and_buys_computrons() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let unknown = alice.tx(vec![alice.create_vat(&wasm_id(MODULE), "one")]);
    assert_eq!(chain.block(&[unknown]).tx_results[0].code, 44);
    let before = chain.balance(alice.address());
    // In one transaction with the bundle; the factory is only promised when the message is sent.
    let tx = alice.tx(vec![alice.install(MODULE), alice.create_vat(&wasm_id(MODULE), "one")]);
    let result = chain.ok(tx.clone());
    assert_eq!(attributes(&result.events, "message.sent", "method"), ["createVat"]);
    // Five million computrons at 10 ucap a million.
    assert_eq!(before - chain.balance(alice.address()), 10_000_000 + 50);
    let made = chain.settled(&tx, 1);
    assert_eq!(made["status"], "fulfilled", "{made}");
    assert!(made["created_vat"]["root"].as_str().unwrap().starts_with("ro-"), "{made}");
    assert!(made["created_vat"]["admin"].as_str().unwrap().starts_with("ro-"), "{made}");
    assert!(made["created_vat"]["vat_id"].as_str().unwrap().starts_with('v'), "{made}");
    let root = made["created_vat"]["root"].as_str().unwrap();
    let tx = alice.tx(vec![alice.send(root, "echo", "[3]", &[])]);
    chain.ok(tx.clone());
    assert_eq!(chain.settled(&tx, 0)["value"]["body"], "#[3]");
}

#[test]
fn a_message_to_the_factory_pays_for_its_computrons_too() {
    let mut chain = Chain::new();
    let mut alice = alice();
    chain.ok(alice.tx(vec![alice.install(MODULE)]));
    let args = |computrons: u64| format!("[\"b\",{{\"computrons\":\"+{computrons}\"}}]");
    let before = chain.balance(alice.address());
    let tx =
        alice.tx(vec![alice.send("factory", "createVat", &format!("#{}", args(7_000_001)), &[])]);
    chain.ok(tx.clone());
    assert_eq!(chain.settled(&tx, 0)["status"], "fulfilled");
    // Eight started millions at 10 ucap.
    assert_eq!(before - chain.balance(alice.address()), 10_000_000 + 80);
    // More than the account can pay: refused by whoever makes the meter, and nothing is taken.
    let tx =
        alice.tx(vec![alice.send("factory", "createVat", &format!("#{}", args(u64::MAX)), &[])]);
    let before = chain.balance(alice.address());
    chain.ok(tx.clone());
    let refused = chain.settled(&tx, 0);
    assert_eq!(refused["status"], "rejected", "{refused}");
    assert_eq!(before - chain.balance(alice.address()), 10_000_000);
}

#[test]
fn only_meters_that_are_there_can_be_funded() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let fund = |alice: &common::Client, meter: &str, computrons| {
        any(&proto::MsgFundMeter {
            sender: alice.address().to_string(),
            meter: meter.to_owned(),
            computrons,
        })
    };
    let before = chain.balance(alice.address());
    let tx = alice.tx(vec![fund(&alice, "m7", 5)]);
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert!(result.code != 0 && result.log.contains("there is no meter m7"), "{}", result.log);
    let lost = before - chain.balance(alice.address());
    assert_eq!(lost, 10_000_000 + 5_000, "the fee, and what an account costs once");
    for (meter, computrons, part) in [("7", 5, "is not a meter's id"), ("m1", 0, "expected 1 to")] {
        let tx = alice.sign(&alice.draft(vec![fund(&alice, meter, computrons)]));
        let log = chain.block(&[tx]).tx_results.remove(0).log;
        assert!(log.contains(part), "{log}");
    }
}

#[test]
fn results_are_forgotten_after_a_while() {
    let mut chain = Chain::with_params(|p| p.result_retention_blocks = 3);
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let tx = alice.tx(vec![
        alice.send(&factory, "never", "[]", &[]),
        alice.send(&factory, "echo", "[]", &[]),
    ]);
    chain.ok(tx.clone());
    let path = |index| format!("txs/{}/{index}", hex_hash(&tx));
    assert_eq!(chain.json(&path(0))["status"], "pending");
    chain.block(&[]);
    chain.block(&[]);
    assert_eq!(chain.json(&path(1))["status"], "fulfilled");
    chain.block(&[]);
    for index in 0..2 {
        assert_eq!(chain.query(&path(index), &[]).code, 103);
    }
}

#[test]
fn a_message_to_an_object_of_ones_own_is_settled_by_ones_answer() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let tx = alice.tx(vec![alice.send(&factory, "echo", "#[\"$0\"]", &["ro+5"])]);
    chain.ok(tx);
    for rejected in [false, true] {
        let tx = alice.tx(vec![alice.send("ro+5", "hello", "[]", &[])]);
        let hash = hex_hash(&tx);
        chain.ok(tx);
        let status = |chain: &Chain| chain.json(&format!("txs/{hash}/0"))["status"].clone();
        assert_eq!(status(&chain), "pending");
        let outbox = chain.json(&format!("accounts/{}/outbox", alice.address()));
        let last = outbox["entries"].as_array().unwrap().last().unwrap()["delivery_json"].clone();
        let delivery: serde_json::Value = serde_json::from_str(last.as_str().unwrap()).unwrap();
        let promise = delivery[2]["result"].as_str().unwrap().to_owned();
        let resolve = any(&proto::MsgResolve {
            sender: alice_address(),
            resolutions: vec![proto::Resolution {
                promise,
                rejected,
                data: Some(capdata("\"done\"", &[])),
            }],
        });
        let tx = alice.tx(vec![resolve]);
        let result = chain.ok(tx);
        let expected = if rejected { "rejected" } else { "fulfilled" };
        assert_eq!(attributes(&result.events, "message.resolved", "status"), [expected]);
        assert_eq!(status(&chain), expected);
    }
}
