//! `capstan init` with files, keys and options that a chain cannot have: it refuses them, and makes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use capstan_client::{Client, ClientError, Deadline};
use capstan_consensus::comet::COMETBFT_VERSION;
use common::{PATIENCE, Place};
use serde_json::{Value, json};

const VAT: &str = "\
import { Far } from '@endo/far';
export const buildRootObject = () => Far('root', { bootstrap() {} });
";

/// The files of a place, with those in directories.
fn files(place: &Place) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![place.path().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path.clone());
            }
            found.push(path.strip_prefix(place.path()).unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// A place with files of subclusters. `good.json` can be launched.
fn place() -> Place {
    let place = Place::new();
    std::fs::write(place.path().join("counter.js"), VAT).unwrap();
    place.run(&["bundle", "counter.js", "-o", "counter.json"]).assert_failed(0, "");
    let vat = json!({"bundle": "counter.json"});
    let good = json!({"name": "core", "config": {"bootstrap": "a", "vats": {"a": vat}}});
    let change = |path: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };
    for (name, content) in [
        ("good", good.clone()),
        ("no-bootstrap", change("/config/bootstrap", json!("b"))),
        ("no-bundle", change("/config/vats/a/bundle", json!("none.json"))),
        (
            "unknown-bundle",
            change("/config/vats/a/bundle", json!(format!("b1-{}", "0".repeat(128)))),
        ),
        ("bad-name", change("/name", json!(""))),
        (
            "bad-option",
            change("/config/vats/a", json!({"bundle": "counter.json", "colour": "red"})),
        ),
        ("no-vats", change("/config/vats", json!({}))),
    ] {
        std::fs::write(place.path().join(format!("{name}.json")), content.to_string()).unwrap();
    }
    std::fs::write(place.path().join("broken.json"), "{\"name\":").unwrap();
    let service = r#"{"name":"core","config":{"bootstrap":"a","services":["chain","chain"],"vats":{"a":{"bundle":"counter.json"}}}}"#;
    std::fs::write(place.path().join("bad-service.json"), service).unwrap();
    place
}

#[test]
fn a_subcluster_that_the_chain_cannot_have_is_refused_and_nothing_is_made() {
    let place = place();
    let before = files(&place);
    for (name, part) in [
        ("none", "No such file"),
        ("broken", "EOF"),
        ("no-bootstrap", "bootstrap"),
        ("no-bundle", "the bundle of vat a"),
        ("unknown-bundle", "b1-"),
        ("bad-name", "name"),
        ("bad-option", "colour"),
        ("no-vats", "1 to 32 vats"),
        ("bad-service", "stands twice"),
    ] {
        let file = format!("{name}.json");
        for more in [&[][..], &["--validator"], &["--timer", "--mailbox", "--governor", "alice"]] {
            let args = [&["init", "--system-subcluster", &file][..], more].concat();
            let refused = place.run(&args);
            assert!(matches!(refused.code, 1 | 2), "{refused:?}");
            assert!(refused.stderr.contains(part), "{name}: {refused:?}");
            assert_eq!(files(&place), before, "{name} {more:?}");
        }
    }
    let twice = ["init", "--system-subcluster", "good.json", "--system-subcluster", "good.json"];
    place.run(&twice).assert_failed(2, "core");
    assert_eq!(files(&place), before);
}

#[test]
fn keys_ids_and_documents_that_are_wrong_are_refused_and_nothing_is_made() {
    let place = place();
    std::fs::create_dir(place.path().join("other")).unwrap();
    std::fs::write(place.path().join("other/notes.txt"), "mine").unwrap();
    std::fs::write(place.path().join("other/genesis.json"), "{\"chain_id\":7}").unwrap();
    let before = files(&place);
    for (args, code, part) in [
        (&["--governor", "nobody"][..], 1, "--governor \"nobody\""),
        (&["--validator", "--governor", "nobody"], 1, "--governor \"nobody\""),
        (&["--validator", "--chain-id", "a b"], 2, "--chain-id \"a b\""),
        (&["--genesis", "none.json"], 1, "--genesis \"none.json\""),
        (&["--genesis", "good.json"], 1, "--genesis \"good.json\""),
        (&["--genesis", "other/genesis.json"], 1, "other/genesis.json"),
        // A directory with files of somebody else is no home.
        (&["--home", "other"], 1, "notes.txt"),
        (&["--validator", "--home", "other"], 1, "notes.txt"),
        (&["--home", "broken.json"], 1, "broken.json"),
    ] {
        place.run(&[&["init"][..], args].concat()).assert_failed(code, part);
        assert_eq!(files(&place), before, "{args:?}");
    }
}

#[test]
fn a_document_whose_state_is_missing_makes_no_home() {
    let place = place();
    place.run(&["init", "--home", "old"]).assert_failed(0, "");
    let mut dev = Some(place.dev_at(&place.path().join("old"), &[]));
    assert!(dev.take().unwrap().stop("TERM").success());
    place.run(&["export", "--home", "old", "--to", "moved"]).assert_failed(0, "");
    std::fs::remove_file(place.path().join("moved/genesis.state")).unwrap();
    let before = files(&place);
    let init = ["init", "--genesis", "moved/genesis.json", "--home", "new"];
    place.run(&init).assert_failed(1, "genesis.state");
    assert_eq!(files(&place), before);
}

