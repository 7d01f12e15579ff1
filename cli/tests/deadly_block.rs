//! A block that ends the process: the next start names it, and the operator takes what is deadly out of it.
//!
//! The nodes that die are this program itself, started again for one of its tests: a node as `capstan` has it, over a vat
//! host that ends the process when a vat is told a certain message. No input makes the shipped program do that.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use capstan_abi::Delivery;
use capstan_app::{App, AppOptions, FatalHandler, OperatorFiles, Override, TraceOptions};
use capstan_client::{Client, ClientError, Deadline, SignedTx};
use capstan_consensus::comet::{CometConfig, CometHome, CometNode, find};
use capstan_consensus::solo::{self, Solo, SoloConfig};
use capstan_genesis::Genesis;
use capstan_store::Store;
use capstan_tests::{Account, HookedHost, Options, host, raw_genesis};
use capstan_vat_host::WasmHost;
use common::{PATIENCE, Place, free_addrs, height_at_rest};
use serde_json::{Value, json};

/// How many validators a network has.
const VALIDATORS: usize = 4;
/// How often something that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The node's number in its network.
const INDEX: &str = "CAPSTAN_TEST_INDEX";
/// Home and consensus of the node of [`planted_node`], which is no test without it.
const NODE: &str = "CAPSTAN_TEST_NODE";

/// Ends the process if the delivery is one of some messages. `meeting` is where validators meet before they die.
fn end_if_planted(delivery: &Delivery, meeting: Option<&Path>) {
    let Delivery::Message { message, .. } = delivery else { return };
    let has = |method: &str| message.methargs.body.contains(method);
    if has("i-abort") {
        if let Some(dir) = meeting {
            meet(dir, &message.methargs.body);
        }
        std::process::abort();
    }
    if has("i-overflow") {
        println!("{}", overflow(1));
    }
    if has("i-kill") {
        let pid = std::process::id().to_string();
        Command::new("kill").args(["-9", &pid]).status().unwrap();
        loop {
            std::thread::park();
        }
    }
}

