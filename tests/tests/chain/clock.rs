//! A clock that jumps: block times only go forward, and the timer wakes when its time has come, whatever the clock does.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::{Args, Client, ClientError, Hash};
use capstan_consensus::solo::ManualClock;
use capstan_tests::{Node, soon};
use serde_json::json;
use tendermint::Time;

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// The header of a block.
fn block_time(client: &Client, height: u64) -> Time {
    let block = client.call_json("block", json!({"height": height.to_string()})).unwrap();
    time(block["block"]["header"]["time"].as_str().unwrap())
}

/// Waits for so many further blocks.
fn blocks(client: &Client, count: u64) {
    let from = client.status().unwrap().height;
    let made = || Ok::<_, ClientError>((client.status()?.height >= from + count).then_some(()));
    soon().poll("further blocks", made).unwrap();
}

fn status(node: &Node, hash: Hash) -> String {
    node.client().message_result(hash, 0).unwrap().status
}

fn settled(node: &Node, hash: Hash) {
    let fulfilled = || Ok::<_, ClientError>((status(node, hash) == "fulfilled").then_some(()));
    soon().poll("the wakeup", fulfilled).unwrap();
}

#[test]
fn the_timer_wakes_in_its_time_and_block_times_go_forward_whatever_the_clock_does() {
    // The genesis document is of 2026-01-01.
    let clock = ManualClock::new(time("2026-01-01T00:01:00Z"));
    let mut node = Node::start_timed(clock.clone());
    let alice = node.wallet(0);
    let found = alice.send("factory", "lookup", &Args::json(r#"["chain/timer"]"#)).unwrap();
    let timer = found.value.slots[0].clone();
    let delay = |seconds: u64| {
        let args = Args::smallcaps(&format!("[\"+{seconds}\"]"), vec![]);
        alice.send_only(&timer, "delay", &args).unwrap().hash
    };
    let (hour, day, year) = (delay(3_600), delay(86_400), delay(31_536_000));
    let pending = |node: &Node, hashes: &[Hash]| {
        for hash in hashes {
            assert_eq!(status(node, *hash), "pending", "{hash} came too early");
        }
    };
    // Back, to before the chain began: time creeps on, and nothing is due.
    clock.set(time("2001-01-01T00:00:00Z"));
    blocks(node.client(), 5);
    pending(&node, &[hour, day, year]);
    clock.set(time("2026-01-01T02:00:00Z"));
    settled(&node, hour);
    pending(&node, &[day, year]);
    // It stands still for a while, and the node starts again at an earlier time than its last block's.
    blocks(node.client(), 5);
    clock.set(time("2025-06-01T00:00:00Z"));
    node.restart();
    blocks(node.client(), 5);
    pending(&node, &[day, year]);
    // Many years at once, and back again: all that was due comes, once.
    clock.set(time("2093-01-01T00:00:00Z"));
    settled(&node, year);
    settled(&node, day);
    clock.set(time("2026-01-02T00:00:00Z"));
    node.restart();
    blocks(node.client(), 5);
    let alice = node.wallet(0);
    let now = alice.send(&timer, "getCurrentTimestamp", &Args::default()).unwrap();
    assert!(now.value.body.contains("+3881"), "2093 stays: {}", now.value.body);
    let last = node.client().status().unwrap().height;
    let times: Vec<Time> = (1..=last).map(|height| block_time(node.client(), height)).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
}
