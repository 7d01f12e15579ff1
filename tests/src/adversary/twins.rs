//! Two nodes of one chain that differ in whatever a node may choose.

use std::path::PathBuf;

use capstan_app::App;
use capstan_genesis::Genesis;
use capstan_store::{StateView, Store};
use capstan_vat_host::{Compiler, Compilers, MemoryMode, WasmHost};
use serde_json::Value;
use tendermint_abci::Application;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{
    RequestCheckTx, RequestFinalizeBlock, RequestInfo, RequestInitChain, RequestPrepareProposal,
    RequestProcessProposal, RequestQuery, ResponseFinalizeBlock,
};

use super::counts::{Differences, differences};
use crate::Options;

/// More than both nodes may take together.
const MOST_RESIDENT_KB: u64 = 4 << 20;

/// Two nodes that execute the same blocks.
#[derive(Debug)]
pub struct Twins {
    nodes: [Twin; 2],
    height: i64,
    /// The time of the last block, in seconds since 1970.
    pub time: i64,
    /// The objects that the kernel pins, once they are known.
    pinned: Option<Differences>,
    /// Vats that must run: ids and names.
    needed: Vec<(String, String)>,
}

#[derive(Debug)]
struct Twin {
    _dir: tempfile::TempDir,
    state: PathBuf,
    options: Options,
    store: capstan_store::Options,
    app: Option<App<WasmHost>>,
}

impl Twins {
    /// Two nodes of a new chain.
    pub fn start(genesis: &Genesis, options: Options) -> Self {
        let small = capstan_store::Options {
            cache_bytes: 4 << 20,
            journal_bytes: 200_000,
            ..capstan_store::Options::default()
        };
        // Where a chain has JavaScript vats at all, the engine is compiled once for good.
        let compilers = Compilers { engine: Compiler::Singlepass, modules: Compiler::Cranelift };
        let memory = MemoryMode::Copies;
        // Only the first node's vats run ahead, if the options say so.
        let (threads, chaos) = (1, None);
        let other = Options {
            compilers,
            memory,
            max_vats_online: Some(2),
            threads,
            chaos,
            ..options.clone()
        };
        let nodes =
            [Twin::new(options, capstan_store::Options::default()), Twin::new(other, small)];
        for node in &nodes {
            node.app().init_chain(RequestInitChain {
                chain_id: genesis.chain_id.clone(),
                initial_height: genesis.initial_height,
                app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
                ..RequestInitChain::default()
            });
        }
        Self { nodes, height: 0, time: 1_767_225_600, pinned: None, needed: vec![] }
    }

    /// The last block's height.
    pub fn height(&self) -> i64 {
        self.height
    }

    /// Asks from now on after each block that these vats run.
    pub(super) fn need(&mut self, vats: Vec<(String, String)>) {
        self.needed = vats;
    }

    /// Offers transactions to both nodes, as peers and proposers do: they judge alike.
    ///
    /// # Panics
    /// If a node stops or they do not agree.
    pub fn offer(&self, txs: &[Vec<u8>]) {
        let txs: Vec<_> = txs.iter().map(|tx| tx.clone().into()).collect();
        let judge = |node: &Twin| {
            let check = |tx| node.app().check_tx(RequestCheckTx { tx, ..Default::default() }).code;
            let codes: Vec<u32> = txs.iter().cloned().map(check).collect();
            let request = RequestPrepareProposal {
                max_tx_bytes: 1 << 22,
                txs: txs.clone(),
                ..Default::default()
            };
            let prepared = node.app().prepare_proposal(request).txs;
            let votes = [prepared.clone(), txs.clone()].map(|txs| {
                node.app()
                    .process_proposal(RequestProcessProposal { txs, ..Default::default() })
                    .status
            });
            (codes, prepared, votes)
        };
        let [one, other] = self.nodes.each_ref().map(judge);
        assert_eq!(one, other, "what the nodes think of a block after {}", self.height);
        assert_eq!(
            one.2[0],
            i32::from(ProposalStatus::Accept),
            "an honest block after {}",
            self.height
        );
    }

