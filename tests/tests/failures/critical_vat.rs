//! The end of a critical vat: every node stops at the same block with a report, nothing of the block is committed, and a
//! restart stops at the same place again.
#![allow(clippy::unwrap_used)] // tests

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use capstan_app::{
    App, AppOptions, FatalHandler, FatalReport, OperatorFiles, Override, TraceOptions,
};
use capstan_genesis::Genesis;
use capstan_store::Store;
use capstan_tests::{Account, Options, host, raw_genesis};
use capstan_vat_host::WasmHost;
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    RequestFinalizeBlock, RequestInfo, RequestInitChain, RequestQuery, ResponseFinalizeBlock,
};

/// A node whose reports are kept.
struct Node {
    app: App<WasmHost>,
    reports: Arc<Mutex<Vec<FatalReport>>>,
}

impl Node {
    fn open(home: &Path) -> Self {
        Self::open_with(home, vec![])
    }

    fn open_with(home: &Path, overrides: Vec<Override>) -> Self {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&reports);
        let on_fatal =
            FatalHandler::call_back(move |report| kept.lock().unwrap().push(report.clone()));
        let trace =
            Some(TraceOptions { dir: home.join("traces"), keep_blocks: 100, max_bytes: 1 << 30 });
        let store = Store::open(home.join("state"), capstan_store::Options::default()).unwrap();
        let operator = Some(OperatorFiles {
            home: PathBuf::from("/node"),
            running: home.join("running"),
            report: home.join("fatal.txt"),
        });
        let options = AppOptions { on_fatal, trace, overrides, operator, ..AppOptions::default() };
        Self { app: App::new(store, host(&Options::raw()), options).unwrap(), reports }
    }

    fn start(home: &Path, genesis: &Genesis) -> Self {
        let node = Self::open(home);
        node.app.init_chain(RequestInitChain {
            chain_id: genesis.chain_id.clone(),
            initial_height: 1,
            app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
            ..RequestInitChain::default()
        });
        node
    }

    fn finalize(&self, txs: &[Vec<u8>]) -> Vec<u8> {
        self.execute(txs).app_hash.to_vec()
    }

    fn execute(&self, txs: &[Vec<u8>]) -> ResponseFinalizeBlock {
        let height = self.app.info(RequestInfo::default()).last_block_height + 1;
        let txs = txs.iter().map(|tx| tx.clone().into()).collect();
        let request = RequestFinalizeBlock { height, txs, ..RequestFinalizeBlock::default() };
        self.app.finalize_block(request)
    }

    /// Executes a block at which the node stops; the report.
    fn stops_at(&self, txs: &[Vec<u8>]) -> FatalReport {
        let done = catch_unwind(AssertUnwindSafe(|| self.finalize(txs)));
        assert!(done.is_err(), "the node does not stop");
        self.reports.lock().unwrap().pop().unwrap()
    }
}

/// A chain on which the vat `a` of the first account is critical, and whose blocks leave nothing over.
fn genesis() -> Genesis {
    raw_genesis(|genesis| {
        genesis.app_state.params.block_computrons = 10_000_000;
        genesis.app_state.kernel.vats.get_mut("a").unwrap().critical = true;
    })
}

/// The blocks before the last, and the last.
fn story() -> (Vec<Vec<Vec<u8>>>, Vec<Vec<u8>>) {
    let (mut alice, mut bob) = (Account::dev(0), Account::dev(1));
    let tx = alice.calls(&["increment"]);
    let second = bob.calls(&["increment", "grow"]);
    let before = vec![vec![], vec![alice.tx(tx)], vec![bob.tx(second)]];
    let last = alice.calls(&["die"]);
    (before, vec![alice.tx(last)])
}

