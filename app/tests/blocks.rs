//! Blocks: what transactions cause, in which order, and what survives.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_proto::ErrorCode;
use std::panic::AssertUnwindSafe;

use capstan_app::{EXIT_CONSENSUS_HALT, proto};
use capstan_kernel::NodeOptions;
use capstan_store::{Options, Store};
use common::{
    Chain, Client, alice, any, attributes, bob, capdata, genesis,
    host::{DELIVERY, WORK},
    response, wasm_id,
};
use tendermint_abci::Application;

const MODULE: &[u8] = b"some module";

/// Has alice install the module and gives her factory object's reference.
fn provisioned(chain: &mut Chain, client: &mut Client) -> String {
    let tx = client.tx(vec![client.install(MODULE)]);
    chain.ok(tx);
    let outbox = chain.json(&format!("accounts/{}/outbox", client.address()));
    let delivery = outbox["entries"][0]["deliveryJson"].as_str().unwrap();
    let delivery: serde_json::Value = serde_json::from_str(delivery).unwrap();
    assert_eq!(delivery[0], "notify");
    delivery[1][0][2]["slots"][0].as_str().unwrap().to_owned()
}

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
    assert_eq!(chain.json(&format!("accounts/{dave}"))["accountNumber"], 3);
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
fn an_idle_block_leaves_the_hash_and_an_eventful_one_does_not() {
    let mut chain = Chain::new();
    let mut alice = alice();
    chain.block(&[]);
    let idle = chain.hash();
    for _ in 0..3 {
        let response = chain.block(&[]);
        assert!(response.events.is_empty(), "{:?}", response.events);
        assert_eq!(response.app_hash.to_vec(), idle);
    }
    assert_eq!(chain.app.info(Default::default()).last_block_height, chain.height);
    let tx = alice.tx(vec![alice.pay(bob().address(), 1)]);
    chain.ok(tx);
    assert_ne!(chain.hash(), idle);
}

