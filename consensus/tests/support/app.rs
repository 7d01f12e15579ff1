//! A small application that consensus runs in tests: a key-value store with a queue, kept in a file.
//!
//! A transaction is `KEY=VALUE`. Some keys mean something: `queue` puts VALUE items on a queue, of
//! which every block takes one, so that the app hash changes without transactions; `fail` fails in
//! the block; `bad` is refused by `CheckTx`; `once.X` is refused once `once.X` is set; `leave` is
//! left out of every block; `gas` wants VALUE gas; `maxgas` sets the block's gas limit; `rich` has
//! events of all kinds; `panic` panics; `validator` changes the validators; `slow` makes the block wait until [`TestApp::release`].

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)] // shared by several test binaries, each of which uses a part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use prost::bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    Event, EventAttribute, ExecTxResult, RequestCheckTx, RequestFinalizeBlock, RequestInfo,
    RequestInitChain, RequestPrepareProposal, RequestQuery, ResponseCheckTx, ResponseCommit,
    ResponseFinalizeBlock, ResponseInfo, ResponseInitChain, ResponsePrepareProposal, ResponseQuery,
    ValidatorUpdate,
};
use tendermint_proto::v0_38::crypto::{ProofOp, ProofOps, PublicKey, public_key::Sum};
use tendermint_proto::v0_38::types::{BlockParams, ConsensusParams};

#[derive(Clone)]
pub struct TestApp {
    path: PathBuf,
    inner: Arc<Mutex<Inner>>,
    released: Arc<(Mutex<bool>, Condvar)>,
    slow: Arc<AtomicBool>,
}

struct Inner {
    committed: State,
    finalized: Option<State>,
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct State {
    height: i64,
    queue: u64,
    data: BTreeMap<String, String>,
}

impl State {
    /// The height is not hashed: a block that changes nothing leaves the hash as it is.
    fn hash(&self) -> Bytes {
        let text = serde_json::to_vec(&(self.queue, &self.data)).unwrap();
        Bytes::copy_from_slice(&Sha256::digest(text))
    }
}

impl TestApp {
    /// Opens the application in `dir`.
    pub fn open(dir: &Path) -> Self {
        let path = dir.join("app.json");
        let committed = std::fs::read(&path)
            .map(|bytes| serde_json::from_slice(&bytes).unwrap())
            .unwrap_or_default();
        let inner = Arc::new(Mutex::new(Inner { committed, finalized: None }));
        Self { path, inner, released: Arc::default(), slow: Arc::default() }
    }

    /// The file that it is kept in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a `slow` block has begun.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::SeqCst)
    }

    /// Lets `slow` blocks go on.
    #[allow(dead_code)]
    pub fn release(&self) {
        *self.released.0.lock().unwrap() = true;
        self.released.1.notify_all();
    }