#[test]
fn every_node_stops_at_the_same_block_and_stops_there_again() {
    let (before, last) = story();
    let mut reports = Vec::new();
    for _ in 0..3 {
        let home = tempfile::tempdir().unwrap();
        let node = Node::start(home.path(), &genesis());
        for txs in &before {
            node.finalize(txs);
            node.app.commit();
        }
        let committed = node.app.info(RequestInfo::default());
        let report = node.stops_at(&last);
        // A block without the transaction would be another one: nothing of this one is left.
        assert_eq!(node.app.info(RequestInfo::default()), committed);
        drop(node);
        for _ in 0..2 {
            let node = Node::open(home.path());
            assert_eq!(node.app.info(RequestInfo::default()), committed);
            assert_eq!(node.stops_at(&last), report, "after a restart");
        }
        let trace = capstan_app::trace::BlockTrace::read(&home.path().join("traces"), 4).unwrap();
        assert_eq!(trace.app_hash, None, "the block did not come to its end");
        let deadly = trace.links.last().unwrap();
        assert!(deadly.about.concat().contains("die"), "{:?}", deadly.about);
        reports.push(report);
    }
    assert!(reports.windows(2).all(|pair| pair[0] == pair[1]), "{reports:?}");
    let report = &reports[0];
    assert_eq!((report.everywhere, report.exit_code(), report.committed_height), (true, 70, 3));
    let text = report.to_string();
    for part in [
        "critical vat v3 failed",
        "v3 (a)",
        "block     4",
        "to v3: message",
        "die",
        "unreachable",
        "capstan recover",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (hash, place) = (hash_of(&last[0]), place_of(report));
    let signer = Account::dev(0).address();
    let led = format!("led to by transaction {hash} of {signer}, message 0 (/");
    assert!(text.contains(&led), "{led}: {text}");
    let commands: Vec<&str> = report.remedies.iter().map(|way| way.command.as_str()).collect();
    let options = [
        format!("--skip-tx {hash}"),
        format!("--drop-message {place}"),
        "--uncritical v3".to_owned(),
    ];
    let expected = options.map(|option| format!("capstan override --home /node {option}"));
    assert_eq!(commands, expected);
    assert!(expected.iter().all(|command| text.contains(command)), "{text}");
}

fn hash_of(tx: &[u8]) -> String {
    hex::encode_upper(Sha256::digest(tx))
}

/// Returns the queue and place of the message at which the node stopped.
fn place_of(report: &FatalReport) -> String {
    report.last.as_ref().unwrap().place.unwrap().to_string()
}

#[test]
fn the_chain_goes_on_if_a_vat_that_is_not_critical_ends() {
    let (before, last) = story();
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path(), &raw_genesis(|_| {}));
    for txs in before.iter().chain([&last, &vec![]]) {
        node.finalize(txs);
        node.app.commit();
    }
    assert!(node.reports.lock().unwrap().is_empty());
}

/// A home whose chain has stopped at its block 4, the app hash under it, and where the deadly message lay.
fn stopped(last: &[Vec<u8>], before: &[Vec<Vec<u8>>]) -> (tempfile::TempDir, String, String) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path(), &genesis());
    for txs in before {
        node.finalize(txs);
        node.app.commit();
    }
    let place = place_of(&node.stops_at(last));
    let hash = node.app.info(RequestInfo::default()).last_block_app_hash;
    (home, hex::encode(hash), place)
}

fn agreed(hash: &str, action: &str) -> Override {
    let document = format!(r#"{{"height":4,"app_hash":"{hash}",{action}}}"#);
    Override::from_json(document.as_bytes()).unwrap()
}

fn status(node: &Node, vat: &str) -> String {
    let request = RequestQuery { path: format!("vats/{vat}"), ..RequestQuery::default() };
    let answer: serde_json::Value = serde_json::from_slice(&node.app.query(request).value).unwrap();
    answer["status"].as_str().unwrap().to_owned()
}

/// Executes and commits the block on a copy of the home with an override; the node, its app hash and the codes.
fn goes_on(home: &Path, with: &Override, last: &[Vec<u8>]) -> (Node, Vec<u8>, Vec<u32>) {
    let node = Node::open_with(home, vec![with.clone()]);
    let done = node.execute(last);
    node.app.commit();
    (node, done.app_hash.to_vec(), done.tx_results.iter().map(|result| result.code).collect())
}

/// A copy of what a node has on disk.
fn copy(home: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("state")).unwrap();
    for file in std::fs::read_dir(home.join("state")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join("state").join(file.file_name())).unwrap();
    }
    copy
}

