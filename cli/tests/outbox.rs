//! `capstan query outbox`: entries for people and for programs, followed over a node that goes away and comes back.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use capstan_client::{ClientError, Deadline};
use common::{Dev, PATIENCE, Place, free_addrs};
use serde_json::{Value, json};

const RELAY: &str = "\
import { E, Far } from '@endo/far';
export const buildRootObject = () => {
  let last;
  return Far('relay', {
    relay: (target, method, ...args) => {
      last = target;
      return E(last)[method](...args);
    },
  });
};
";

/// A chain at an address that stays, with a vat that calls what it is passed.
struct Stage {
    place: Place,
    addr: String,
    dev: Option<Dev>,
    root: String,
}

/// A running `capstan query outbox --follow`.
struct Follower {
    child: Child,
    printed: Receiver<String>,
    told: Receiver<String>,
}

impl Stage {
    fn new() -> Self {
        let addr = free_addrs(1)[0].to_string();
        let mut stage = Self { place: Place::new(), addr, dev: None, root: String::new() };
        stage.start();
        std::fs::write(stage.place.path().join("relay.js"), RELAY).unwrap();
        stage.place.run(&["bundle", "relay.js", "-o", "relay.json"]).assert_failed(0, "");
        stage.ask(&["tx", "install-bundle", "relay.json", "--from", "alice"]).json();
        let vat = stage.ask(&["tx", "create-vat", "relay.json", "--from", "alice"]);
        vat.json()["root"].as_str().unwrap().clone_into(&mut stage.root);
        stage
    }

    fn start(&mut self) {
        let args = ["dev", "--rpc", &self.addr, "--json", "--log", "error"];
        self.dev = Some(self.place.node_at(&self.place.home(), &args));
    }

    fn stop(&mut self) {
        assert!(self.dev.take().unwrap().stop("TERM").success());
    }

    fn ask(&self, args: &[&str]) -> common::Done {
        self.place.ask(self.dev.as_ref().unwrap(), &[args, &["--json"]].concat())
    }

    /// Lets the vat call alice's object, which nobody answers.
    fn call(&self, word: &str) {
        let call = ["tx", "send", &self.root, "relay", "@ro+1", "hello", word, "7n"];
        self.ask(&[&call[..], &["--no-wait", "--from", "alice"]].concat()).json();
    }

    fn entries(&self) -> Vec<Value> {
        let outbox = self.ask(&["query", "outbox", "alice"]).json();
        outbox["entries"].as_array().unwrap().clone()
    }

    fn follow(&self, args: &[&str]) -> Follower {
        self.follow_by(&["query", "outbox"], args)
    }

    fn follow_by(&self, command: &[&str], args: &[&str]) -> Follower {
        let first = [command, &["alice", "--follow", "--node", &self.addr]].concat();
        let mut child = self.place.command(&[&first[..], args].concat()).spawn().unwrap();
        let printed = lines(child.stdout.take().unwrap());
        let told = lines(child.stderr.take().unwrap());
        Follower { child, printed, told }
    }
}

impl Follower {
    fn next(&self) -> String {
        self.printed.recv_timeout(PATIENCE).unwrap()
    }

    fn next_message(&self) -> Value {
        loop {
            let entry: Value = serde_json::from_str(&self.next()).unwrap();
            if entry["kind"] == "message" {
                return entry;
            }
        }
    }

    fn wait_for(&self, part: &str) {
        while !self.told.recv_timeout(PATIENCE).expect(part).contains(part) {}
    }

    fn interrupt(&mut self) {
        let kill = format!("kill -INT {}", self.child.id());
        Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)))
    });
    lines
}