    fn deliver(&self, state: &mut State, tx: &[u8]) -> (ExecTxResult, Option<BlockParams>) {
        let (key, value) = parse(tx);
        let mut params = None;
        match key.as_str() {
            "fail" => {
                return (
                    ExecTxResult { code: 5, log: "it fails".into(), ..Default::default() },
                    None,
                );
            }
            "panic" => panic!("told to panic"),
            "slow" => {
                self.slow.store(true, Ordering::SeqCst);
                let released = self.released.0.lock().unwrap();
                drop(self.released.1.wait_while(released, |released| !*released).unwrap());
            }
            "queue" => state.queue += value.parse::<u64>().unwrap(),
            "maxgas" => {
                params =
                    Some(BlockParams { max_bytes: 22_020_096, max_gas: value.parse().unwrap() })
            }
            _ => {}
        }
        state.data.insert(key.clone(), value.clone());
        let attribute = |key: &str, value: &str, index| EventAttribute {
            key: key.into(),
            value: value.into(),
            index,
        };
        let attributes = vec![
            attribute("key", &key, true),
            attribute("value", &value, true),
            attribute("hidden", "no", false),
        ];
        let mut events = vec![Event { r#type: "app".into(), attributes }];
        if key == "rich" {
            events.extend(rich_events());
            let result = ExecTxResult { events, info: "rich".into(), ..Default::default() };
            return (result, params);
        }
        let data = Bytes::from(value.into_bytes());
        (ExecTxResult { data, events, gas_wanted: 1, gas_used: 1, ..Default::default() }, params)
    }
}

/// Events with all kinds of values, and with empty ones.
fn rich_events() -> Vec<Event> {
    let attribute = |key: &str, value: &str| EventAttribute {
        key: key.into(),
        value: value.into(),
        index: true,
    };
    let pairs = [
        ("number", "12"),
        ("decimal", "1.5"),
        ("negative", "-5"),
        ("huge", "123456789012345678901234567890"),
        ("date", "2025-05-01"),
        ("time", "2025-05-01T10:00:00Z"),
        ("empty", ""),
        ("", "without a key"),
        ("twice", "x"),
        ("twice", "y"),
    ];
    let attributes = pairs.map(|(key, value)| attribute(key, value)).to_vec();
    let bare = |name: &str| Event { r#type: name.into(), attributes: Vec::new() };
    let nameless = Event { r#type: String::new(), attributes: vec![attribute("k", "v")] };
    vec![Event { r#type: "rich".into(), attributes }, bare("bare"), bare(""), nameless]
}

/// `validator=POWER:BYTE` sets the power of the validator whose key is 32 times the byte.
fn validator_update(tx: &[u8]) -> Option<ValidatorUpdate> {
    let (key, value) = parse(tx);
    let (power, byte) = value.split_once(':').filter(|_| key == "validator")?;
    let key = vec![byte.parse().unwrap(); 32];
    let pub_key = Some(PublicKey { sum: Some(Sum::Ed25519(key)) });
    Some(ValidatorUpdate { pub_key, power: power.parse().unwrap() })
}

fn parse(tx: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(tx);
    let (key, value) = text.split_once('=').unwrap_or((&text, ""));
    (key.to_owned(), value.to_owned())
}

impl Application for TestApp {
    fn info(&self, _: RequestInfo) -> ResponseInfo {
        let inner = self.inner.lock().unwrap();
        let last_block_height = inner.committed.height;
        let last_block_app_hash =
            if last_block_height == 0 { Bytes::new() } else { inner.committed.hash() };
        ResponseInfo {
            data: "test".into(),
            version: "1".into(),
            app_version: 3,
            last_block_height,
            last_block_app_hash,
        }
    }

    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        let mut inner = self.inner.lock().unwrap();
        let app_state: serde_json::Value =
            serde_json::from_slice(&request.app_state_bytes).unwrap();
        let mut state = State { height: request.initial_height - 1, ..State::default() };
        state.data.insert("genesis".into(), app_state.to_string());
        let app_hash = state.hash();
        inner.finalized = None;
        inner.committed = state;
        ResponseInitChain { app_hash, ..Default::default() }
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        let inner = self.inner.lock().unwrap();
        let key = String::from_utf8_lossy(&request.data).into_owned();
        let height = inner.committed.height;
        match inner.committed.data.get(&key) {
            _ if request.path != "/key" => ResponseQuery {
                code: 9,
                log: format!("no path {:?}", request.path),
                height,
                ..Default::default()
            },
            None => ResponseQuery {
                code: 1,
                log: "not there".into(),
                height,
                key: request.data,
                ..Default::default()
            },
            Some(value) => {
                let op = ProofOp { r#type: "test".into(), key: key.into_bytes(), data: vec![1, 2] };
                let proof_ops = request.prove.then(|| ProofOps { ops: vec![op] });
                let value = Bytes::copy_from_slice(value.as_bytes());
                ResponseQuery { key: request.data, value, proof_ops, height, ..Default::default() }
            }
        }
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        let (key, value) = parse(&request.tx);
        let inner = self.inner.lock().unwrap();
        if key == "bad" || (key.starts_with("once") && inner.committed.data.contains_key(&key)) {
            return ResponseCheckTx {
                code: 7,
                log: "refused".into(),
                codespace: "test".into(),
                ..Default::default()
            };
        }
        let gas_wanted = if key == "gas" { value.parse().unwrap() } else { 1 };
        ResponseCheckTx { gas_wanted, ..Default::default() }
    }

    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        ResponsePrepareProposal {
            txs: request.txs.into_iter().filter(|tx| parse(tx).0 != "leave").collect(),
        }
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        let mut state = self.inner.lock().unwrap().committed.clone();
        assert_eq!(request.height, state.height.max(0) + 1, "blocks come in order");
        state.height = request.height;
        state.queue = state.queue.saturating_sub(1);
        let (tx_results, params): (Vec<_>, Vec<_>) =
            request.txs.iter().map(|tx| self.deliver(&mut state, tx)).unzip();
        let consensus_param_updates = params
            .into_iter()
            .flatten()
            .last()
            .map(|block| ConsensusParams { block: Some(block), ..ConsensusParams::default() });
        let validator_updates = request.txs.iter().filter_map(|tx| validator_update(tx)).collect();
        let app_hash = state.hash();
        let attribute =
            EventAttribute { key: "left".into(), value: state.queue.to_string(), index: true };
        self.inner.lock().unwrap().finalized = Some(state);
        ResponseFinalizeBlock {
            events: vec![Event { r#type: "queue".into(), attributes: vec![attribute] }],
            tx_results,
            consensus_param_updates,
            validator_updates,
            app_hash,
        }
    }

    fn commit(&self) -> ResponseCommit {
        let mut inner = self.inner.lock().unwrap();
        inner.committed = inner.finalized.take().expect("FinalizeBlock before Commit");
        // Written beside and renamed: a killed process leaves the old state or the new one.
        let temporary = self.path.with_extension("tmp");
        std::fs::write(&temporary, json!(inner.committed).to_string()).unwrap();
        std::fs::rename(&temporary, &self.path).unwrap();
        ResponseCommit::default()
    }
}
