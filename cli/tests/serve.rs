//! `capstan serve`: objects of an account that vats and accounts call, through crashes, and the verbs that it is made of.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use common::serve::Stage;
use serde_json::{Value, json};

const RELAY: &str = "\
import { E, Far } from '@endo/far';
export const buildRootObject = () => Far('relay', {
  relay: (target, method, ...args) => E(target)[method](...args),
  add: (a, b) => a + b,
});
";

#[test]
fn vats_and_accounts_call_an_object_that_an_account_serves() {
    let stage = Stage::new();
    let server = stage.serve(None, &["--method-timeout", "6"]);
    let object = stage.object();
    let answer = stage.send("alice", &[&object, "add", "1", "2"]);
    assert_eq!((&answer["status"], &answer["value"]), (&json!("fulfilled"), &json!(3)));
    let failed = stage.send("alice", &[&object, "fail"]);
    assert_eq!(failed["value"], json!({"@error": "too far", "name": "RangeError"}));
    let unknown = stage.send("alice", &[&object, "nothing"]);
    assert!(unknown["value"].to_string().contains("target has no method"), "{unknown}");
    let late = stage.send("alice", &[&object, "never"]);
    assert!(late["value"].to_string().contains("did not answer within 6s"), "{late}");
    // Another object of the account, by a reference.
    let counter = stage.send("alice", &[&object, "counter"])["value"].clone();
    let counter = counter.as_str().unwrap().trim_start_matches('@').to_owned();
    assert_eq!(stage.send("alice", &[&counter, "next"])["value"], 1);
    assert_eq!(stage.send("alice", &[&counter, "next"])["value"], 2);
    // From a vat, and to a vat.
    std::fs::write(stage.place.path().join("relay.js"), RELAY).unwrap();
    stage.place.run(&["bundle", "relay.js", "-o", "relay.json"]).assert_failed(0, "");
    stage.ask(&["tx", "install-bundle", "relay.json", "--from", "alice"]).assert_failed(0, "");
    let vat = stage.ask(&["tx", "create-vat", "relay.json", "--from", "alice", "--json"]).json();
    let root = vat["root"].as_str().unwrap();
    let target = format!("@{object}");
    assert_eq!(stage.send("alice", &[root, "relay", &target, "add", "3", "4"])["value"], 7);
    let other = format!("@{root}");
    assert_eq!(stage.send("alice", &[&object, "ask", &other, "5", "6"])["value"], 11);
    // A dropped export is told in the outbox, and an object of an earlier run is gone.
    server.stop();
    let server = stage.serve(None, &[]);
    let gone = stage.send("alice", &[&counter, "next"]);
    assert!(gone["value"].to_string().contains("earlier run"), "{gone}");
    assert_eq!(stage.send("alice", &[&object, "add", "1", "1"])["value"], 2);
    server.stop();
}

#[test]
fn answers_that_the_chain_does_not_take_do_not_end_the_service() {
    let stage = Stage::new();
    let server = stage.serve(None, &["--max-fee-per-hour", "1000000000"]);
    let object = stage.object();
    // Nodes refuse a transaction of this size in a way that looks as if they were away.
    let large = stage.send("alice", &[&object, "big", "9000000"]);
    assert!(large["value"].to_string().contains("answered with too much"), "{large}");
    let fits = stage.send("alice", &[&object, "big", "262000"]);
    assert_eq!(fits["value"].as_str().unwrap().len(), 262_000);
    let failed: Vec<Value> =
        server.lines.try_iter().filter(|line| line["event"] == "failed").collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(stage.send("alice", &[&object, "add", "1", "2"])["value"], 3);
    server.stop();
}