#[test]
fn a_follower_prints_each_entry_over_a_node_that_goes_away() {
    let mut stage = Stage::new();
    let mut follower = stage.follow(&["--json"]);
    stage.call("one");
    let entry = follower.next_message();
    assert_eq!((&entry["target"], &entry["method"]), (&json!("ro+1"), &json!("hello")));
    assert_eq!(entry["args"], json!(["one", {"@bigint": "7"}]));
    assert!(entry["result"].as_str().unwrap().starts_with("rp-"), "{entry}");
    assert_eq!(entry["delivery"][0], "message");
    stage.stop();
    follower.wait_for("\"lost\"");
    stage.start();
    follower.wait_for("\"back\"");
    stage.call("two");
    assert_eq!(follower.next_message()["args"][0], "two");
    follower.interrupt();
}

#[test]
fn a_follower_goes_on_after_a_number_and_ends_after_a_count() {
    let stage = Stage::new();
    stage.call("one");
    stage.call("two");
    let entries = stage.entries();
    let calls: Vec<u64> = entries
        .iter()
        .filter(|entry| entry["kind"] == "message")
        .map(|entry| entry["number"].as_u64().unwrap())
        .collect();
    let after = (calls[1] - 1).to_string();
    let mut follower = stage.follow(&["--after", &after, "--limit", "1"]);
    let shown = follower.next();
    let expected = format!("{} message ro+1.hello(\"two\",7n) result rp-", calls[1]);
    assert!(shown.starts_with(&expected), "{shown}");
    assert!(follower.child.wait().unwrap().success());
    // The list has the same lines, and the same cursor.
    let listed = stage
        .place
        .ask(stage.dev.as_ref().unwrap(), &["query", "outbox", "alice", "--after", &after]);
    assert_eq!(listed.stdout.lines().next().unwrap(), shown);
    let mut stopped = stage.follow(&["--after", &after]);
    assert_eq!(stopped.next(), shown);
    stopped.interrupt();
    stopped.wait_for(&format!("--after {}", entries.last().unwrap()["number"]));
}

#[test]
fn a_message_to_an_own_object_is_answered_by_oneself() {
    let stage = Stage::new();
    stage.call("one");
    let send = ["tx", "send", "ro+1", "ask", "me", "--from", "alice", "--json"];
    let args = [&send[..], &["--node", &stage.addr]].concat();
    let mut waiting = stage.place.command(&args).spawn().unwrap();
    let printed = lines(waiting.stdout.take().unwrap());
    let asked = || {
        let entries = stage.entries();
        Ok::<_, ClientError>(entries.iter().rfind(|entry| entry["method"] == "ask").cloned())
    };
    let asked = Deadline::after(PATIENCE).poll("the message", asked).unwrap();
    assert_eq!(asked["target"], "ro+1");
    let result = asked["result"].as_str().unwrap();
    stage.ask(&["tx", "resolve", result, "\"it is me\"", "--from", "alice"]).json();
    let line = printed.recv_timeout(PATIENCE).unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&answer["status"], &answer["value"]), (&json!("fulfilled"), &json!("it is me")));
    assert!(waiting.wait().unwrap().success());
}

#[test]
fn a_follower_ends_if_nobody_reads_or_no_node_is_there() {
    let mut stage = Stage::new();
    stage.call("one");
    let pipe = format!(
        "{} query outbox alice --follow --node {} | head -1",
        env!("CARGO_BIN_EXE_capstan"),
        stage.addr
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &pipe]).env("CAPSTAN_HOME", stage.place.home()).stdout(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    // The second entry finds no reader.
    stage.call("two");
    stage.call("three");
    let ended = || Ok::<_, ClientError>(shell.try_wait().unwrap());
    assert!(Deadline::after(PATIENCE).poll("the end", ended).unwrap().success());
    stage.stop();
    let none = stage.place.run(&["query", "outbox", "alice", "--follow", "--node", &stage.addr]);
    none.assert_failed(4, "is `capstan dev` running?");
}

#[test]
fn an_account_that_did_nothing_has_empty_lists() {
    let place = Place::new();
    let dev = place.dev();
    place.ask(&dev, &["keys", "add", "dave"]).assert_failed(0, "");
    for account in ["bob", "dave"] {
        for list in
            [&["outbox", account][..], &["query", "outbox", account], &["query", "clist", account]]
        {
            let done = place.ask(&dev, list);
            assert_eq!((done.code, done.stdout.trim_end()), (0, "(none)"), "{list:?}");
            let json = place.ask(&dev, &[list, &["--json"]].concat()).json();
            assert_eq!(json["entries"], json!([]), "{list:?}");
        }
    }
}