    /// Both nodes execute and commit the next block, and come to the same.
    ///
    /// # Panics
    /// If a node stops, they do not agree, they take more memory than they may, or a vat that must run does not.
    pub fn block(&mut self, txs: &[Vec<u8>]) -> ResponseFinalizeBlock {
        self.height += 1;
        let request = RequestFinalizeBlock {
            height: self.height,
            txs: txs.iter().map(|tx| tx.clone().into()).collect(),
            time: Some(Timestamp { seconds: self.time, nanos: 0 }),
            ..RequestFinalizeBlock::default()
        };
        let [one, other] = self.nodes.each_ref().map(|node| {
            let done = node.app().finalize_block(request.clone());
            node.app().commit();
            done
        });
        assert_eq!(one.tx_results, other.tx_results, "results of block {}", self.height);
        assert_eq!(one.app_hash, other.app_hash, "app hashes of block {}", self.height);
        let resident = resident_kb();
        assert!(resident < MOST_RESIDENT_KB, "{resident} kB of memory at block {}", self.height);
        for (id, name) in &self.needed {
            let vat = self.json(&format!("vats/{id}")).unwrap();
            assert_eq!(
                vat["status"],
                "running",
                "{name} after block {}: {}",
                self.height,
                short(&vat.to_string())
            );
        }
        one
    }

    /// Ends a node and starts it again from its disk.
    ///
    /// # Panics
    /// If it stands elsewhere afterwards, its store is damaged, or the kernel's counts are not what its tables hold.
    pub fn restart(&mut self, index: usize) {
        let mut found = Differences::new();
        self.look(index, |state| found = differences(state));
        let pinned = self.pinned.get_or_insert_with(|| found.clone());
        let wrong: Vec<_> = found
            .iter()
            .filter(|(kref, difference)| pinned.get(*kref) != Some(difference))
            .collect();
        assert!(wrong.is_empty(), "counts at block {}: {wrong:?}", self.height);
    }

    /// Ends a node, looks at its state, and starts it again from its disk.
    ///
    /// # Panics
    /// If it stands elsewhere afterwards, or its store is damaged.
    pub fn look(&mut self, index: usize, look: impl FnOnce(&StateView)) {
        let node = &mut self.nodes[index];
        let before = node.app().info(RequestInfo::default());
        node.app = None;
        let store = Store::open(&node.state, node.store.clone()).unwrap();
        let state = store.reader();
        state.check_integrity().unwrap();
        look(&state);
        drop(state);
        node.app = Some(node.options.app_over(store).unwrap());
        assert_eq!(node.app().info(RequestInfo::default()), before, "after a restart");
    }

    /// A JSON answer of the first node; none if there is no such thing.
    pub fn json(&self, path: &str) -> Option<Value> {
        let request = RequestQuery { path: path.to_owned(), ..RequestQuery::default() };
        let answer = self.nodes[0].app().query(request);
        (answer.code == 0).then(|| serde_json::from_slice(&answer.value).unwrap())
    }

    /// The sequence of an account's next transaction.
    pub fn sequence(&self, address: &str) -> u64 {
        let account = self.json(&format!("accounts/{address}")).unwrap();
        let sequence = &account["sequence"];
        sequence.as_u64().or_else(|| sequence.as_str()?.parse().ok()).unwrap()
    }
}

impl Twin {
    fn new(options: Options, store: capstan_store::Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let mut twin = Self { _dir: dir, state, options, store, app: None };
        let store = Store::open(&twin.state, twin.store.clone()).unwrap();
        twin.app = Some(twin.options.app_over(store).unwrap());
        twin
    }

    fn app(&self) -> &App<WasmHost> {
        self.app.as_ref().expect("it is only gone within `restart`")
    }
}

/// The beginning and the end of a text.
pub(super) fn short(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    match chars.len() {
        0..1_500 => text.to_owned(),
        length => chars[..500].iter().chain(&['…']).chain(&chars[length - 900..]).collect(),
    }
}

/// Returns how much memory this process has.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
