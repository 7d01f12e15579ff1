//! Any event that comes off a queue in a block can be taken out of it: the chain goes on, or stops on every node alike.
#![allow(clippy::unwrap_used)] // tests

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use capstan_app::trace::BlockTrace;
use capstan_app::{App, AppOptions, FatalHandler, FatalReport, Override, TraceOptions};
use capstan_store::Store;
use capstan_tests::{Account, Options, host, raw_genesis};
use capstan_vat_host::WasmHost;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, RequestInfo, RequestInitChain};

struct Node {
    app: App<WasmHost>,
    reports: Arc<Mutex<Vec<FatalReport>>>,
}

impl Node {
    /// A node that has executed and committed the first `blocks`, all if there is no trouble.
    fn run(home: &Path, with: Option<Override>, blocks: &[Vec<Vec<u8>>]) -> Self {
        let reports = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&reports);
        let on_fatal = FatalHandler::call_back(move |report: &FatalReport| {
            kept.lock().unwrap().push(report.clone());
        });
        let trace =
            Some(TraceOptions { dir: home.join("traces"), keep_blocks: 100, max_bytes: 1 << 30 });
        let overrides = with.into_iter().collect();
        let options = AppOptions { on_fatal, trace, overrides, ..AppOptions::default() };
        let app = App::new(Store::in_memory().unwrap(), host(&Options::raw()), options).unwrap();
        let genesis = raw_genesis(|genesis| {
            genesis.app_state.params.block_computrons = 50_000_000;
        });
        app.init_chain(RequestInitChain {
            chain_id: genesis.chain_id.clone(),
            initial_height: 1,
            app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
            ..RequestInitChain::default()
        });
        let node = Self { app, reports };
        for txs in blocks {
            if catch_unwind(AssertUnwindSafe(|| node.block(txs))).is_err() {
                break;
            }
        }
        node
    }

    fn block(&self, txs: &[Vec<u8>]) {
        let height = self.height() + 1;
        let txs = txs.iter().map(|tx| tx.clone().into()).collect();
        self.app.finalize_block(RequestFinalizeBlock {
            height,
            txs,
            ..RequestFinalizeBlock::default()
        });
        self.app.commit();
    }

    fn height(&self) -> i64 {
        self.app.info(RequestInfo::default()).last_block_height
    }

    fn hash(&self) -> String {
        hex::encode(self.app.info(RequestInfo::default()).last_block_app_hash)
    }
}

#[test]
fn any_event_of_a_block_can_be_taken_out() {
    let (mut alice, mut bob) = (Account::dev(0), Account::dev(1));
    let all = alice.calls(&["increment", "forward", "refuse", "x"]);
    let other = bob.calls(&["forward", "grow"]);
    let last = bob.calls(&["increment"]);
    let mut blocks = vec![vec![], vec![alice.tx(all), bob.tx(other)]];
    let idle = vec![vec![]; 5];
    let home = tempfile::tempdir().unwrap();
    let node = Node::run(home.path(), None, &blocks[..1]);
    let hash = node.hash();
    // The height and the app hash under it. Under the first block there is nothing.
    let empty = Store::in_memory().unwrap().app_hash().to_string();
    let heights = [(1, empty), (2, hash)];
    drop(node);
    drop(Node::run(home.path(), None, &blocks));
    let (mut messages, mut taken) = (0, 0);
    blocks.extend(idle);
    blocks.push(vec![bob.tx(last)]);
    for (height, hash) in heights {
        let trace = BlockTrace::read(&home.path().join("traces"), height).unwrap();
        for link in &trace.links {
            let Some(place) = link.place else { continue };
            let document =
                format!(r#"{{"height":{height},"app_hash":"{hash}","drop_messages":["{place}"]}}"#);
            let with = Override::from_json(document.as_bytes()).unwrap();
            let run = || {
                let home = tempfile::tempdir().unwrap();
                Node::run(home.path(), Some(with.clone()), &blocks)
            };
            let nodes = [run(), run()];
            assert_eq!(nodes[0].hash(), nodes[1].hash(), "{place}: {:?}", link.about);
            for node in nodes {
                let reports = node.reports.lock().unwrap();
                let why = || format!("{place}: {:?}: {reports:?}", link.about);
                match reports.first() {
                    Some(report) => assert!(report.everywhere, "{}", why()),
                    None => assert_eq!(node.height(), blocks.len() as i64, "{}", why()),
                }
            }
            taken += 1;
            messages += usize::from(link.about.concat().contains("send "));
        }
    }
    assert!(taken > 40 && messages > 10, "{taken} events, {messages} messages");
}
