//! The end of a critical vat: every node stops at the same block with a report, nothing of the block is committed, and a
//! restart stops at the same place again.
#![allow(clippy::unwrap_used)] // tests

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use capstan_app::{App, AppOptions, FatalHandler, FatalReport, TraceOptions};
use capstan_genesis::Genesis;
use capstan_store::Store;
use capstan_tests::{Account, Options, host, raw_genesis};
use capstan_vat_host::WasmHost;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, RequestInfo, RequestInitChain};

/// A node whose reports are kept.
struct Node {
    app: App<WasmHost>,
    reports: Arc<Mutex<Vec<FatalReport>>>,
}

impl Node {
    fn open(home: &Path) -> Self {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&reports);
        let on_fatal =
            FatalHandler::call_back(move |report| kept.lock().unwrap().push(report.clone()));
        let trace = Some(TraceOptions { dir: home.join("traces"), keep_blocks: 100 });
        let store = Store::open(home.join("state"), capstan_store::Options::default()).unwrap();
        let options = AppOptions { on_fatal, trace, ..AppOptions::default() };
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
        let height = self.app.info(RequestInfo::default()).last_block_height + 1;
        let txs = txs.iter().map(|tx| tx.clone().into()).collect();
        let request = RequestFinalizeBlock { height, txs, ..RequestFinalizeBlock::default() };
        self.app.finalize_block(request).app_hash.to_vec()
    }

    /// Executes a block at which the node stops; the report.
    fn stops_at(&self, txs: &[Vec<u8>]) -> FatalReport {
        let done = catch_unwind(AssertUnwindSafe(|| self.finalize(txs)));
        assert!(done.is_err(), "the node does not stop");
        self.reports.lock().unwrap().pop().unwrap()
    }
}

/// A chain on which the vat `a` of the first account is critical.
fn genesis() -> Genesis {
    raw_genesis(|genesis| {
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
