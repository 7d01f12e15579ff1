//! State sync on real CometBFT: nodes join a network under load by a snapshot, replay every vat, and one of them goes on as
//! the validator that it was.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use capstan_client::{Args, CreateVat};
use capstan_tests::example;
use common::network::{Network, PATIENCE, wipe};
use serde_json::json;

/// Increments of a counter, one after the other.
struct Load {
    going: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Load {
    fn start(network: &Network, root: &str) -> Self {
        let going = Arc::new(AtomicBool::new(true));
        let (wallet, goes_on) = (network.wallet(0), Arc::clone(&going));
        let root = root.to_owned();
        let thread = std::thread::spawn(move || {
            let mut answered = 0;
            while goes_on.load(Ordering::SeqCst) {
                match wallet.send(&root, "increment", &Args::default()) {
                    Ok(result) => {
                        assert_eq!(result.status, "fulfilled", "{result:?}");
                        answered += 1;
                    }
                    Err(_) => sleep(Duration::from_millis(100)),
                }
            }
            answered
        });
        Self { going, thread }
    }

    fn stop(self) -> u64 {
        self.going.store(false, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

#[test]
fn nodes_join_under_load_by_a_snapshot_and_go_on_as_validators() {
    let mut network = Network::up("4", "8");
    let bundle = example("counter");
    let alice = network.wallet(0).with_timeout(PATIENCE);
    alice.install_bundle(&bundle).unwrap();
    let vat = alice.create_vat(&CreateVat::new(&bundle.id)).unwrap();
    let load = Load::start(&network, &vat.root);
    network.reached(0, 20);

    network.took(&["add-node", "--state-sync"]);
    let first = network.reached(4, 20);
    assert!(first > 8, "the newcomer has blocks from height {first} on");

    // A validator that has lost everything but its keys joins in the same way, and signs.
    network.run(&["kill", "node3"]).json();
    wipe(&network.home(3), true);
    fs::copy(network.home(4).join("config.toml"), network.home(3).join("config.toml")).unwrap();
    network.run(&["restart", "node3"]).json();
    let height = network.height(0);
    let first = network.reached(3, height);
    assert!(first > 8, "the validator has blocks from height {first} on");
    // Without it, two of four validators could decide nothing.
    network.run(&["kill", "node2"]).json();
    let height = network.height(0);
    network.reached(0, height + 4);
    network.run(&["restart", "node2"]).json();

    let answered = load.stop();
    assert!(answered > 10, "{answered} increments");
    let height = network.height(0) + 1;
    let count = alice.send(&vat.root, "read", &Args::default()).unwrap().value.body;
    let count: u64 = count.trim_start_matches('#').parse().unwrap();
    assert!(count >= answered, "{count} of {answered}");
    let hash = |node: usize| {
        network.reached(node, height);
        let block =
            network.client(node).call_json("block_results", json!({"height": height.to_string()}));
        block.unwrap()["app_hash"].as_str().unwrap().to_owned()
    };
    assert!((1..5).all(|node| hash(node) == hash(0)), "app hashes at height {height}");
    network.run(&["down"]).json();

    for node in [3, 4] {
        let home = network.home(node);
        let home = home.to_str().unwrap();
        for vat in ["v1", "v2", "v3", "v4"] {
            let replayed = network.place.run(&["vat", "replay", vat, "--home", home]);
            assert_eq!(replayed.code, 0, "{vat} on node{node}: {replayed:?}");
        }
    }
    commands(&network);
}

/// The snapshots of a stopped node, by `capstan snapshot`.
fn commands(network: &Network) {
    let home = network.home(0);
    let home = home.to_str().unwrap();
    let run = |args: &[&str]| {
        network.place.run(&[&["snapshot"], args, &["--home", home, "--json"]].concat())
    };
    let list = || run(&["list"]).json()["snapshots"].as_array().unwrap().clone();
    let written = list();
    let created = run(&["create"]);
    let created = match created.code {
        // The node may have ended at a height at which it writes a snapshot itself.
        1 => written.iter().max_by_key(|it| it["height"].as_u64()).unwrap().clone(),
        _ => created.json(),
    };
    let height = created["height"].as_u64().unwrap();
    let already = format!("a snapshot of height {height} already");
    run(&["create"]).assert_failed(1, &already);
    let listed = list();
    let own = written.iter().filter(|it| **it != created).count();
    assert!(written.len() == 2 && listed.contains(&created), "{written:?} {listed:?}");
    assert_eq!(listed.len(), own + 1, "{written:?} {listed:?}");
    let app_hash = created["app_hash"].as_str().unwrap();
    let verified = run(&["verify", "--app-hash", app_hash]).json();
    assert_eq!(verified["height"], height);
    run(&["verify", "--app-hash", &"0".repeat(64)]).assert_failed(1, "is trusted");
    run(&["verify", "1"]).assert_failed(1, "no snapshot of height 1");
    run(&["verify", "/etc"]).assert_failed(2, "named by its height");
    run(&["verify", "--app-hash", "xy"]).assert_failed(2, "64 hex digits");

    // Restored elsewhere, the same vats do the same.
    let genesis = network.home(0).join("genesis.json");
    let other = network.place.path().join("other");
    let other = other.to_str().unwrap();
    let init = ["init", "--genesis", genesis.to_str().unwrap(), "--home", other];
    assert_eq!(network.place.run(&init).code, 0);
    let dir = created["dir"].as_str().unwrap();
    let restore = ["snapshot", "restore", dir, "--app-hash", app_hash, "--home", other, "--json"];
    assert_eq!(network.place.run(&restore).json()["height"], height);
    network.place.run(&restore).assert_failed(1, "already");
    let replayed = network.place.run(&["vat", "replay", "v3", "--home", other]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    // A byte that changes on the disk is named with its file.
    let chunk = Path::new(dir).join("1");
    let mut bytes = fs::read(&chunk).unwrap();
    bytes[1000] ^= 1;
    fs::write(&chunk, bytes).unwrap();
    run(&["verify"]).assert_failed(1, "which the snapshot does not name");
}