#[test]
fn the_first_transaction_provisions_the_account() {
    let mut chain = Chain::new();
    let mut alice = alice();
    assert_eq!(chain.json(&format!("accounts/{}", alice.address()))["remote"], "");
    let factory = provisioned(&mut chain, &mut alice);
    assert!(factory.starts_with("ro-"), "{factory}");
    assert_eq!(chain.json(&format!("accounts/{}", alice.address()))["remote"], "r1");
    let clist = chain.json(&format!("clists/{}", alice.address()));
    assert_eq!(clist["entries"][0]["eref"].as_str(), Some(factory.as_str()));
    // A payment alone makes no endpoint.
    let mut bob = bob();
    let tx = bob.tx(vec![bob.pay(alice.address(), 1)]);
    chain.ok(tx);
    assert_eq!(chain.json(&format!("accounts/{}", bob.address()))["remote"], "");
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
    assert_eq!(first["settledHeight"], chain.height);
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
    let mut deliveries = entries.iter().rev().map(|e| e["deliveryJson"].as_str().unwrap());
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

fn alice_address() -> String {
    alice().address().to_string()
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
    assert!(made["createdVat"]["root"].as_str().unwrap().starts_with("ro-"), "{made}");
    assert!(made["createdVat"]["admin"].as_str().unwrap().starts_with("ro-"), "{made}");
    assert!(made["createdVat"]["vatId"].as_str().unwrap().starts_with('v'), "{made}");
    let root = made["createdVat"]["root"].as_str().unwrap();
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
fn a_block_ends_at_its_budget_and_the_next_goes_on() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let work: Vec<_> = (0..4).map(|_| alice.send(&factory, "work", "[]", &[])).collect();
    let tx = alice.tx(work);
    // 100 million a block, 60 million a message: two messages fit, the second overruns.
    let first = chain.block(std::slice::from_ref(&tx));
    assert_eq!(attributes(&first.events, "block.run", "idle"), ["false"]);
    let spent: u64 = attributes(&first.events, "block.run", "computrons")[0].parse().unwrap();
    assert_eq!(spent, 2 * WORK);
    let hash = chain.hash();
    let queue = chain.json("kernel/run-queue");
    assert!(!queue["runQueue"].as_array().unwrap().is_empty(), "{queue}");
    // Leftovers come before what the next block brings.
    let later = alice.tx(vec![alice.send(&factory, "echo", "[]", &[])]);
    let second = chain.block(std::slice::from_ref(&later));
    assert_ne!(chain.hash(), hash);
    assert_eq!(attributes(&second.events, "block.run", "idle"), ["false"]);
    assert_eq!(chain.json(&format!("txs/{}/0", hex_hash(&later)))["status"], "pending");
    let third = chain.block(&[]);
    assert_eq!(attributes(&third.events, "block.run", "idle"), ["true"]);
    for index in 0..4 {
        assert_eq!(chain.settled(&tx, index)["status"], "fulfilled");
    }
    assert_eq!(chain.json(&format!("txs/{}/0", hex_hash(&later)))["status"], "fulfilled");
    let idle = chain.hash();
    chain.block(&[]);
    assert_eq!(chain.hash(), idle);
}

fn hex_hash(tx: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode_upper(Sha256::digest(tx))
}

#[test]
fn a_full_queue_refuses_messages() {
    let mut chain = Chain::with_params(|p| {
        p.max_queue_length = 3;
        p.max_outbox_length = 4;
    });
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let many: Vec<_> = (0..4).map(|_| alice.send(&factory, "echo", "[]", &[])).collect();
    let tx = alice.tx(many);
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert_eq!(result.code, 50, "{}", result.log);
    let some: Vec<_> = (0..3).map(|_| alice.send(&factory, "echo", "[]", &[])).collect();
    let tx = alice.tx(some);
    chain.ok(tx);
    // The factory's notification and three answers: the outbox is full until it is read.
    let tx = alice.tx(vec![alice.send(&factory, "echo", "[]", &[])]);
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert_eq!(result.code, 51, "{}", result.log);
    let ack = any(&proto::MsgAck { sender: alice_address(), through: 2 });
    let tx = alice.tx(vec![ack, alice.send(&factory, "echo", "[]", &[])]);
    chain.ok(tx);
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

/// Some blocks with work of every kind, leftovers included.
fn story() -> Vec<Vec<Vec<u8>>> {
    let (mut alice, mut bob) = (alice(), bob());
    let install = alice.tx(vec![alice.install(MODULE), alice.pay(bob.address(), 3)]);
    let create = alice.tx(vec![alice.create_vat(&wasm_id(MODULE), "one")]);
    let bobs = bob.tx(vec![bob.create_vat(&wasm_id(MODULE), "two")]);
    let work = alice.tx((0..5).map(|_| alice.send("factory", "work", "[]", &[])).collect());
    let bad = bob.tx(vec![bob.pay(alice.address(), u128::from(u64::MAX))]);
    let set = bob.tx(vec![bob.send("factory", "set", "[42]", &[])]);
    let die = alice.tx(vec![alice.send("factory", "echo", "#[\"$0\"]", &["ro+1"])]);
    let get = bob.tx(vec![bob.send("factory", "get", "[]", &[])]);
    let none = Vec::new;
    vec![
        vec![install, bobs],
        vec![create, bad],
        vec![work, set],
        none(),
        vec![die, get],
        none(),
        none(),
    ]
}

#[test]
fn two_nodes_reach_the_same_hash_at_every_height() {
    let mut one = Chain::new();
    // The other has room for one vat in memory: it brings vats back all the time.
    let kernel = NodeOptions { max_vats_online: 1, ..NodeOptions::default() };
    let mut two = Chain::open_with(Store::in_memory().unwrap(), kernel);
    two.init(&genesis(|_| {}));
    two.block(&[]);
    assert_eq!(one.hash(), two.hash());
    for txs in story() {
        txs.iter().for_each(|tx| drop(two.check(tx)));
        assert_eq!(one.block(&txs), two.block(&txs));
        assert_eq!(one.hash(), two.hash());
    }
    let count = |chain: &Chain| *chain.deliveries.lock().unwrap();
    assert!(count(&two) > count(&one), "no vat was ever brought back");
}

#[test]
fn a_restart_between_any_two_blocks_changes_nothing() {
    let mut whole = Chain::new();
    let mut hashes = vec![whole.hash()];
    for txs in story() {
        whole.block(&txs);
        hashes.push(whole.hash());
    }
    for stop in 0..=story().len() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(directory.path(), Options::default()).unwrap();
        let mut chain = Chain::start(open(), &genesis(|_| {}));
        for (height, txs) in story().into_iter().enumerate() {
            if height == stop {
                drop(chain);
                chain = Chain::open(open());
                assert_eq!(chain.hash(), hashes[height]);
            }
            chain.block(&txs);
            assert_eq!(
                chain.hash(),
                hashes[height + 1],
                "stopped before block {stop}, at {height}"
            );
        }
    }
}

#[test]
fn a_block_that_is_executed_twice_before_commit_counts_once() {
    let (mut once, mut twice) = (Chain::new(), Chain::new());
    for txs in story() {
        let first = once.block(&txs);
        twice.finalize(&[]);
        twice.finalize(&txs);
        let second = twice.block(&txs);
        assert_eq!(first.app_hash, second.app_hash);
    }
}

#[test]
fn nothing_is_written_before_commit() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Store::open(directory.path(), Options::default()).unwrap();
    let chain = Chain::start(open(), &genesis(|_| {}));
    let hash = chain.hash();
    chain.finalize(&story()[0]);
    assert_eq!(chain.hash(), hash);
    assert_eq!(chain.query(&format!("bundles/{}", wasm_id(MODULE)), &[]).code, 103);
    drop(chain);
    let again = Chain::open(open());
    assert_eq!((again.hash(), again.height), (hash, 1));
}