#[test]
fn with_an_agreed_override_nodes_go_on_alike_and_without_it_they_stop_as_before() {
    let (before, last) = story();
    let (home, hash, place) = stopped(&last, &before);
    let skip = format!(r#""skip_transactions":["{}"]"#, hash_of(&last[0]));
    // The message is sent in the block itself.
    let drop_it = format!(r#""drop_messages":["{place}"]"#);
    let ways = [r#""uncritical":["v3"]"#, &skip, &drop_it, r#""terminate":["v3"]"#];
    let overrides = ways.map(|way| agreed(&hash, way));
    let mut hashes = Vec::new();
    for (with, (code, runs)) in
        overrides.iter().zip([(0, false), (23, true), (0, true), (0, false)])
    {
        let homes = [copy(home.path()), copy(home.path())];
        let results = homes.each_ref().map(|home| goes_on(home.path(), with, &last));
        assert_eq!(results[0].1, results[1].1, "nodes with one override agree");
        hashes.push(results[0].1.clone());
        for (node, _, codes) in results {
            assert_eq!(codes, [code]);
            assert_eq!(status(&node, "v3") == "running", runs);
        }
        // It is in the past now: the next blocks need none.
        let node = Node::open(homes[0].path());
        node.finalize(&[]);
        node.app.commit();
    }
    let different: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), 4, "the override is part of what the chain comes to");
    let node = Node::open(home.path());
    assert!(node.stops_at(&last).everywhere);
}

#[test]
fn a_deadly_message_on_the_queue_is_dropped_by_agreement() {
    let mut alice = Account::dev(0);
    // More work than one block has room for: the last message is committed on the queue.
    let tx = alice.calls(&["work", "work", "work", "work", "die"]);
    let before = vec![vec![], vec![alice.tx(tx)]];
    let home = tempfile::tempdir().unwrap();
    let mut genesis = genesis();
    genesis.app_state.params.block_computrons = 100_000;
    let node = Node::start(home.path(), &genesis);
    for txs in &before {
        node.finalize(txs);
        node.app.commit();
    }
    while catch_unwind(AssertUnwindSafe(|| node.finalize(&[]))).is_ok() {
        node.app.commit();
    }
    // The report names the transaction of an earlier block, also after a restart, as long as there are traces.
    let report = node.reports.lock().unwrap().pop().unwrap();
    let led = format!(
        "led to by transaction {} of {}, message 4",
        hash_of(&before[1][0]),
        alice.address()
    );
    assert!(report.to_string().contains(&led), "{led}: {report}");
    assert!(!report.to_string().contains("--skip-tx"), "the block has no transaction: {report}");
    let stands = node.app.info(RequestInfo::default());
    let request = RequestQuery { path: "kernel/run-queue".to_owned(), ..RequestQuery::default() };
    let queue: serde_json::Value = serde_json::from_slice(&node.app.query(request).value).unwrap();
    let events = ["run_queue", "acceptance_queue"].map(|name| queue[name].as_array().unwrap());
    let deadly = events.into_iter().flatten().find(|event| event.to_string().contains("die"));
    let deadly: serde_json::Value =
        serde_json::from_str(deadly.unwrap().as_str().unwrap()).unwrap();
    let promise = deadly["msg"]["result"].as_str().unwrap();
    drop(node);
    assert_eq!(Node::open(home.path()).stops_at(&[]), report);
    let bare = copy(home.path());
    let untraced = Node::open(bare.path()).stops_at(&[]).to_string();
    let unknown = format!("unknown: queued before height {}", stands.last_block_height + 1);
    assert!(untraced.contains(&unknown), "{unknown}: {untraced}");
    let hash = hex::encode(&stands.last_block_app_hash);
    let document = |result: &str| {
        let height = stands.last_block_height + 1;
        format!(r#"{{"height":{height},"app_hash":"{hash}","drop_messages":["{result}"]}}"#)
    };
    let lets_it_end = document("kp9999").replace('{', r#"{"uncritical":["v3"],"#);
    let unknown = Override::from_json(lets_it_end.as_bytes()).unwrap();
    let report = Node::open_with(home.path(), vec![unknown]).stops_at(&[]);
    assert!(!report.everywhere && report.cause.contains("no message kp9999 came"), "{report}");
    for name in [promise, &place_of(&report)] {
        let drop_it = Override::from_json(document(name).as_bytes()).unwrap();
        let home = copy(home.path());
        let (node, ..) = goes_on(home.path(), &drop_it, &[]);
        assert_eq!(status(&node, "v3"), "running", "{deadly}");
        // What was queued behind it takes a few blocks more. Its sender is told.
        for _ in 0..10 {
            node.finalize(&[]);
            node.app.commit();
        }
        let path = format!("txs/{}/4", hash_of(&before[1][0]));
        let request = RequestQuery { path, ..RequestQuery::default() };
        let answer = String::from_utf8(node.app.query(request).value.to_vec()).unwrap();
        assert!(answer.contains("rejected") && answer.contains("dropped by agreement"), "{answer}");
    }
}

#[test]
fn an_override_for_another_state_or_of_what_is_not_there_stops_the_node_with_the_reason() {
    let (before, last) = story();
    let (home, hash, _) = stopped(&last, &before);
    let other = "00".repeat(32);
    let nowhere = format!(r#""skip_transactions":["{other}"]"#);
    for (with, part) in [
        (agreed(&other, r#""uncritical":["v3"]"#), "it is for app hash"),
        (agreed(&hash, r#""uncritical":["v99"]"#), "there is no vat v99"),
        (agreed(&hash, &nowhere), "has no transaction"),
        (agreed(&hash, r#""terminate":["v99"]"#), "there is no vat v99, or it has ended"),
        (
            agreed(&hash, r#""drop_messages":["run-9999"],"uncritical":["v3"]"#),
            "no message run-9999 came in the block",
        ),
    ] {
        let node = Node::open_with(home.path(), vec![with]);
        let committed = node.app.info(RequestInfo::default());
        let report = node.stops_at(&last);
        assert!(!report.everywhere && report.cause.contains(part), "{report}");
        assert_eq!(node.app.info(RequestInfo::default()), committed);
    }
    let twice =
        vec![agreed(&hash, r#""uncritical":["v3"]"#), agreed(&hash, r#""uncritical":["v4"]"#)];
    let store = Store::open(home.path().join("state"), capstan_store::Options::default()).unwrap();
    let options = AppOptions { overrides: twice, ..AppOptions::default() };
    let error = App::new(store, host(&Options::raw()), options).unwrap_err().to_string();
    assert!(error.contains("another one for the same block"), "{error}");
}