/// Waits until all validators are at that message, each of which leaves a file. One that died before the others had its vote
/// would leave them waiting for it.
fn meet(dir: &Path, message: &str) {
    let place = dir.join(hex::encode(message));
    std::fs::create_dir_all(&place).unwrap();
    // A node that is started again has been here.
    std::fs::write(place.join(std::env::var(INDEX).unwrap()), "").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while std::fs::read_dir(&place).unwrap().count() < VALIDATORS && Instant::now() < deadline {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Uses up the stack.
#[allow(unconditional_recursion)] // that is what it is for
fn overflow(depth: u64) -> u64 {
    let held = std::hint::black_box([depth; 64]);
    overflow(depth + 1) + std::hint::black_box(held)[7]
}

/// The application of a home as `capstan` opens it, over the planted host.
fn open(home: &Path) -> App<HookedHost<WasmHost>> {
    let file = |name: &str| home.join(name);
    let overrides = match std::fs::read_dir(file("overrides")) {
        Ok(entries) => entries
            .map(|entry| {
                Override::from_json(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap()
            })
            .collect(),
        Err(_) => vec![],
    };
    let options = AppOptions {
        overrides,
        trace: Some(TraceOptions { dir: file("traces"), keep_blocks: 100, max_bytes: 1 << 30 }),
        operator: Some(OperatorFiles {
            home: home.to_owned(),
            running: file("running"),
            report: file("fatal.txt"),
        }),
        on_fatal: FatalHandler::exit(Some(file("fatal.txt"))),
        ..AppOptions::default()
    };
    let store = Store::open(file("state"), capstan_store::Options::default()).unwrap();
    let parent = home.parent().unwrap().join("meeting");
    let meeting = std::env::var(INDEX).is_ok().then_some(parent);
    let end = move |delivery: &Delivery| end_if_planted(delivery, meeting.as_deref());
    App::new(store, HookedHost::new(host(&Options::raw()), end), options).unwrap()
}

/// No test of its own: a node that runs until it is ended, for the tests below.
#[test]
#[ignore = "a node for the other tests of this file"]
fn planted_node() {
    let Ok(settings) = std::env::var(NODE) else { return };
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let text = |name: &str| settings[name].as_str().unwrap();
    let home = PathBuf::from(text("home"));
    let rpc: SocketAddr = text("rpc").parse().unwrap();
    let app = open(&home);
    if settings["p2p"].is_null() {
        let genesis = std::fs::read(home.join("genesis.json")).unwrap();
        let genesis = solo::GenesisDoc::from_json(&genesis).unwrap();
        Solo::start(app, SoloConfig::new(&home, rpc, genesis)).unwrap().wait().unwrap();
    } else {
        let peers = settings["peers"].as_array().unwrap();
        let config = CometConfig {
            program: find(None).unwrap(),
            home: CometHome::make(&home, 1 << 20).unwrap(),
            moniker: "planted".to_owned(),
            rpc,
            p2p: text("p2p").parse().unwrap(),
            peers: peers.iter().map(|peer| peer.as_str().unwrap().to_owned()).collect(),
            cors: false,
            empty_interval: None,
            state_sync: None,
        };
        CometNode::start(app, config).unwrap().wait().unwrap();
    }
}

/// A node in a process of its own.
struct Process(Child);

impl Process {
    fn start(settings: &Value) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "planted_node", "--ignored", "--nocapture"]);
        command.env(NODE, settings.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(index) = settings["index"].as_u64() {
            command.env(INDEX, index.to_string());
        }
        Self(command.spawn().unwrap())
    }

    /// Waits until it ended by itself.
    fn ended(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the node does not end");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node's home and where it listens.
struct Node {
    home: PathBuf,
    settings: Value,
}

impl Node {
    fn start(&self) -> Process {
        Process::start(&self.settings)
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.settings["rpc"].as_str().unwrap())).unwrap()
    }

    /// Waits until the node has a block of that height.
    fn reaches(&self, height: u64) {
        let client = self.client();
        let info = || client.call_json("abci_info", json!({})).ok();
        let reached = || {
            let at = info().and_then(|info| {
                info["response"]["last_block_height"].as_str()?.parse::<u64>().ok()
            });
            Ok::<_, ClientError>(at.filter(|at| *at >= height).map(|_| ()))
        };
        Deadline::after(PATIENCE).poll(&format!("block {height}"), reached).unwrap();
    }

    /// Sends a transaction whose block may end the node before it answers.
    fn send_deadly(&self, tx: Vec<u8>) {
        match self.client().broadcast_sync(&SignedTx::from_bytes(tx)) {
            Ok(_) | Err(ClientError::Unreachable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends a transaction and waits until it is in a block; the height.
    fn send_and_wait(&self, tx: Vec<u8>) -> u64 {
        let tx = SignedTx::from_bytes(tx);
        let client = self.client();
        client.broadcast_sync(&tx).unwrap();
        client.wait_tx(tx.hash(), Deadline::after(PATIENCE)).unwrap().height
    }

    fn report(&self) -> String {
        std::fs::read_to_string(self.home.join("fatal.txt")).unwrap()
    }

    /// The block at which the last report says that the process ended.
    fn died_at(&self) -> u64 {
        let report = self.report();
        let named = report.split("in the middle of block ").nth(1).unwrap();
        named.split(' ').next().unwrap().parse().unwrap()
    }

    /// Runs the command of the last report that has `option` in it, as an operator would.
    fn run_printed(&self, option: &str) {
        let report = self.report();
        let mut lines = report.lines().map(str::trim);
        let is_it = |line: &&str| line.starts_with("capstan override") && line.contains(option);
        let command = lines.find(is_it).unwrap_or_else(|| panic!("no {option}: {report}"));
        let programs = Path::new(env!("CARGO_BIN_EXE_capstan")).parent().unwrap().to_owned();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let done = Command::new("sh").args(["-c", command]).env("PATH", path).output().unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
    }
}

/// Makes homes of a raw chain with that many validators under CometBFT. With none, it makes one for solo consensus.
fn homes(place: &Place, validators: usize) -> Vec<Node> {
    // Blocks leave nothing over.
    let genesis = raw_genesis(|genesis| genesis.app_state.params.block_computrons = 50_000_000);
    homes_of(place, validators, genesis)
}

fn homes_of(place: &Place, validators: usize, mut genesis: Genesis) -> Vec<Node> {
    let paths: Vec<PathBuf> =
        (0..validators.max(1)).map(|index| place.path().join(format!("node {index}"))).collect();
    let mut comets = Vec::new();
    for path in paths.iter().take(validators) {
        std::fs::create_dir(path).unwrap();
        let comet = CometHome::make(path, 1 << 20).unwrap();
        genesis.add_validator("", &comet.validator_key().unwrap().public_bytes(), 10);
        comets.push(comet);
    }
    let file = place.path().join("genesis.json");
    std::fs::write(&file, genesis.to_json().unwrap()).unwrap();
    let addrs = free_addrs(2 * paths.len());
    let peers: Vec<String> = comets
        .iter()
        .zip(&addrs)
        .map(|(comet, addr)| format!("{}@{addr}", comet.node_id().unwrap()))
        .collect();
    let node = |(index, home): (usize, &PathBuf)| {
        let text = home.to_str().unwrap();
        let init = ["init", "--genesis", file.to_str().unwrap(), "--home", text];
        let made = place.run(&init);
        assert_eq!(made.code, 0, "{made:?}");
        let others: Vec<&String> = peers.iter().filter(|peer| **peer != peers[index]).collect();
        let rpc = addrs[paths.len() + index].to_string();
        let mut settings = json!({"home": text, "rpc": rpc});
        if validators > 0 {
            settings["p2p"] = addrs[index].to_string().into();
            settings["peers"] = json!(others);
            settings["index"] = index.into();
        }
        Node { home: home.clone(), settings }
    };
    paths.iter().enumerate().map(node).collect()
}

/// What the report of a block that ended the process names.
fn assert_names(report: &str, height: u64, tx: &[u8], signer: &str, times: u64) {
    let hash = SignedTx::from_bytes(tx.to_vec()).hash().to_string();
    let led = format!("led to by transaction {hash} of {signer}, message 0 (/");
    let deadly = ["i-abort", "i-overflow", "i-kill"];
    assert!(deadly.iter().any(|method| report.contains(method)), "{report}");
    for part in [
        format!("in the middle of block {height} "),
        format!("times     {times} in this block, {times} at this point"),
        format!("{hash} of {signer}: MsgSend factory i-"),
        led,
        " at run-".to_owned(),
        "to v3: message".to_owned(),
        format!("--skip-tx {hash}"),
        "--drop-message run-".to_owned(),
        "--terminate-vat v3".to_owned(),
    ] {
        assert!(report.contains(&part), "{part}: {report}");
    }
}

#[test]
fn a_block_that_ends_the_process_is_named_and_what_is_deadly_is_taken_out() {
    for (method, signals, option) in [
        ("i-abort", &[6][..], "--skip-tx"),
        // Rust's handler of a stack overflow aborts.
        ("i-overflow", &[6, 11], "--drop-message"),
        ("i-kill", &[9], "--terminate-vat"),
    ] {
        let place = Place::new();
        let node = homes(&place, 0).pop().unwrap();
        let process = node.start();
        node.reaches(1);
        let mut alice = Account::dev(0);
        let first = alice.calls(&["increment"]);
        node.send_and_wait(alice.tx(first));
        let deadly = alice.calls(&[method]);
        let deadly = alice.tx(deadly);
        node.send_deadly(deadly.clone());
        let ended = |process: Process| {
            let status = process.ended();
            assert!(status.signal().is_some_and(|signal| signals.contains(&signal)), "{status}");
        };
        ended(process);
        // There is no report yet: a process that is killed writes none.
        assert!(!node.home.join("fatal.txt").exists());
        let mut height = 0;
        for times in 1..=2 {
            ended(node.start());
            height = node.died_at();
            assert_names(&node.report(), height, &deadly, &alice.address(), times);
        }
        node.run_printed(option);
        let home = node.home.to_str().unwrap();
        let other = ["override", "--home", home, "--drop-message", "run-9999"];
        place.run(&other).assert_failed(1, "--replace");
        let process = node.start();
        node.reaches(height);
        let report = node.report();
        assert!(report.contains("again now with an override that is new."), "{report}");
        assert!(!report.contains("capstan override --home"), "{report}");
        let ends = option == "--terminate-vat";
        let status = node.client().vat("v3").unwrap().status;
        assert_eq!(status == "running", !ends, "{option}: {status}");
        // The chain goes on, and what is committed is not told again.
        std::fs::remove_file(node.home.join("fatal.txt")).unwrap();
        let mut bob = Account::dev(1);
        let next = bob.calls(&["increment"]);
        let next = node.send_and_wait(bob.tx(next));
        // A process that is killed between blocks leaves nothing to tell.
        let client = node.client();
        Deadline::after(PATIENCE).poll("a chain at rest", || height_at_rest(&client)).unwrap();
        drop(process);
        let process = node.start();
        node.reaches(next);
        assert!(!node.home.join("fatal.txt").exists(), "{}", node.report());
        drop(process);
    }
}

#[test]
fn four_validators_die_at_a_block_and_go_on_by_the_command_that_each_prints() {
    let place = Place::new();
    let nodes = homes(&place, VALIDATORS);
    let mut running: Vec<Process> = nodes.iter().map(Node::start).collect();
    nodes.iter().for_each(|node| node.reaches(1));
    let (mut alice, mut bob, mut height) = (Account::dev(0), Account::dev(1), 0);
    // Who comes first is given the first vat.
    let first = alice.calls(&["increment"]);
    nodes[0].send_and_wait(alice.tx(first));
    for (option, method) in
        [("--skip-tx", "i-abort1"), ("--drop-message", "i-abort2"), ("--terminate-vat", "i-abort3")]
    {
        let deadly = alice.calls(&[method]);
        let deadly = alice.tx(deadly);
        nodes[0].send_deadly(deadly.clone());
        let died = |process: Process| assert_eq!(process.ended().signal(), Some(6));
        running.drain(..).for_each(died);
        // CometBFT hands the block to each of them again.
        let again: Vec<Process> = nodes.iter().map(Node::start).collect();
        again.into_iter().for_each(died);
        for node in &nodes {
            height = node.died_at();
            assert_eq!(height, nodes[0].died_at());
            assert_names(&node.report(), height, &deadly, &alice.address(), 1);
        }
        let (last, first) = nodes.split_last().unwrap();
        first.iter().for_each(|node| node.run_printed(option));
        running.extend(first.iter().map(Node::start));
        first.iter().for_each(|node| node.reaches(height));
        // Without the override there is no way on.
        died(last.start());
        assert_names(&last.report(), height, &deadly, &alice.address(), 2);
        last.run_printed(option);
        running.push(last.start());
        last.reaches(height);
        if option == "--skip-tx" {
            // Its sequence was not used.
            alice.sequence -= 1;
        }
        let next = bob.calls(&["increment"]);
        let next = nodes[3].send_and_wait(bob.tx(next));
        nodes.iter().for_each(|node| node.reaches(next));
        let hash = |node: &Node, height: u64| {
            let results =
                node.client().call_json("block_results", json!({"height": height.to_string()}));
            results.unwrap()["app_hash"].as_str().unwrap().to_owned()
        };
        for at in [height, next] {
            let hashes: Vec<String> = nodes.iter().map(|node| hash(node, at)).collect();
            assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "block {at}: {hashes:?}");
        }
    }
    assert_ne!(nodes[0].client().vat("v3").unwrap().status, "running");
}

#[test]
fn a_node_that_is_told_to_stop_in_the_middle_of_a_block_does_not_blame_the_block() {
    let place = Place::new();
    let genesis = raw_genesis(|genesis| {
        genesis.app_state.params.block_computrons = 10_000_000_000;
    });
    let node = homes_of(&place, 1, genesis).pop().unwrap();
    let dev = place.comet_at(&node.home);
    let mut alice = Account::dev(0);
    let client = Client::new(dev.url()).unwrap();
    // A block that takes a while.
    let work = alice.calls(&["work"; 64]);
    client.broadcast_sync(&SignedTx::from_bytes(alice.tx(work))).unwrap();
    assert!(dev.stop("TERM").success());
    let dev = place.comet_at(&node.home);
    assert!(!node.home.join("fatal.txt").exists(), "{}", node.report());
    assert!(dev.stop("TERM").success());
}