#[test]
fn init_chain_gives_the_hash_that_the_first_block_builds_on() {
    let open = || Chain::open(Store::in_memory().unwrap());
    let (one, two) = (open(), open());
    assert_eq!(one.app.info(Default::default()).last_block_height, 0);
    assert_eq!(one.check(b"x").code, ErrorCode::Unavailable.number());
    let first = one.init(&genesis(|_| {}));
    assert_eq!(first.len(), 32);
    assert_eq!(first, two.init(&genesis(|_| {})));
    assert_ne!(first, open().init(&genesis(|g| g.app_state.params.fees.per_tx.0 = 7)));
    // A crash before the first commit: InitChain is called again.
    assert_eq!(first, one.init(&genesis(|_| {})));
    assert_eq!(one.finalize(&[]).app_hash, two.finalize(&[]).app_hash);
}

#[test]
fn a_wrong_genesis_document_stops_the_node_with_a_report() {
    let cases: [(fn(&mut capstan_genesis::Genesis), &str); 2] = [
        (|g| g.app_state.params.block_computrons = 0, "block_computrons"),
        (
            |g| {
                let wrong = wasm_id(b"another").parse().unwrap();
                let bundle = capstan_genesis::GenesisBundle::new(wrong, None, b"bytes");
                g.app_state.bundles.push(bundle);
            },
            "does not match actual",
        ),
    ];
    for (spoil, part) in cases {
        let chain = Chain::open(Store::in_memory().unwrap());
        let stopped = std::panic::catch_unwind(AssertUnwindSafe(|| chain.init(&genesis(spoil))));
        assert!(stopped.is_err());
        let report = chain.fatal.lock().unwrap()[0].clone();
        assert!(report.cause.contains(part), "{report}");
    }
}

