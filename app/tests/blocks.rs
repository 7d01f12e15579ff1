//! Blocks: what transactions cause, in which order, and what survives.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_proto::ErrorCode;

use capstan_app::proto;
use capstan_kernel::NodeOptions;
use capstan_store::{Options, Store};
use common::{
    Chain, MODULE, alice, alice_address, any, attributes, bob, genesis, hex_hash,
    host::{DELIVERY, WORK},
    mortal, provisioned, wasm_id,
};
use tendermint_abci::Application;

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

/// Checks computrons against those of the vat's own work. Bytes of its transcript come on top.
fn is_spent(computrons: u64, work: u64) -> bool {
    (work..work + 1_000).contains(&computrons)
}

#[test]
fn a_block_ends_at_its_budget_and_the_next_goes_on() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let work: Vec<_> = (0..4).map(|_| alice.send(&factory, "work", "[]", &[])).collect();
    let tx = alice.tx(work);
    // 100 million a block, 60 million a message: two messages fit, the second overruns. Each makes a snapshot due, and a
    // collection before it.
    let first = chain.block(std::slice::from_ref(&tx));
    assert_eq!(attributes(&first.events, "block.run", "idle"), ["false"]);
    let spent: u64 = attributes(&first.events, "block.run", "computrons")[0].parse().unwrap();
    assert!(is_spent(spent, 2 * (WORK + DELIVERY)), "{spent}");
    let hash = chain.hash();
    let queue = chain.json("kernel/run-queue");
    assert!(!queue["run_queue"].as_array().unwrap().is_empty(), "{queue}");
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

#[test]
fn a_block_cleans_up_after_a_dead_vat_with_the_computrons_that_it_has_left() {
    let mut chain = Chain::start(Store::in_memory().unwrap(), &mortal(false));
    let mut alice = alice();
    for batch in 0..4 {
        let given: Vec<String> = (0..100).map(|i| format!("ro+{}", batch * 100 + i + 1)).collect();
        let slots: Vec<&str> = given.iter().map(String::as_str).collect();
        let args: Vec<String> = (0..100).map(|i| format!("\"${i}\"")).collect();
        let args = format!("#[{}]", args.join(","));
        let tx = alice.tx(vec![alice.send("factory", "echo", &args, &slots)]);
        chain.ok(tx);
    }
    let tx = alice.tx(vec![alice.send("factory", "die", "[]", &[])]);
    chain.ok(tx);
    let mut blocks = 0;
    while chain.json("vats/v1")["status"] != "cleaned" {
        chain.block(&[]);
        blocks += 1;
        assert!(blocks < 4, "400 imports, 50 a crank: a block has room for many cranks");
    }
    let idle = chain.hash();
    chain.block(&[]);
    assert_eq!(chain.hash(), idle);
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
    assert_ne!(first, open().init(&genesis(|g| g.app_state.params.fees.tx_gas = 7)));
    // A crash before the first commit: InitChain is called again.
    assert_eq!(first, one.init(&genesis(|_| {})));
    assert_eq!(one.finalize(&[]).app_hash, two.finalize(&[]).app_hash);
}

#[test]
fn vat_stats_add_up() {
    let mut genesis = mortal(false);
    // No snapshot falls due.
    genesis.app_state.params.snapshot_debt = 2 * WORK;
    let mut chain = Chain::start(Store::in_memory().unwrap(), &genesis);
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
    for count in [grown("computrons_total"), number(&stats, "computrons_last_block")] {
        assert!(is_spent(count, DELIVERY + WORK), "{count}");
    }
    assert!(grown("transcript_count") >= 2);
    assert_eq!(stats["meter_remaining"], "unlimited");
    assert_eq!(number(&stats, "queue_depth"), 0);
    assert_eq!(grown("exports"), 1);
}