#[test]
fn what_was_shown_and_what_is_answered_is_marked() {
    let stage = Stage::new();
    stage.call("one");
    let marked = || {
        let page = stage.ask(&["outbox", "alice"]).json();
        let calls = page["entries"].as_array().unwrap().iter();
        let calls = calls.filter(|entry| entry["kind"] == "message");
        calls.map(|call| (call["seen"].clone(), call["unanswered"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(marked(), [(json!(false), json!(true))]);
    stage.call("two");
    assert_eq!(marked(), [(json!(true), json!(true)), (json!(false), json!(true))]);
    let entries = stage.entries();
    let first = entries.iter().find(|entry| entry["kind"] == "message").unwrap();
    assert_eq!((&first["seen"], &first["unanswered"]), (&Value::Null, &json!(true)));
    let promise = first["result"].as_str().unwrap();
    stage.ask(&["tx", "drop", promise, "--from", "alice"]).assert_failed(2, "capstan tx reject");
    stage.ask(&["tx", "reject", promise, "not now", "--from", "alice"]).json();
    assert_eq!(marked(), [(json!(true), json!(false)), (json!(true), json!(true))]);
    let shown = stage.place.ask(stage.dev.as_ref().unwrap(), &["outbox", "alice"]).stdout;
    assert!(
        shown.lines().any(|line| line.starts_with("  ") && line.ends_with(" unanswered")),
        "{shown}"
    );
}

#[test]
fn calls_are_found_among_answers_and_an_answer_names_its_call() {
    let stage = Stage::new();
    stage.call("one");
    stage.call("two");
    let entries = |args: &[&str]| {
        let page = stage.ask(&[&["outbox", "alice"], args].concat()).json();
        page["entries"].as_array().unwrap().clone()
    };
    let calls = entries(&["--calls"]);
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call["seen"] == false), "lists of some change no marks");
    let first = calls[0]["result"].as_str().unwrap();
    stage.ask(&["tx", "resolve", first, "1", "--from", "alice"]).json();
    let unanswered = entries(&["--unanswered"]);
    assert_eq!((unanswered.len(), &unanswered[0]["args"][0]), (1, &json!("two")));
    let page = stage.ask(&["outbox", "alice", "--calls", "--limit", "1"]).json();
    assert_eq!(
        (&page["entries"][0]["number"], &page["next"]),
        (&page["next"], &calls[0]["number"])
    );
    let last = stage.ask(&["outbox", "alice", "--unanswered", "--limit", "1"]).json();
    assert_eq!(last["next"], 0, "{last}");

    // The answers to alice's own messages name them.
    let answers = entries(&[]);
    let answer = answers.iter().rfind(|entry| entry["kind"] == "notify").unwrap();
    let call = &answer["resolutions"][0]["call"];
    assert_eq!((&call["target"], &call["method"]), (&json!(stage.root), &json!("relay")));
    let hash = call["tx_hash"].as_str().unwrap();
    assert_eq!(stage.ask(&["query", "tx", hash]).json()["messages"][0]["method"], "relay");
    let shown = stage.place.ask(stage.dev.as_ref().unwrap(), &["outbox", "alice"]).stdout;
    assert!(shown.contains(&format!(" of {}.relay fulfilled 1", stage.root)), "{shown}");

    let follower = stage.follow_by(&["outbox"], &["--json", "--unanswered"]);
    let entry = follower.next_message();
    assert_eq!((&entry["args"][0], &entry["unanswered"]), (&json!("two"), &json!(true)));

    let number = calls[1]["number"].to_string();
    let acknowledged = stage.ask(&["tx", "ack", &number, "--from", "alice"]);
    let warned: Value = serde_json::from_str(acknowledged.stderr.lines().next().unwrap()).unwrap();
    let second = calls[1]["result"].as_str().unwrap();
    let named = format!("{number} ({second})");
    assert!(warned["text"].as_str().unwrap().contains(&named), "{acknowledged:?}");
    acknowledged.json();
    stage.ask(&["tx", "resolve", second, "2", "--from", "alice"]).json();
}

#[test]
fn a_promise_that_cannot_be_settled_is_refused() {
    let stage = Stage::new();
    for (promise, part) in [
        ("rp+7", "the account has passed it to nobody"),
        ("rp-9999", "the account was never told of it"),
    ] {
        for verb in ["resolve", "reject"] {
            stage.ask(&["tx", verb, promise, "1", "--from", "alice"]).assert_failed(3, part);
        }
    }
    let pass = ["tx", "send", &stage.root, "relay", "@ro+1", "take", "@rp+7", "--no-wait"];
    stage.ask(&[&pass[..], &["--from", "alice"]].concat()).json();
    stage.ask(&["tx", "resolve", "rp+7", "1", "--from", "alice"]).json();
    let again = stage.ask(&["tx", "resolve", "rp+7", "2", "--from", "alice"]);
    again.assert_failed(3, "or it is settled already");
    stage.ask(&["tx", "drop", "ro+1", "--from", "alice"]).assert_failed(2, "dropExports");
    stage.ask(&["tx", "drop", "ro-999", "--from", "alice"]).assert_failed(3, "not held by");
}

#[test]
fn a_bundle_that_is_there_is_not_paid_for_again() {
    let stage = Stage::new();
    let balance = || stage.ask(&["query", "account", "alice"]).json()["balance"].clone();
    let before = balance();
    let again = stage.ask(&["tx", "install-bundle", "relay.json", "--from", "alice"]);
    assert!(again.stderr.contains("--again"), "{again:?}");
    assert_eq!((&again.json()["already_installed"], balance()), (&json!(true), before.clone()));
    let paid = ["tx", "install-bundle", "relay.json", "--again", "--from", "alice"];
    assert_eq!(stage.ask(&paid).json()["already_installed"], false);
    assert_ne!(balance(), before);
}

#[test]
fn a_name_is_looked_up_by_its_owners_key() {
    let stage = Stage::new();
    let publish = ["tx", "send", "factory", "publish", "relay", &format!("@{}", stage.root)];
    stage.ask(&[&publish[..], &["--from", "alice"]].concat()).json();
    let lookup = ["tx", "send", "factory", "lookup", "alice/relay", "--from", "bob"];
    let found = stage.ask(&lookup).json();
    let rref = found["slots"][0].as_str().unwrap();
    let clist = stage.ask(&["query", "clist", "bob"]).json();
    let entries = clist["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["eref"] == rref).unwrap();
    assert!(entry["exporter"].as_str().unwrap().starts_with('v'), "{entry}");
    assert!(entry["came"].as_str().unwrap().contains("answer of rp"), "{entry}");
    let clist = stage.ask(&["query", "clist", "alice"]).json();
    let names = clist["entries"].as_array().unwrap().iter().map(|entry| &entry["interface"]);
    for name in ["Alleged: accountFactory", "Alleged: adminNode"] {
        assert!(names.clone().any(|found| found == name), "{clist}");
    }
    // An admin object says which vat it administers.
    let of_alice = clist["entries"].as_array().unwrap().iter();
    let with = |name: &str, value: &str| {
        of_alice.clone().find(|entry| entry[name] == value).unwrap_or_else(|| panic!("{clist}"))
    };
    let vat = &with("eref", &stage.root)["exporter"];
    assert_eq!(&with("interface", "Alleged: adminNode")["administers"], vat);
    let shown = stage.ask(&["query", "clist", "alice"]).stdout;
    assert!(shown.contains("\"administers\":"), "{shown}");
    let unknown = ["tx", "send", "factory", "lookup", "nobody/relay", "--from", "bob"];
    assert!(stage.ask(&unknown).stdout.contains("nothing is published"));
}