/// So many vats besides the system's two: bootstrap is given them all, and two devices.
fn crowd(vats: usize) -> capstan_genesis::Genesis {
    genesis(|g| {
        let bundle = wasm_id(b"admin").parse().unwrap();
        let vat = capstan_genesis::GenesisVat::new(bundle);
        g.app_state.kernel.vats.extend((0..vats).map(|n| (format!("v{n}"), vat.clone())));
    })
}

#[test]
fn a_system_bootstrap_vat_is_given_at_most_what_it_takes() {
    Chain::open(Store::in_memory().unwrap()).init(&crowd(60));
    let chain = Chain::open(Store::in_memory().unwrap());
    let stopped = std::panic::catch_unwind(AssertUnwindSafe(|| chain.init(&crowd(61))));
    assert!(stopped.is_err());
    let report = chain.fatal.lock().unwrap()[0].clone();
    assert!(report.cause.contains("65 vats and devices"), "{report}");
}

#[test]
fn the_death_of_a_critical_vat_stops_the_node_and_commits_nothing() {
    let mut chain = Chain::start(Store::in_memory().unwrap(), &critical());
    let mut alice = alice();
    let tx = alice.tx(vec![alice.send("factory", "echo", "[]", &[])]);
    chain.ok(tx);
    let (hash, height) = (chain.hash(), chain.height);
    let die = alice.tx(vec![alice.send("factory", "die", "[]", &[])]);
    let run = AssertUnwindSafe(|| chain.finalize(std::slice::from_ref(&die)));
    assert!(std::panic::catch_unwind(run).is_err());
    let report = chain.fatal.lock().unwrap()[0].clone();
    assert!(report.everywhere);
    assert_eq!((report.exit_code(), report.committed_height), (EXIT_CONSENSUS_HALT, height as u64));
    assert!(report.cause.contains("critical vat v1"), "{report}");
    assert!(report.cause.contains("Compute meter exceeded"), "{report}");
    // Queries are answered still, by what was committed; consensus stays stopped.
    assert_eq!((chain.hash(), chain.json("vats/v1")["status"].as_str()), (hash, Some("running")));
    let again = AssertUnwindSafe(|| chain.app.commit());
    assert!(std::panic::catch_unwind(again).is_err());
}

fn critical() -> capstan_genesis::Genesis {
    mortal(true)
}

/// A chain whose provisioner is a vat of a user's, which can end.
fn mortal(critical: bool) -> capstan_genesis::Genesis {
    let mut genesis = genesis(|_| {});
    let provisioner = genesis.app_state.kernel.vats.get_mut("provisioner").unwrap();
    (provisioner.critical, provisioner.system) = (critical, false);
    genesis
}

#[test]
fn a_vat_of_the_system_loses_the_delivery_that_it_fails_in() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let tx = alice.tx(vec![alice.send("factory", "die", "[]", &[])]);
    let block = chain.block(std::slice::from_ref(&tx));
    assert!(attributes(&block.events, "vat.terminated", "vat_id").is_empty());
    let settled = chain.settled(&tx, 0);
    assert_eq!(settled["status"], "rejected");
    assert!(settled.to_string().contains("the vat of the system failed"), "{settled}");
    let again = alice.tx(vec![alice.send("factory", "echo", "[]", &[])]);
    chain.ok(again);
    assert_eq!(chain.json("vats/v1")["status"], "running");
}

#[test]
fn the_death_of_another_vat_is_an_event() {
    let mut chain = Chain::start(Store::in_memory().unwrap(), &mortal(false));
    let mut alice = alice();
    let tx = alice.tx(vec![alice.send("factory", "die", "[]", &[])]);
    let block = chain.block(std::slice::from_ref(&tx));
    assert_eq!(attributes(&block.events, "vat.terminated", "vat_id"), ["v1"]);
    let reasons = attributes(&block.events, "vat.terminated", "reason");
    assert_eq!(reasons, ["Compute meter exceeded"]);
    assert_eq!(chain.settled(&tx, 0)["status"], "rejected");
    let vat = chain.json("vats/v1");
    assert_ne!(vat["status"], "running");
    let ending = &vat["ending"];
    assert_eq!(
        (ending["failure"].as_bool(), ending["reason"].as_str()),
        (Some(true), Some(reasons[0].as_str()))
    );
    assert_eq!(chain.json("vats/v2")["ending"], serde_json::Value::Null);
}

