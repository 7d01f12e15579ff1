//! One node of a chain whose blocks are measured.

use std::path::PathBuf;

use capstan_app::App;
use capstan_store::{Local, Store};
use capstan_vat_host::WasmHost;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, RequestInitChain, RequestQuery};

use super::gauge::cpu_time;
use super::{Cost, scales::Template};

/// A node, and where its chain stands.
#[derive(Debug)]
pub(super) struct Chain {
    dir: tempfile::TempDir,
    app: App<WasmHost>,
    height: i64,
}

/// What became of a block's transactions.
pub(super) type Codes = Vec<(u32, String)>;

impl Chain {
    /// A node on a copy of the template's state.
    pub(super) fn copy(template: &Template) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(state(&dir)).unwrap();
        for file in std::fs::read_dir(template.dir.path().join("state")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), state(&dir).join(file.file_name())).unwrap();
        }
        Self::open(dir, template, template.height)
    }

    /// A node of a new chain.
    pub(super) fn begin(template: &Template) -> Self {
        let chain = Self::open(tempfile::tempdir().unwrap(), template, 0);
        let genesis = &template.genesis;
        chain.app.init_chain(RequestInitChain {
            chain_id: genesis.chain_id.clone(),
            initial_height: genesis.initial_height,
            app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
            ..RequestInitChain::default()
        });
        chain
    }

    fn open(dir: tempfile::TempDir, template: &Template, height: i64) -> Self {
        let app = template.options.app_over(store(&dir)).unwrap();
        Self { dir, app, height }
    }

    /// Ends the node: the directory with its state, and the height.
    pub(super) fn end(self) -> (tempfile::TempDir, i64) {
        let Self { dir, app, height } = self;
        drop(app);
        (dir, height)
    }

    /// Executes and commits a block, and adds what it took.
    pub(super) fn block(&mut self, txs: &[Vec<u8>], cost: &mut Cost) -> Codes {
        self.height += 1;
        let request = RequestFinalizeBlock {
            height: self.height,
            txs: txs.iter().map(|tx| tx.clone().into()).collect(),
            time: Some(Timestamp { seconds: 1_767_225_600 + self.height, nanos: 0 }),
            ..RequestFinalizeBlock::default()
        };
        let [counted, written] = self.counters();
        let began = cpu_time();
        let done = self.app.finalize_block(request);
        self.app.commit();
        let cpu = cpu_time().saturating_sub(began);
        let [counted_after, written_after] = self.counters();
        let counted = counted_after - counted;
        cost.cpu += cpu;
        if cpu > cost.worst_block {
            (cost.worst_block, cost.worst_counted) = (cpu, counted);
        }
        cost.counted += counted;
        cost.written += written_after - written;
        cost.blocks += 1;
        done.tx_results.into_iter().map(|result| (result.code, result.log)).collect()
    }

    /// The computrons that blocks counted, and the bytes that they changed.
    fn counters(&self) -> [u64; 2] {
        let text = self.app.metrics_text().unwrap();
        ["capstan_block_computrons_total ", "capstan_written_bytes_total "].map(|name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no metric {name}")).trim().parse().unwrap()
        })
    }

    /// The number of cranks so far.
    pub(super) fn cranks(&self) -> u64 {
        number(&self.json("kernel/stats").unwrap()["cranks"]).unwrap()
    }

    /// Makes blocks until nothing is left to do, at most so many. Whether that was enough.
    pub(super) fn rest(&mut self, most: u64, cost: &mut Cost) -> bool {
        (0..most).any(|_| {
            let before = self.cranks();
            self.block(&[], cost);
            self.cranks() == before
        })
    }

    /// A JSON answer, or `None` if there is no such thing.
    pub(super) fn json(&self, path: &str) -> Option<Value> {
        let request = RequestQuery { path: path.to_owned(), ..RequestQuery::default() };
        let answer = self.app.query(request);
        (answer.code == 0).then(|| serde_json::from_slice(&answer.value).unwrap())
    }

    /// The result of a message.
    pub(super) fn result(&self, tx: &[u8], index: usize) -> Option<Value> {
        self.json(&format!("txs/{}/{index}", hex::encode_upper(Sha256::digest(tx))))
    }

    /// The computrons in all meters with a limit, and those that vats have deposited, which come back.
    pub(super) fn metered(&self) -> u128 {
        let remaining = |number: u64| self.json(&format!("meters/m{number}"));
        let meters = (1..).map_while(remaining).map(|meter| amount(&meter["remaining"]));
        let vats = self.json("vats?limit=1000").unwrap_or_default();
        let ids =
            vats["vats"].as_array().into_iter().flatten().filter_map(|vat| vat["vat_id"].as_str());
        let deposits = ids
            .filter_map(|id| self.json(&format!("vats/{id}/stats")))
            .map(|stats| stats["deposit"].as_str().and_then(|text| text.parse().ok()).unwrap());
        meters.chain(deposits).sum()
    }
}

/// A number that JSON has as a text. A meter without a limit has none.
fn amount(value: &Value) -> u128 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The length of an export of a state that no node has open.
pub(super) fn exported(dir: &tempfile::TempDir) -> u64 {
    let chunks = store(dir).reader().export(1 << 20, Local::all());
    chunks.map(|chunk| chunk.unwrap().len() as u64).sum()
}

/// A number of a JSON answer, where large ones are texts.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn state(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("state")
}

fn store(dir: &tempfile::TempDir) -> Store {
    // A checkpoint in the very block that writes much, and not in one after it.
    let options = capstan_store::Options {
        background: false,
        journal_bytes: 8 << 20,
        ..capstan_store::Options::default()
    };
    Store::open(state(dir), options).unwrap()
}
