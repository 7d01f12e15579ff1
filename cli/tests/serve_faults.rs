//! `capstan serve` with objects, callers, nodes and users that do wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use capstan_client::{Args, Client, Key, TxBuilder, Wallet};
use common::serve::{OBJECT, Server, Stage};
use serde_json::{Value, json};

fn balance(stage: &Stage) -> String {
    stage.ask(&["query", "account", "carol", "--json"]).json()["balance"].to_string()
}

fn sequence(stage: &Stage) -> String {
    stage.ask(&["query", "account", "carol", "--json"]).json()["sequence"].to_string()
}

fn journal(stage: &Stage) -> PathBuf {
    let account = stage.ask(&["query", "account", "carol", "--json"]).json();
    let address = account["address"].as_str().unwrap().to_owned();
    stage.place.home().join("serve").join(address).join("journal.json")
}

/// Sends many messages of alice in one transaction.
fn flood(stage: &Stage, object: &str, method: &str, argument: i32, count: usize) {
    let client = Client::new(stage.dev.url()).unwrap();
    let wallet = Wallet::new(&client, Key::dev(0));
    let message = wallet.send_message(object, method, &Args::new([argument.into()]).unwrap());
    let tx = (0..count).fold(TxBuilder::new(), |tx, _| tx.message(&message));
    wallet.submit(tx, 0).unwrap();
}

fn fails(mut server: Server, part: &str) {
    assert_eq!(server.child.wait().unwrap().code(), Some(1), "{part}");
}

#[test]
fn an_idempotent_method_runs_again_after_a_crash() {
    let stage = Stage::new();
    let object = format!("export const idempotent = true;\n{OBJECT}");
    std::fs::write(stage.place.path().join("object.mjs"), object).unwrap();
    let mut server = stage.serve(None, &[]);
    let object = stage.object();
    let hash = stage.call(&object, &["slow", "2000"]);
    server.wait_for("call");
    while stage.runs() == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let server = stage.serve(None, &[]);
    assert_eq!(stage.answer(&hash)["value"]["body"], "#\"done\"");
    assert_eq!(stage.runs(), 2);
    server.stop();
}

#[test]
fn two_servers_do_not_share_a_journal() {
    let stage = Stage::new();
    let server = stage.serve(None, &[]);
    let second = stage.ask(&["serve", "object.mjs", "--from", "carol"]);
    second.assert_failed(1, "another `capstan serve` uses");
    server.stop();
    // The journal of another chain does not fit.
    let path = journal(&stage);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("capstan-dev", "another")).unwrap();
    stage.ask(&["serve", "object.mjs", "--from", "carol"]).assert_failed(1, "of another chain");
}

#[test]
fn a_settlement_that_the_chain_refuses_is_dropped_and_not_tried_again() {
    let stage = Stage::new();
    let server = stage.serve(None, &[]);
    let object = stage.object();
    // The result of a call is settled by hand while the method runs.
    let hash = stage.call(&object, &["slow", "3000"]);
    let call = server.wait_for("call");
    let promise = call["result"].as_str().unwrap();
    stage.ask(&["tx", "resolve", promise, "first", "--from", "carol"]).assert_failed(0, "");
    let failed = server.wait_for("failed");
    assert!(failed["error"].as_str().unwrap().contains("may resolve"), "{failed}");
    let dropped = server.wait_for("dropped");
    assert_eq!(dropped["promise"], promise);
    assert_eq!(stage.answer(&hash)["value"]["body"], "#\"first\"");
    // So is a promise of the object's own, to a value that the account gave up by hand.
    stage.call(&object, &["later", "5000", "@ro+7"]);
    let call = server.wait_for("call");
    server.wait_for("answered");
    let value = call["args"][1].as_str().unwrap().trim_start_matches('@');
    stage.ask(&["tx", "drop", value, "--from", "carol"]).assert_failed(0, "");
    let dropped = server.wait_for("dropped");
    assert!(dropped["promise"].as_str().unwrap().starts_with("rp+"), "{dropped}");
    assert!(dropped["error"].as_str().unwrap().contains(value), "{dropped}");
    let before = sequence(&stage);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(sequence(&stage), before, "it was tried again");
    assert_eq!(stage.send("alice", &[&object, "add", "1", "1"])["value"], 2);
    server.stop();
}

#[test]
fn a_node_that_goes_away_does_not_end_a_server() {
    let mut stage = Stage::new();
    let server = stage.serve(None, &[]);
    let object = stage.object();
    // The object answers while the node is away.
    let hash = stage.call(&object, &["slow", "1500"]);
    server.wait_for("call");
    stage = stage.without_node(|| {
        server.wait_for("lost");
        std::thread::sleep(Duration::from_secs(2));
    });
    server.wait_for("back");
    assert_eq!(stage.answer(&hash)["value"]["body"], "#\"done\"");
    assert_eq!(stage.send("alice", &[&object, "add", "1", "1"])["value"], 2);
    assert_eq!(stage.runs(), 2);
    // It can be stopped while there is no node.
    stage.without_node(|| {
        server.wait_for("lost");
        server.stop();
    });
}

#[test]
fn fees_of_the_start_count() {
    let stage = Stage::new();
    let before = balance(&stage);
    let refused = stage.ask(&[
        "serve",
        "object.mjs",
        "--from",
        "carol",
        "--publish",
        "object",
        "--max-fee-per-hour",
        "1",
    ]);
    refused.assert_failed(1, "--max-fee-per-hour 1;");
    assert_eq!(balance(&stage), before);
}