#[test]
fn a_crash_at_any_step_answers_once() {
    let stage = Stage::new();
    stage.serve(None, &[]).stop();
    let object = stage.object();
    let mut expected = stage.resolved();
    for (step, answer) in [
        ("started", None),
        ("answered", Some(5)),
        ("signed", Some(5)),
        ("sent", Some(5)),
        ("committed", Some(5)),
    ] {
        let before = stage.runs();
        let server = stage.serve(Some(step), &[]);
        let call =
            ["tx", "send", &object, "add", "2", "3", "--from", "alice", "--json", "--no-wait"];
        let sent = stage.ask(&call).json();
        server.crashed();
        let server = stage.serve(None, &[]);
        let hash = sent["tx_hash"].as_str().unwrap();
        let result = loop {
            let result = stage.ask(&["query", "result", hash, "--json"]).json();
            if result["status"] != "pending" {
                break result;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        };
        match answer {
            Some(sum) => assert_eq!(result["value"]["body"], format!("#{sum}"), "{step}: {result}"),
            None => assert!(result["value"].to_string().contains("restarted"), "{step}: {result}"),
        }
        expected += 1;
        assert_eq!(stage.resolved(), expected, "{step}");
        assert_eq!(stage.runs() - before, usize::from(answer.is_some()), "{step}");
        server.stop();
    }
}

#[test]
fn fees_of_a_flood_are_bounded() {
    let stage = Stage::new();
    stage.serve(None, &[]).stop();
    let object = stage.object();
    let balance = || {
        let account = stage.ask(&["query", "account", "carol", "--json"]).json();
        account["balance"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let before = balance();
    let server = stage.serve(None, &["--max-fee-per-hour", "12000"]);
    // One after the other, since calls that come together are answered together.
    let paused = (0..40).any(|_| {
        let call = ["tx", "send", &object, "add", "1", "1", "--no-wait", "--from", "alice"];
        stage.ask(&call).assert_failed(0, "");
        std::thread::sleep(std::time::Duration::from_millis(500));
        server.lines.try_iter().any(|line| line["event"] == "paused")
    });
    assert!(paused);
    server.stop();
    assert!(before - balance() <= 12_000, "{} ucap were paid", before - balance());
}

#[test]
fn a_file_that_cannot_be_served_is_named() {
    let stage = Stage::new();
    let serve = |file: &str| stage.ask(&["serve", file, "--from", "carol"]);
    serve("none.mjs").assert_failed(2, "there is no file none.mjs");
    std::fs::write(stage.place.path().join("bad.mjs"), "export const x = ;").unwrap();
    serve("bad.mjs").assert_failed(1, "SyntaxError");
    std::fs::write(stage.place.path().join("empty.mjs"), "export const x = 1;").unwrap();
    serve("empty.mjs").assert_failed(1, "exports no function makeObject");
}

#[test]
fn calls_are_answered_by_hand() {
    let stage = Stage::new();
    std::fs::write(stage.place.path().join("relay.js"), RELAY).unwrap();
    stage.place.run(&["bundle", "relay.js", "-o", "relay.json"]).assert_failed(0, "");
    stage.ask(&["tx", "install-bundle", "relay.json", "--from", "alice"]).assert_failed(0, "");
    let vat = stage.ask(&["tx", "create-vat", "relay.json", "--from", "alice", "--json"]).json();
    let root = vat["root"].as_str().unwrap();
    for (value, reject, body) in [
        ("42", false, "#42"),
        // The vat that passes the error on gives it a number of its own.
        ("no such city", true, "\"#error\":\"no such city\""),
    ] {
        let call = [
            "tx",
            "send",
            root,
            "relay",
            "@ro+1",
            "weather",
            "--no-wait",
            "--from",
            "alice",
            "--json",
        ];
        let sent = stage.ask(&call).json();
        let outbox = stage.ask(&["query", "outbox", "alice", "--json"]).json();
        let entries = outbox["entries"].as_array().unwrap();
        let called = entries.iter().rfind(|entry| entry["kind"] == "message").unwrap();
        let promise = called["result"].as_str().unwrap();
        let mut resolve = vec!["tx", "resolve", promise, value, "--from", "alice"];
        resolve.extend(reject.then_some("--reject"));
        stage.ask(&resolve).assert_failed(0, "");
        stage.ask(&resolve).assert_failed(3, "not a promise that this account may resolve");
        let result =
            stage.ask(&["query", "result", sent["tx_hash"].as_str().unwrap(), "--json"]).json();
        let told = result["value"]["body"].as_str().unwrap();
        assert!(told.contains(body), "{told}");
    }
    stage
        .ask(&["tx", "resolve", "ro-50", "1", "--from", "alice"])
        .assert_failed(2, "is not a promise");
    // The vat lets go of the account's object, and the account hears of it.
    let admin = vat["admin"].as_str().unwrap();
    stage.ask(&["tx", "terminate-vat", admin, "--from", "alice"]).assert_failed(0, "");
    let dropped = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        stage.ask(&["query", "outbox", "alice"]).stdout.contains("dropExports")
    });
    assert!(dropped);
}