#[test]
fn all_options_together_make_a_home_that_starts() {
    let place = place();
    // Keys and the journal of a server may be there before.
    place.run(&["keys", "add", "dave"]).assert_failed(0, "");
    std::fs::create_dir_all(place.home().join("serve/someone")).unwrap();
    let init = ["init", "--timer", "--mailbox", "--system-subcluster", "good.json", "--governor"];
    let governors = ["alice", "--governor", "dave", "--governor", "alice"];
    place.run(&[&init[..], &governors].concat()).assert_failed(0, "");
    let dev = place.dev();
    // It is launched after the chain's bootstrap, which may take more than the first block.
    let launched = || {
        let listed = place.ask(&dev, &["query", "subclusters", "--json"]).json();
        Ok::<_, ClientError>((listed["subclusters"][0]["name"] == "core").then_some(()))
    };
    Deadline::after(PATIENCE).poll("the subcluster", launched).unwrap();
    let found = ["tx", "send", "factory", "lookup", "chain/mailbox", "--from", "dave", "--json"];
    // Dave governs, but has no account that could pay.
    place.ask(&dev, &found).assert_failed(3, "");
    let found = ["tx", "send", "factory", "lookup", "chain/mailbox", "--from", "alice", "--json"];
    assert_eq!(place.ask(&dev, &found).json()["status"], "fulfilled");
    place.run(&["init"]).assert_failed(1, "is a home already");
}

#[test]
fn a_signal_before_the_first_block_ends_a_chain() {
    let place = Place::new();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap().to_string();
    drop(held);
    let mut child = place.command(&["dev", "--rpc", &addr, "--log", "error"]).spawn().unwrap();
    let client = Client::new(&addr).unwrap();
    // The RPC answers before there is a block.
    let up = || Ok::<_, ClientError>(client.status().ok());
    Deadline::after(PATIENCE).poll("the RPC", up).unwrap();
    let kill = format!("kill -INT {}", child.id());
    Command::new("sh").args(["-c", &kill]).status().unwrap();
    let ended = || Ok::<_, ClientError>(child.try_wait().unwrap());
    let status = Deadline::after(Duration::from_secs(60)).poll("the end", ended).unwrap();
    assert!(status.success(), "{status}");
}

/// A `cometbft` that says in the files `started` and `stopped` beside it how far it came.
fn fake_cometbft(place: &Place) -> String {
    let file = place.path().join("cometbft");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && exec echo {COMETBFT_VERSION}\ncd \"${{0%/*}}\"\n\
         trap 'touch stopped; exit 0' TERM\ntouch started\nwhile :; do sleep 0.1; done\n"
    );
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    file.display().to_string()
}

/// Starts `capstan start`, waits for something, and sends SIGTERM. Returns the exit code.
fn ended_by_signal<T>(place: &Place, cometbft: &str, wait: impl FnOnce() -> T) -> Option<i32> {
    let addrs = common::free_addrs(2);
    let (rpc, p2p) = (addrs[0].to_string(), addrs[1].to_string());
    let args = ["start", "--rpc", &rpc, "--p2p", &p2p, "--cometbft", cometbft, "--log", "error"];
    let mut child = place.command(&args).spawn().unwrap();
    let _held = wait();
    let kill = format!("kill -TERM {}", child.id());
    Command::new("sh").args(["-c", &kill]).status().unwrap();
    let ended = || Ok::<_, ClientError>(child.try_wait().unwrap());
    Deadline::after(PATIENCE).poll("the end", ended).unwrap().code()
}

#[test]
fn a_signal_ends_a_node_and_its_cometbft_in_order_however_early_it_comes() {
    let place = Place::new();
    assert_eq!(place.run(&["init", "--validator"]).code, 0);
    let cometbft = fake_cometbft(&place);
    let [started, stopped] = ["started", "stopped"].map(|name| place.path().join(name));
    // While the home is opened: a pipe gives no genesis document.
    let [genesis, real] = ["genesis.json", "real.json"].map(|name| place.home().join(name));
    std::fs::rename(&genesis, &real).unwrap();
    assert!(Command::new("mkfifo").arg(&genesis).status().unwrap().success());
    let pipe = genesis.clone();
    let open = || {
        let (sender, opened) = channel();
        // It is open once the node begins to read.
        let open = move || sender.send(std::fs::OpenOptions::new().write(true).open(&pipe));
        std::thread::spawn(open);
        opened.recv_timeout(PATIENCE).unwrap().unwrap()
    };
    assert_eq!(ended_by_signal(&place, &cometbft, open), Some(130));
    assert!(!started.exists());
    std::fs::rename(&real, &genesis).unwrap();
    // As soon as CometBFT runs, which has not answered anything.
    let up = || {
        let up = || Ok::<_, ClientError>(started.exists().then_some(()));
        Deadline::after(PATIENCE).poll("CometBFT", up).unwrap();
    };
    assert_eq!((ended_by_signal(&place, &cometbft, up), stopped.exists()), (Some(0), true));
}