#[test]
fn what_cannot_be_passed_is_a_rejection() {
    let stage = Stage::new();
    let server = stage.serve(None, &["--method-timeout", "2"]);
    let object = stage.object();
    let value = |args: &[&str]| {
        let answer = stage.send("alice", &[&[object.as_str()][..], args].concat());
        assert_eq!(answer["status"], "rejected", "{answer}");
        answer["value"].clone()
    };
    let told = |args: &[&str], part: &str| {
        let value = value(args);
        assert!(value["@error"].as_str().unwrap().contains(part), "{value}");
    };
    told(&["map"], "what the method answered cannot be passed");
    told(&["raiseMap"], "what the method threw cannot be passed");
    told(&["never"], "did not answer within 2s");
    told(&["big", "2000000"], "answered with too much");
    assert_eq!(value(&["raise", "{\"code\":5}"]), json!({"code": 5}));
    assert_eq!(value(&["raise", "text"]), json!("text"));
    server.stop();
}

#[test]
fn a_file_that_fails_to_load_costs_nothing() {
    let stage = Stage::new();
    let before = balance(&stage);
    for (text, part) in [
        ("export const x = ;", "SyntaxError"),
        ("throw Error('at load');", "at load"),
        ("export const makeObject = () => { throw Error('in makeObject'); };", "in makeObject"),
        ("process.exit(3);", "exit status: 3"),
    ] {
        std::fs::write(stage.place.path().join("bad.mjs"), text).unwrap();
        let served = stage.ask(&["serve", "bad.mjs", "--from", "carol", "--publish", "object"]);
        served.assert_failed(1, part);
    }
    stage
        .ask(&["serve", "object.mjs", "--from", "carol", "--import", "ko20"])
        .assert_failed(2, "is not an object that the account holds");
    stage.place.run(&["keys", "add", "dave"]).assert_failed(0, "");
    stage
        .ask(&["serve", "object.mjs", "--from", "dave"])
        .assert_failed(3, "it begins with its first coins");
    assert_eq!(balance(&stage), before);
}

#[test]
fn a_flood_of_calls_runs_a_few_at_a_time() {
    let stage = Stage::new();
    stage.serve(None, &[]).stop();
    let object = stage.object();
    let path = journal(&stage);
    let server = stage.serve(None, &["--method-timeout", "20"]);
    for _ in 0..3 {
        flood(&stage, &object, "slow", 3_000, 50);
    }
    let (mut started, mut answered) = (0, 0);
    while answered < 150 {
        let line = server.lines.recv_timeout(Duration::from_secs(60)).unwrap();
        match line["event"].as_str().unwrap() {
            "call" => started += 1,
            "answered" => answered += line["entries"].as_array().unwrap().len(),
            _ => {}
        }
        assert!(started - answered <= 128, "{started} calls began, {answered} are answered");
        assert!(std::fs::metadata(&path).unwrap().len() < 65_536);
    }
    assert_eq!((started, stage.runs()), (150, 150));
    server.stop();
}

#[test]
fn calls_that_are_never_answered_hold_no_others() {
    let stage = Stage::new();
    let server = stage.serve(None, &["--method-timeout", "3600", "--max-calls-per-method", "4"]);
    let object = stage.object();
    flood(&stage, &object, "never", 0, 50);
    flood(&stage, &object, "never", 0, 50);
    assert_eq!(stage.send("alice", &[&object, "add", "2", "3"])["value"], 5);
    let begun = server.lines.try_iter().filter(|line| line["method"] == "never").count();
    assert_eq!(begun, 4);
    server.stop();
}

#[test]
fn answers_that_wait_for_fees_are_bounded() {
    let stage = Stage::new();
    stage.serve(None, &[]).stop();
    let object = stage.object();
    let path = journal(&stage);
    let server = stage.serve(None, &["--max-fee-per-hour", "20000"]);
    for _ in 0..3 {
        flood(&stage, &object, "big", 100_000, 45);
    }
    server.wait_for("paused");
    let began = Instant::now();
    let mut largest = 0;
    while began.elapsed() < Duration::from_secs(10) {
        largest = largest.max(std::fs::metadata(&path).unwrap().len());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!((4_000_000..5_000_000).contains(&largest), "{largest} bytes");
    let record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let waiting = record["answers"].as_object().unwrap();
    assert!(waiting.len() <= 128, "{} answers wait", waiting.len());
    let last = waiting.values().next_back().unwrap();
    assert!(last["body"].as_str().unwrap().len() < 1_000, "the last is a short rejection");
    server.stop();
}

#[test]
fn a_program_that_hangs_is_told() {
    let stage = Stage::new();
    let hang = "export const makeObject = () => ({ hang() { for (;;); } });";
    std::fs::write(stage.place.path().join("object.mjs"), hang).unwrap();
    let server = stage.serve(None, &["--method-timeout", "1"]);
    let object = stage.object();
    let hash = stage.call(&object, &["hang"]);
    fails(server, "a method never yields");
    std::fs::write(stage.place.path().join("object.mjs"), OBJECT).unwrap();
    let server = stage.serve(None, &[]);
    let answer = stage.answer(&hash);
    assert!(
        answer["value"]["body"].as_str().unwrap().contains("did not answer within 1s"),
        "{answer}"
    );
    server.stop();
}
