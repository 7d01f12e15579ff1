//! What happens to whole processes: a panic of the application ends the node, and a killed node
//! goes on where it was.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use support::{Node, Rpc, base64, poll};

const CHILD_HOME: &str = "CAPSTAN_TEST_CHILD_HOME";

/// Not a test by itself: the node that the tests below run in a process of its own.
#[test]
#[ignore = "a child process of the other tests"]
fn child() {
    let Ok(home) = std::env::var(CHILD_HOME) else { return };
    let node = Node::start(Path::new(&home));
    println!("RPC {}", node.solo.rpc_addr());
    node.solo.wait().unwrap();
}

fn spawn(home: &Path) -> (Child, Rpc) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env(CHILD_HOME, home)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = lines
        .find_map(|line| line.unwrap().split_once("RPC ").map(|(_, addr)| addr.parse().unwrap()));
    (child, Rpc(addr.expect("the child prints its address")))
}

#[test]
fn a_panic_of_the_application_ends_the_process_and_commits_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (child, rpc) = spawn(home.path());
    rpc.commit("a=1");
    let height = rpc.idle();
    rpc.call("broadcast_tx_sync", json!({"tx": base64("panic=1")}));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("told to panic") && stderr.contains("panicked in FinalizeBlock"),
        "{stderr}"
    );
    // The block is in the store, so the node dies at it again; nothing of it was committed.
    let state = std::fs::read_to_string(home.path().join("app.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["height"], height);
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env(CHILD_HOME, home.path())
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(101));
}

#[test]
fn a_killed_node_goes_on_with_the_same_history() {
    let home = tempfile::tempdir().unwrap();
    let mut known: Vec<(i64, serde_json::Value)> = Vec::new();
    for round in 0..5 {
        let (mut child, rpc) = spawn(home.path());
        poll(|| (rpc.height() > 0).then_some(()));
        for (height, block) in &known {
            assert_eq!(
                rpc.call("block", json!({"height": height.to_string()})),
                *block,
                "round {round}"
            );
        }
        // The queue keeps blocks coming, so the kill hits one at work.
        rpc.commit(&format!("queue={}", 1000 + round));
        let target = rpc.height() + 3 + round;
        poll(|| (rpc.height() >= target).then_some(()));
        for height in known.len() as i64 + 1..=target {
            known.push((height, rpc.call("block", json!({"height": height.to_string()}))));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(known.len() > 20);
}