#[test]
fn vat_stats_add_up() {
    let mut chain = Chain::start(Store::in_memory().unwrap(), &mortal(false));
    let mut alice = alice();
    let first = chain.json("vats/v1/stats");
    assert_eq!(first["status"], "running");
    let tx = alice.tx(vec![alice.send("factory", "work", "[]", &[])]);
    chain.ok(tx);
    let stats = chain.json("vats/v1/stats");
    let number = |stats: &serde_json::Value, name: &str| stats[name].as_u64().unwrap();
    let grown = |name: &str| number(&stats, name) - number(&first, name);
    // `provision` and `work`.
    assert_eq!(grown("deliveries"), 2);
    assert_eq!(grown("computronsTotal"), DELIVERY + WORK);
    assert_eq!(number(&stats, "computronsLastBlock"), DELIVERY + WORK);
    assert!(grown("transcriptCount") >= 2);
    assert_eq!(stats["meterRemaining"], "unlimited");
    assert_eq!(number(&stats, "queueDepth"), 0);
    assert_eq!(grown("exports"), 1);
}

#[test]
fn an_account_pays_once_for_what_is_kept_of_it() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let mut spent = |chain: &mut Chain, message: fn(&common::Client) -> cosmrs::Any| {
        let before = chain.balance(alice.address());
        let tx = alice.tx(vec![message(&alice)]);
        chain.ok(tx);
        before - chain.balance(alice.address())
    };
    // Coins alone need no endpoint.
    assert_eq!(spent(&mut chain, |alice| alice.pay(bob().address(), 1)), 10_000_001);
    assert_eq!(spent(&mut chain, |alice| alice.send("factory", "echo", "[]", &[])), 10_005_000);
    assert_eq!(spent(&mut chain, |alice| alice.send("factory", "echo", "[]", &[])), 10_000_000);
    assert_eq!(spent(&mut chain, |alice| alice.pay(bob().address(), 1)), 10_000_001);
}

#[test]
fn an_account_that_cannot_pay_for_what_is_kept_of_it_gets_nothing() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let mut dave = common::Client::new(9, 3);
    let fund = alice.tx(vec![alice.pay(dave.address(), 10_000_000 + 4_999)]);
    chain.ok(fund);
    let tx = dave.tx(vec![dave.send("factory", "echo", "[]", &[])]);
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert_eq!(result.code, 40, "{}", result.log);
    // The fee is paid and the sequence used; it is no endpoint.
    assert_eq!(chain.balance(dave.address()), 4_999);
    assert_ne!(chain.query(&format!("clists/{}", dave.address()), &[]).code, 0);
    let fund = alice.tx(vec![alice.pay(dave.address(), 10_000_001)]);
    chain.ok(fund);
    let tx = dave.tx(vec![dave.send("factory", "echo", "[]", &[])]);
    chain.ok(tx);
    assert_eq!(chain.balance(dave.address()), 0);
    assert_eq!(chain.query(&format!("clists/{}", dave.address()), &[]).code, 0);
}

#[test]
fn an_account_that_let_go_of_its_factory_gets_it_again() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let drop = any(&proto::MsgDrop { sender: alice_address(), refs: vec![factory] });
    let tx = alice.tx(vec![drop]);
    chain.ok(tx);
    let before = chain.balance(alice.address());
    let tx = alice.tx(vec![alice.send("factory", "echo", "[3]", &[])]);
    chain.ok(tx.clone());
    assert_eq!(chain.settled(&tx, 0)["value"]["body"], "#[3]");
    assert_eq!(before - chain.balance(alice.address()), 10_000_000, "it is no new account");
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
        let last = outbox["entries"].as_array().unwrap().last().unwrap()["deliveryJson"].clone();
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
