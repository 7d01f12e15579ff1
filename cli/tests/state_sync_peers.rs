//! State sync on real CometBFT when its peers fail: one serves a chunk that its disk has changed, one dies in the middle of a
//! chunk, one vanishes after its offer. The newcomer is connected to that peer alone until it has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::fs;

use capstan_client::{ClientError, CreateVat, Deadline};
use capstan_tests::example;
use common::Place;
use common::network::{Network, PATIENCE, wipe};
use serde_json::Value;

/// Number of the peer that fails, and of the node that joins.
const PEER: usize = 1;
const NEWCOMER: usize = 4;

/// Makes a network of four validators with snapshots, and a fifth node. Evidence is accepted for a few blocks.
fn network() -> Network {
    let place = Place::new();
    let (home, genesis) = (place.path().join("genesis"), place.path().join("genesis/genesis.json"));
    let init = ["init", "--home", home.to_str().unwrap(), "--validator", "--timer"];
    assert_eq!(place.run(&init).code, 0);
    let mut document: Value = serde_json::from_slice(&fs::read(&genesis).unwrap()).unwrap();
    document["consensus_params"]["evidence"]["max_age_num_blocks"] = "4".into();
    fs::write(&genesis, document.to_string()).unwrap();
    let up = ["up", "--validators", "4", "--snapshot-interval", "8"];
    let genesis = ["--genesis", genesis.to_str().unwrap()];
    let mut network = Network::up_in(place, &[&up[..], &genesis].concat());
    let bundle = example("counter");
    let alice = network.wallet(0).with_timeout(PATIENCE);
    alice.install_bundle(&bundle).unwrap();
    // So much state that there are several chunks.
    (0..4).for_each(|_| drop(alice.create_vat(&CreateVat::new(&bundle.id)).unwrap()));
    network.run(&["down"]).json();
    for node in 0..4 {
        // The snapshot that the newcomer chooses must not go away.
        edit(&network, node, "config.toml", "keep = ", "keep = 500");
    }
    edit(&network, 0, "config.toml", "prune_blocks = ", "prune_blocks = true");
    edit(&network, 0, "config.toml", "retain_heights = ", "retain_heights = 3");
    network.took(&["up", "--detach"]);
    network.reached(0, 18);
    let heights = fs::read_dir(network.home(0).join("snapshots")).unwrap();
    let heights = heights.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let oldest: u64 = heights.filter_map(|name| name.parse().ok()).min().unwrap();
    // CometBFT keeps the blocks from the oldest snapshot on, and no others.
    wait_for("blocks before the oldest snapshot to go", || network.reached(0, 18) == oldest);
    assert_eq!(network.reached(2, 18), 1, "it keeps all where it is not told to remove any");
    network.took(&["add-node", "--state-sync"]);
    network
}

/// Replaces the line of a file that begins with `option`.
fn edit(network: &Network, node: usize, file: &str, option: &str, line: &str) {
    let path = network.home(node).join(file);
    let text = fs::read_to_string(&path).unwrap();
    let edited: Vec<&str> =
        text.lines().map(|old| if old.starts_with(option) { line } else { old }).collect();
    assert!(edited.contains(&line), "{file} has no {option}");
    fs::write(&path, edited.join("\n")).unwrap();
}

/// Flips a byte of each chunk that the peer has, but for the first ones.
fn flip(network: &Network) {
    for snapshot in fs::read_dir(network.home(PEER).join("snapshots")).unwrap() {
        for chunk in fs::read_dir(snapshot.unwrap().path()).unwrap() {
            let path = chunk.unwrap().path();
            if path.file_name().unwrap() != "0" {
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
        }
    }
}

/// Starts the newcomer anew, without blocks, so that it reaches no peer but one. Returns where its log begins.
fn join_by_one(network: &Network, change: impl FnOnce(&Network)) -> u64 {
    network.kill(NEWCOMER);
    network.kill(PEER);
    wipe(&network.home(NEWCOMER), true);
    change(network);
    let since = network.log_length(NEWCOMER);
    network.run(&["partition", "node1", "node4"]).json();
    network.restart(PEER);
    network.restart(NEWCOMER);
    since
}

/// Connects the newcomer to the others. They must bring it up with the same snapshot.
fn assert_comes_up(network: &Network, since: u64) {
    network.run(&["heal"]).json();
    let first = network.reached(NEWCOMER, network.height(0));
    assert!(first > 8, "the newcomer has blocks from height {first} on");
    network.said(NEWCOMER, since, &["Snapshot restored"]);
    network.restart(PEER);
    network.reached(PEER, network.height(0));
}

fn node_id(network: &Network, node: usize) -> String {
    let plan = fs::read_to_string(network.dir().join("localnet.json")).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    plan["nodes"][node]["node_id"].as_str().unwrap().to_owned()
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let met = Deadline::after(PATIENCE).poll(what, || Ok::<_, ClientError>(is_so().then_some(())));
    met.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_node_comes_up_by_others_when_a_peer_lies_dies_or_vanishes() {
    let network = network();

    // Its chunk is not the one that the snapshot names: it is rejected by name.
    let since = join_by_one(&network, flip);
    let refused = format!("sender={}", node_id(&network, PEER));
    wait_for("the peer's rejection", || {
        let log = network.own_log(NEWCOMER);
        log.lines().any(|line| line.contains("another peer") && line.contains(&refused))
    });
    assert_eq!(network.line(NEWCOMER, since, &["Snapshot restored"]), None);
    assert_comes_up(&network, since);

    // It dies while it sends a chunk of megabytes, which takes it a minute.
    let since = join_by_one(&network, |network| {
        flip(network);
        edit(network, PEER, "comet/config/config.toml", "send_rate = ", "send_rate = 60000");
    });
    network.said(NEWCOMER, since, &["Fetching snapshot chunk", "chunk=1 "]);
    network.said(NEWCOMER, since, &["Applied snapshot chunk", "chunk=0 "]);
    network.kill(PEER);
    assert_eq!(network.line(NEWCOMER, since, &["Applied snapshot chunk", "chunk=1 "]), None);
    assert_comes_up(&network, since);
    let offers = network.line(NEWCOMER, since, &["Snapshot rejected"]);
    assert_eq!(offers, None, "the snapshot was dropped, whose other copies were good");

    // It vanishes when it has told of its snapshots.
    let since = join_by_one(&network, |_| ());
    network.said(NEWCOMER, since, &["Discovered new snapshot"]);
    network.kill(PEER);
    assert_comes_up(&network, since);

    a_node_with_a_state_ends(&network);
}

/// A node whose CometBFT has lost its blocks, and which has a state, cannot begin with a snapshot below it.
fn a_node_with_a_state_ends(network: &Network) {
    wait_for("a height between two snapshots", || network.height(0) % 8 == 3);
    // Without them there are no more blocks.
    network.run(&["kill", "node2", "node3"]).json();
    network.reached(NEWCOMER, network.height(0));
    network.kill(NEWCOMER);
    wipe(&network.home(NEWCOMER), false);
    network.restart(NEWCOMER);
    wait_for("the node's end", || {
        let status: Value = network.run(&["status"]).json();
        status["nodes"][NEWCOMER]["state"] == "ended: exit code 1"
    });
    let log = network.own_log(NEWCOMER);
    for part in ["has the state of height", "remove the directory state", "State sync failed"] {
        assert!(log.contains(part), "{part}: {log}");
    }
}
