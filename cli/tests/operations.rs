//! What an operator does: a chain that a critical vat stopped goes on, a state is moved, two nodes are compared, a node
//! is configured and watched.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use capstan_client::{Client, ClientError, Deadline, SignedTx};
use capstan_tests::{Account, raw_genesis};
use common::{Dev, PATIENCE, Place, done, height_at_rest};
use serde_json::Value;

/// A home of a chain of wasm vats, on which `critical` is the vat of the first account if it is `a`.
fn raw_home(place: &Place, name: &str, critical: Option<&str>) -> PathBuf {
    let genesis = raw_genesis(|genesis| {
        if let Some(vat) = critical {
            genesis.app_state.kernel.vats.get_mut(vat).unwrap().critical = true;
        }
    });
    let file = place.path().join(format!("{name}.json"));
    std::fs::write(&file, genesis.to_json().unwrap()).unwrap();
    let home = place.path().join(name);
    let args = ["init", "--genesis", text(&file), "--home", text(&home), "--json"];
    assert_eq!(place.run(&args).json()["chain_id"], "capstan-test-1");
    home
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Sends a message to alice's vat; the answer.
fn call(place: &Place, dev: &Dev, method: &str) -> Value {
    place.ask(dev, &["tx", "send", "factory", method, "--from", "alice", "--json"]).json()
}

fn height(dev: &Dev) -> u64 {
    Client::new(dev.url()).unwrap().status().unwrap().height
}

/// The height once nothing is left to do.
fn at_rest(dev: &Dev) -> u64 {
    let client = Client::new(dev.url()).unwrap();
    Deadline::after(PATIENCE).poll("a chain at rest", || height_at_rest(&client)).unwrap()
}

/// Starts a node that stops at once: its exit code and what it said.
fn stops(place: &Place, home: &Path) -> (i32, String) {
    let output = place
        .command(&["dev", "--rpc", "127.0.0.1:0", "--log", "error"])
        .env("CAPSTAN_HOME", home)
        .output()
        .unwrap();
    let done = done(output);
    (done.code, done.stderr)
}

#[test]
fn a_chain_that_a_critical_vat_stopped_says_why_stops_again_and_is_recovered() {
    let place = Place::new();
    let home = raw_home(&place, "old", Some("a"));
    let dev = place.dev_at(&home, &[]);
    assert_eq!(call(&place, &dev, "increment")["status"], "fulfilled");
    let committed = at_rest(&dev);
    let sent = place.ask(&dev, &["tx", "send", "factory", "die", "--from", "alice"]);
    assert_ne!(sent.code, 0, "{sent:?}");
    let (code, said) = dev.ended();
    assert_eq!(code, 70, "{said}");
    for part in ["critical vat v3 failed", "v3 (a)", "die", "unreachable", "capstan recover"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let report = std::fs::read_to_string(home.join("fatal.txt")).unwrap();
    assert!(said.contains(report.trim_end()), "{said} / {report}");
    let (code, again) = stops(&place, &home);
    assert!(code == 70 && again.contains(report.trim_end()), "{code}: {again}");

    let cranks = place.run(&["debug", "cranks", "--home", text(&home), "--json"]).json();
    let last = cranks["links"].as_array().unwrap().last().unwrap();
    assert!(last["about"].to_string().contains("die"), "{cranks}");
    // What led to it is what the report names, and what is skipped by it.
    let (hash, at) = (last["cause"]["tx_hash"].as_str().unwrap(), last["place"].as_str().unwrap());
    assert_eq!((&last["cause"]["message_index"], hash.len()), (&Value::from(0), 64), "{cranks}");
    for option in [format!("--skip-tx {hash}"), format!("--drop-message {at}")] {
        assert!(report.contains(&format!("capstan override --home {} {option}", home.display())));
    }
    let people = place.run(&["debug", "cranks", "--home", text(&home)]).stdout;
    assert!(people.contains(&format!("led to by transaction {hash}")), "{people}");
    assert_eq!(cranks["app_hash"], Value::Null);

    let new = place.path().join("new");
    let recover = ["recover", "--home", text(&home), "--new-home", text(&new), "--json"];
    let recovered = place.run(&recover).json();
    assert_eq!(recovered["chain_id"], "capstan-test-2");
    assert_eq!(recovered["initial_height"].as_u64().unwrap(), committed + 1);
    place.run(&recover).assert_failed(1, "exists");
    // All validators come to the same document.
    let other = place.path().join("other");
    let same = place.run(&["recover", "--home", text(&home), "--new-home", text(&other), "--json"]);
    assert_eq!(same.json()["genesis_sha256"], recovered["genesis_sha256"]);

    for _ in 0..2 {
        let dev = place.dev_at(&new, &[]);
        assert!(height(&dev) > committed, "it is ready only after its first block");
        assert_eq!(call(&place, &dev, "increment")["status"], "fulfilled");
        assert_eq!(place.ask(&dev, &["query", "vat", "v3", "--json"]).json()["status"], "running");
        assert!(dev.stop("TERM").success());
    }
}

#[test]
fn under_cometbft_a_critical_vat_stops_the_node_and_the_chain_is_recovered_too() {
    let place = Place::new();
    let home = place.path().join("old");
    let init = ["init", "--validator", "--chain-id", "comet-1", "--home", text(&home)];
    assert_eq!(place.run(&init).code, 0);
    let file = home.join("genesis.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let raw = raw_genesis(|genesis| {
        genesis.app_state.kernel.vats.get_mut("a").unwrap().critical = true;
    });
    document["app_state"] = serde_json::to_value(&raw.app_state).unwrap();
    std::fs::write(&file, document.to_string()).unwrap();

    let node = place.comet_at(&home);
    assert_eq!(call(&place, &node, "increment")["status"], "fulfilled");
    let send = ["tx", "send", "factory", "die", "--from", "alice"];
    assert_ne!(place.ask(&node, &send).code, 0);
    let (code, said) = node.ended();
    assert!(code == 70 && said.contains("v3 (a)"), "{code}: {said}");
    // CometBFT hands over the same block again.
    let again = place
        .command(&["start", "--rpc", "127.0.0.1:0", "--p2p", "127.0.0.1:0", "--log", "error"])
        .env("CAPSTAN_HOME", &home)
        .output()
        .unwrap();
    let again = done(again);
    assert!(again.code == 70 && again.stderr.contains("v3 (a)"), "{again:?}");

    let new = place.path().join("new");
    let recover = ["recover", "--home", text(&home), "--new-home", text(&new), "--json"];
    let recovered = place.run(&recover).json();
    assert_eq!(recovered["chain_id"], "comet-2");
    let node = place.comet_at(&new);
    assert_eq!(call(&place, &node, "increment")["status"], "fulfilled");
    assert!(height(&node) >= recovered["initial_height"].as_u64().unwrap());
    assert!(node.stop("TERM").success());
}

#[test]
fn a_deadly_message_in_the_queue_needs_a_vat_that_is_no_longer_critical() {
    let place = Place::new();
    let home = raw_home(&place, "old", Some("a"));
    let dev = place.dev_at(&home, &[]);
    let mut alice = Account::dev(0);
    // More work than one block has room for: the last message is committed on the queue.
    let tx = alice.calls(&["work", "work", "work", "work", "die"]);
    let tx = SignedTx::from_bytes(alice.tx(tx));
    Client::new(dev.url()).unwrap().broadcast_sync(&tx).unwrap();
    assert_eq!(dev.ended().0, 70);
    let recover = |name: &str, more: &[&str]| {
        let new = place.path().join(name);
        let args = ["recover", "--home", text(&home), "--new-home", text(&new), "--json"];
        let recovered = place.run(&[&args[..], more].concat());
        (new.clone(), recovered)
    };
    let (new, _) = recover("as-it-was", &[]);
    let (code, said) = stops(&place, &new);
    assert!(code == 70 && said.contains("v3 (a)"), "{code}: {said}");
    let (new, _) = recover("nobody", &["--uncritical", "v99"]);
    let (code, said) = stops(&place, &new);
    assert!(code == 74 && said.contains("there is no vat v99"), "{code}: {said}");

    let (new, recovered) = recover("new", &["--uncritical", "v3"]);
    assert_eq!(recovered.code, 0, "{recovered:?}");
    let dev = place.dev_at(&new, &[]);
    let client = Client::new(dev.url()).unwrap();
    let ended = || Ok::<_, ClientError>((client.vat("v3")?.status != "running").then_some(()));
    Deadline::after(PATIENCE).poll("the end of the vat", ended).unwrap();
    let bob = ["tx", "send", "factory", "increment", "--from", "bob", "--json"];
    assert_eq!(place.ask(&dev, &bob).json()["status"], "fulfilled");
}

#[test]
fn an_exported_state_is_the_beginning_of_a_chain() {
    let place = Place::new();
    let home = raw_home(&place, "old", None);
    let dev = place.dev_at(&home, &[]);
    let count = |dev: &Dev| call(&place, dev, "increment")["value"].to_string();
    let first = count(&dev);
    let vats = place.ask(&dev, &["query", "vats", "--json"]).json();
    let export = place.path().join("export");
    let args = ["export", "--home", text(&home), "--to", text(&export), "--json"];
    place.run(&args).assert_failed(1, "another capstan runs");
    assert!(dev.stop("TERM").success());
    assert_eq!(place.run(&args).code, 0);
    place.run(&args).assert_failed(1, "genesis.state");

    let (document, new) = (export.join("genesis.json"), place.path().join("new"));
    let init = ["init", "--genesis", text(&document), "--home", text(&new)];
    assert_eq!(place.run(&init).code, 0);
    let dev = place.dev_at(&new, &[]);
    assert_eq!(place.ask(&dev, &["query", "vats", "--json"]).json(), vats);
    let second = count(&dev);
    assert_ne!(first, second, "the vat goes on counting");
    assert!(dev.stop("TERM").success());

    // A state that is not the document's is refused, and nothing is left of it.
    let state = export.join("genesis.state");
    let mut bytes = std::fs::read(&state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    let bad = place.path().join("bad");
    assert_eq!(place.run(&["init", "--genesis", text(&document), "--home", text(&bad)]).code, 0);
    for _ in 0..2 {
        let (code, said) = stops(&place, &bad);
        assert!(code == 1 && (said.contains("genesis.state") || said.contains("import")), "{said}");
    }
}

#[test]
fn two_nodes_that_went_apart_are_compared_crank_by_crank() {
    let place = Place::new();
    let homes = ["a", "b"].map(|name| raw_home(&place, name, None));
    let bisect = ["debug", "bisect", text(&homes[0]), text(&homes[1]), "--json"];
    // Signed so that both nodes get the very same transaction; its sequence is its place in alice's life.
    let tell = |home: &Path, sequence, method| {
        let dev = place.dev_at(home, &[]);
        let client = Client::new(dev.url()).unwrap();
        // So that the transaction is in the block of the same height on both.
        let rest = || height_at_rest(&client);
        Deadline::after(PATIENCE).poll("a chain at rest", rest).unwrap();
        let mut alice = Account::dev(0);
        alice.sequence = sequence;
        let hash = client.broadcast_sync(&alice.sign(alice.calls(&[method]))).unwrap();
        let answer = || client.wait_result(hash, 0, Deadline::after(PATIENCE));
        client.wait_tx(hash, Deadline::after(PATIENCE)).and_then(|_| answer()).unwrap();
        assert!(dev.stop("TERM").success());
    };
    homes.iter().for_each(|home| tell(home, 0, "increment"));
    assert_eq!(place.run(&bisect).json()["differ"], false);
    for (home, method) in homes.iter().zip(["grow", "erase"]) {
        tell(home, 1, method);
    }
    let found = place.run(&bisect);
    assert_eq!(found.code, 1, "{found:?}");
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((&found["differ"], &found["where"]), (&Value::Bool(true), &Value::from("crank")));
    assert!(!found["keys"].as_array().unwrap().is_empty(), "{found}");
    // Without traces that reach back, the states of stopped nodes at one height tell the keys.
    std::fs::remove_dir_all(homes[1].join("traces")).unwrap();
    std::fs::create_dir(homes[1].join("traces")).unwrap();
    let found: Value = serde_json::from_str(&place.run(&bisect).stdout).unwrap();
    let keys = found["states"]["keys"].as_array().unwrap();
    assert!(keys.iter().any(|row| row["key"].to_string().contains("k.s.v3.g")), "{found}");
}

#[test]
fn a_node_is_configured_by_its_file_and_tells_what_it_does() {
    let place = Place::new();
    let home = raw_home(&place, "home", None);
    let config = home.join("config.toml");
    let template = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, template.replace("keep_blocks", "keep_block")).unwrap();
    let (code, said) = stops(&place, &home);
    assert!(
        code == 1 && said.contains("traces.keep_block; did you mean traces.keep_blocks"),
        "{said}"
    );
    let text = template.replace("slog = \"\"", "slog = \"slog.jsonl\"");
    std::fs::write(&config, text.replace("keep_blocks = 200", "keep_blocks = 2")).unwrap();
    let dev = place.dev_at(&home, &[]);
    for method in ["increment", "grow", "forward", "increment"] {
        call(&place, &dev, method);
    }
    let metrics = get(dev.url(), "/metrics");
    for part in [
        "capstan_cranks_total ",
        "capstan_vat_computrons{vat=\"v3\"}",
        "capstan_queue_length{queue=\"run\"} 0",
        "capstan_transactions_total{code=\"0\"} 4",
        "capstan_commit_seconds_count",
        "capstan_file_bytes{file=\"state.redb\"}",
        "capstan_mempool_transactions 0",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(dev.stop("TERM").success());
    let slog = std::fs::read_to_string(home.join("slog.jsonl")).unwrap();
    let lines: Vec<Value> = slog.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for kind in [
        "kernel-init-finish",
        "cosmic-swingset-bootstrap-block-finish",
        "create-vat",
        "vat-startup-start",
        "vat-startup-finish",
        "cosmic-swingset-begin-block",
        "crank-start",
        "deliver",
        "syscall",
        "syscall-result",
        "clist",
        "deliver-result",
        "crank-finish",
        "cosmic-swingset-end-block-finish",
        "cosmic-swingset-after-commit-block",
    ] {
        assert!(lines.iter().any(|line| line["type"] == kind), "{kind}");
    }
    assert!(lines.iter().all(|line| line["time"].is_f64()), "{slog}");
    assert_eq!(std::fs::read_dir(home.join("traces")).unwrap().count(), 2);
}

#[test]
fn what_a_vat_prints_is_in_the_slog_and_the_slog_is_put_aside_when_it_is_large() {
    let place = Place::new();
    let source = "import { Far } from '@endo/far';\n\
        export const buildRootObject = () => Far('root', {\n\
          talk: n => { for (let i = 0; i < n; i += 1) console.warn('line', i, 'x'.repeat(1000)); },\n\
        });\n";
    std::fs::write(place.path().join("talker.js"), source).unwrap();
    let home = place.home();
    assert_eq!(place.run(&["init"]).code, 0);
    let config = home.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("slog = \"\"", "slog = \"slog.jsonl\"");
    std::fs::write(&config, text.replace("slog_max_mib = 256", "slog_max_mib = 1")).unwrap();
    let dev = place.dev();
    let alice = |args: &[&str]| {
        let done = place.ask(&dev, &[args, &["--from", "alice", "--json"]].concat());
        assert_eq!(done.code, 0, "{done:?}");
        done.json()
    };
    assert_eq!(place.run(&["bundle", "talker.js", "-o", "talker.json"]).code, 0);
    alice(&["tx", "install-bundle", "talker.json"]);
    let vat = alice(&["tx", "create-vat", "talker.json", "--name", "talker"]);
    let (id, root) = (vat["vat_id"].clone(), vat["root"].as_str().unwrap().to_owned());
    alice(&["tx", "send", &root, "talk", "800"]);
    assert!(dev.stop("TERM").success());
    let read = |name: &str| std::fs::read_to_string(home.join(name)).unwrap();
    // Nothing is lost between the files.
    let all = read("slog.jsonl.1") + &read("slog.jsonl");
    let lines: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let printed = |line: &&Value| line["type"] == "console" && line["vatID"] == id;
    let printed: Vec<&Value> = lines.iter().filter(printed).collect();
    assert_eq!(printed.len(), 800);
    for (index, line) in printed.iter().enumerate() {
        assert_eq!((&line["level"], &line["source"]), (&"warn".into(), &"vat".into()), "{line}");
        assert!(line["deliveryNum"].is_u64() && line["crankNum"].is_u64(), "{line}");
        assert!(line["args"][0].as_str().unwrap().starts_with(&format!("line {index} ")), "{line}");
    }
    let created = lines.iter().find(|line| line["type"] == "create-vat" && line["vatID"] == id);
    assert_eq!(created.unwrap()["dynamic"], true);
    let ended = lines.iter().filter(|line| line["type"] == "deliver-result");
    assert!(ended.clone().count() > 5 && ended.clone().all(|line| line["seconds"].is_f64()));
}

#[test]
fn validators_that_a_governor_set_go_on_in_a_new_chain() {
    let place = Place::new();
    assert_eq!(place.run(&["init"]).code, 0);
    let file = place.home().join("genesis.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let alice = capstan_client::Key::dev(0).address().to_string();
    document["app_state"]["params"]["governors"] = serde_json::json!([alice]);
    std::fs::write(&file, document.to_string()).unwrap();
    let dev = place.dev();
    let send = |args: &[&str]| {
        let args = [&["tx", "send"], args, &["--from", "alice", "--json"]].concat();
        let done = place.ask(&dev, &args);
        assert_eq!(done.code, 0, "{done:?}");
        done.json()
    };
    let validators = send(&["factory", "lookup", "chain/validators"])["slots"][0].clone();
    let validators = validators.as_str().unwrap();
    let key = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
    let set = send(&[validators, "setPower", key, "7"]);
    assert_eq!(set["status"], "fulfilled", "{set}");
    // Solo consensus, which has one validator, goes on.
    send(&[validators, "list"]);
    assert!(dev.stop("TERM").success());
    let new = place.path().join("new");
    // The place's home is the one that is meant where none is named.
    assert_eq!(place.run(&["recover", "--new-home", text(&new)]).code, 0);
    let document = std::fs::read(new.join("genesis.json")).unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let of = |validator: &Value| {
        (validator["pub_key"]["value"].clone(), validator["power"].as_str().unwrap().to_owned())
    };
    let powers: Vec<_> = document["validators"].as_array().unwrap().iter().map(of).collect();
    assert_eq!(powers.len(), 2, "{powers:?}");
    assert!(powers.contains(&(key.into(), "7".to_owned())), "{powers:?}");
}

/// What the node's HTTP server answers.
fn get(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
