//! Every method of the JSON-RPC: its answer as `tendermint-rpc` reads it and as CometBFT writes it, and its errors.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::sync::{Arc, Condvar, Mutex};

use capstan_consensus::solo::{Clock, GenesisDoc, SoloConfig, SystemClock};
use serde_json::{Value, json};
use support::{Node, base64, config, decode, node_with_blocks, poll, tx_hash};
use tendermint::Time;
use tendermint_rpc::endpoint::{
    abci_info, abci_query, block, block_by_hash, block_results, blockchain, broadcast, commit,
    consensus_params, genesis, genesis_chunked, header, health, net_info, status, tx, tx_search,
    validators,
};
use tendermint_rpc::{Order, client::CompatMode};

const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;

/// All paths in a JSON value, with the kind of what is there. Lists are shown by their first
/// element.
fn shape(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), out))
            }
            Value::Array(list) if !list.is_empty() => walk(&list[0], &format!("{path}[]"), out),
            Value::Array(_) => out.push(format!("{path} empty")),
            Value::String(_) => out.push(format!("{path} text")),
            Value::Number(_) => out.push(format!("{path} number")),
            Value::Bool(_) => out.push(format!("{path} bool")),
            Value::Null => out.push(format!("{path} null")),
        }
    }
    let mut out = Vec::new();
    walk(value, "", &mut out);
    out.sort();
    out
}

fn header_shape(at: &str) -> Vec<String> {
    let texts = [
        "app_hash",
        "chain_id",
        "consensus_hash",
        "data_hash",
        "evidence_hash",
        "height",
        "last_block_id.hash",
        "last_block_id.parts.hash",
        "last_commit_hash",
        "last_results_hash",
        "next_validators_hash",
        "proposer_address",
        "time",
        "validators_hash",
        "version.app",
        "version.block",
    ];
    let mut shape: Vec<String> = texts.iter().map(|name| format!("{at}.{name} text")).collect();
    shape.push(format!("{at}.last_block_id.parts.total number"));
    shape
}

fn commit_shape(at: &str) -> Vec<String> {
    let fields = [
        "block_id.hash text",
        "block_id.parts.hash text",
        "block_id.parts.total number",
        "height text",
        "round number",
        "signatures[].block_id_flag number",
        "signatures[].signature text",
        "signatures[].timestamp text",
        "signatures[].validator_address text",
    ];
    fields.iter().map(|field| format!("{at}.{field}")).collect()
}

fn sorted(parts: &[Vec<String>]) -> Vec<String> {
    let mut all = parts.concat();
    all.sort();
    all
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn status_health_and_net_info() {
    let (_home, node) = node_with_blocks();
    let typed = node.rpc.typed(status::Request);
    assert_eq!(typed.node_info.network.as_str(), "test-1");
    assert_eq!(CompatMode::from_version(typed.node_info.version).unwrap(), CompatMode::V0_38);
    assert_eq!(typed.node_info.protocol_version.app, 3);
    assert!(!typed.sync_info.catching_up);
    assert_eq!(i64::from(typed.sync_info.latest_block_height), node.solo.height());
    assert_eq!(typed.sync_info.earliest_block_height.value(), 1);
    assert_eq!(typed.validator_info.power.value(), 10);
    let latest = node.rpc.typed(block::Request::default());
    assert_eq!(typed.sync_info.latest_block_hash, latest.block_id.hash);
    assert_eq!(typed.sync_info.latest_app_hash, latest.block.header.app_hash);
    node.rpc.typed(health::Request);
    assert_eq!(node.rpc.typed(net_info::Request).n_peers, 0);
}

#[test]
fn genesis_and_its_chunks() {
    let (_home, node) = node_with_blocks();
    let typed = node.rpc.typed(genesis::Request::<Value>::default());
    assert_eq!(typed.genesis.chain_id.as_str(), "test-1");
    assert_eq!(typed.genesis.initial_height, 1);
    assert_eq!(typed.genesis.app_state, json!({"accounts": []}));
    assert_eq!(typed.genesis.validators.len(), 1);
    let chunk = node.rpc.typed(genesis_chunked::Request::new(0));
    assert_eq!((chunk.chunk, chunk.total), (0, 1));
    let whole: Value = serde_json::from_slice(&chunk.data).unwrap();
    assert_eq!(whole, node.rpc.call("genesis", json!({}))["genesis"]);
    let (code, data) = node.rpc.error("genesis_chunked", json!({"chunk": "1"}));
    assert_eq!((code, data.as_str()), (INTERNAL_ERROR, "there are 0 chunks, 1 is invalid"));
}

#[test]
fn consensus_params_and_validators() {
    let (_home, node) = node_with_blocks();
    let params = node.rpc.typed(consensus_params::Request::new(Some(1_u32.into())));
    assert_eq!(params.consensus_params.block.max_bytes, 22_020_096);
    assert_eq!(params.consensus_params.version.unwrap().app, 0);
    node.rpc.commit("maxgas=55");
    let last = node.idle();
    let now = node.rpc.typed(consensus_params::Request::new(None));
    assert_eq!(
        (now.consensus_params.block.max_gas, now.block_height.value()),
        (55, u64::try_from(last + 1).unwrap())
    );
    let before = node.rpc.typed(consensus_params::Request::new(Some(2_u32.into())));
    assert_eq!(before.consensus_params.block.max_gas, -1);
    let set = node.rpc.typed(validators::Request::new(None, None, None));
    assert_eq!((set.total, set.validators.len()), (1, 1));
    let next = node.rpc.call("validators", json!({"height": (last + 1).to_string()}));
    assert_eq!(next["block_height"], (last + 1).to_string());
    assert_eq!(
        node.rpc.error("validators", json!({"height": (last + 2).to_string()})).0,
        INTERNAL_ERROR
    );
    assert_eq!(
        node.rpc.error("validators", json!({"page": "2"})).1,
        "page should be within [1, 1] range, given 2"
    );
}

#[test]
fn block_and_header_by_height_and_by_hash() {
    let (_home, node) = node_with_blocks();
    let typed = node.rpc.typed(block::Request::new(2_u32.into()));
    assert_eq!(typed.block.data, [b"a=1".to_vec()]);
    let by_hash = node.rpc.typed(block_by_hash::Request::new(typed.block_id.hash));
    assert_eq!(by_hash.block.unwrap(), typed.block);
    let absent = node.rpc.typed(block_by_hash::Request::new(tendermint::Hash::Sha256([9; 32])));
    assert_eq!(absent.block, None);
    let header = node.rpc.typed(header::Request::new(2_u32.into()));
    assert_eq!(header.header, typed.block.header);

    let raw = node.rpc.call("block", json!({"height": "2"}));
    let expected = sorted(&[
        header_shape(".block.header"),
        commit_shape(".block.last_commit"),
        strings(&[
            ".block.data.txs[] text",
            ".block.evidence.evidence empty",
            ".block_id.hash text",
            ".block_id.parts.hash text",
            ".block_id.parts.total number",
        ]),
    ]);
    assert_eq!(shape(&raw), expected);
    let first = node.rpc.call("block", json!({"height": "1"}));
    let empty = json!({
        "height": "0", "round": 0, "block_id": {"hash": "", "parts": {"total": 0, "hash": ""}}, "signatures": [],
    });
    assert_eq!(first["block"]["last_commit"], empty);
    assert_eq!(first["block"]["header"]["last_block_id"], empty["block_id"]);
    let nothing = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    for field in ["last_commit_hash", "data_hash", "last_results_hash", "evidence_hash"] {
        assert_eq!(first["block"]["header"][field], nothing, "{field}");
    }
}

#[test]
fn heights_that_there_are_not() {
    let (_home, node) = node_with_blocks();
    let last = node.solo.height();
    for method in ["block", "block_results", "commit", "header", "validators", "consensus_params"] {
        let error = |height: Value| node.rpc.error(method, json!({"height": height}));
        assert_eq!(
            error(json!("0")),
            (INTERNAL_ERROR, "height must be greater than 0, but got 0".to_owned())
        );
        assert_eq!(error(json!("-3")).1, "height must be greater than 0, but got -3");
        let most =
            if ["validators", "consensus_params"].contains(&method) { last + 1 } else { last };
        let beyond =
            format!("height 99 must be less than or equal to the current blockchain height {most}");
        assert_eq!(error(json!("99")), (INTERNAL_ERROR, beyond));
        assert_eq!(error(json!("x")).0, INVALID_PARAMS);
        assert_eq!(error(json!({})).0, INVALID_PARAMS);
    }
}

#[test]
fn block_results_commit_and_blockchain() {
    let (_home, node) = node_with_blocks();
    let results = node.rpc.typed(block_results::Request::new(2_u32.into()));
    assert_eq!(results.txs_results.unwrap()[0].events[0].kind, "app");
    assert_eq!(results.finalize_block_events[0].kind, "queue");
    let raw = node.rpc.call("block_results", json!({"height": "1"}));
    assert_eq!((&raw["txs_results"], &raw["validator_updates"]), (&Value::Null, &Value::Null));

    let old = node.rpc.typed(commit::Request::new(2_u32.into()));
    assert!(old.canonical);
    let last = node.rpc.typed(commit::Request::default());
    assert!(!last.canonical);
    assert_eq!(i64::from(last.signed_header.header.height), node.solo.height());
    let raw = node.rpc.call("commit", json!({"height": "2"}));
    let expected = sorted(&[
        header_shape(".signed_header.header"),
        commit_shape(".signed_header.commit"),
        strings(&[".canonical bool"]),
    ]);
    assert_eq!(shape(&raw), expected);

    let chain = node.rpc.typed(blockchain::Request::new(1_u32.into(), 3_u32.into()));
    let heights: Vec<u64> =
        chain.block_metas.iter().map(|meta| meta.header.height.value()).collect();
    assert_eq!(heights, [3, 2, 1]);
    assert_eq!(i64::from(chain.last_height), node.solo.height());
    assert_eq!(chain.block_metas[1].num_txs, 1);
    let all = node.rpc.call("blockchain", json!({}));
    assert_eq!(
        all["block_metas"].as_array().unwrap().len(),
        usize::try_from(node.solo.height()).unwrap()
    );
    let backwards = json!({"minHeight": "3", "maxHeight": "2"});
    assert_eq!(
        node.rpc.error("blockchain", backwards).1,
        "min height 3 can't be greater than max height 2"
    );
    assert_eq!(node.rpc.error("blockchain", json!({"minHeight": "-1"})).0, INTERNAL_ERROR);
}

#[test]
fn abci_info_and_abci_query() {
    let (_home, node) = node_with_blocks();
    let info = node.rpc.typed(abci_info::Request).response;
    assert_eq!((info.data.as_str(), info.app_version), ("test", 3));
    assert_eq!(i64::from(info.last_block_height), node.solo.height());
    let query = |path: &str, key: &str, prove| {
        node.rpc.typed(abci_query::Request::new(Some(path.to_owned()), key, None, prove)).response
    };
    let found = query("/key", "a", true);
    assert_eq!((found.value.as_slice(), found.code.is_ok()), (b"1".as_slice(), true));
    assert_eq!(found.proof.unwrap().ops[0].data, [1, 2]);
    assert_eq!(query("/key", "nothing", false).code.value(), 1);
    assert_eq!(query("/other", "a", false).code.value(), 9);
    let raw = node.rpc.call("abci_query", json!({"path": "/key", "data": "61"}));
    assert_eq!(raw["response"]["proofOps"], Value::Null);
    assert_eq!(raw["response"]["index"], "0");
    assert_eq!(
        node.rpc.error("abci_query", json!({"path": "/key", "data": "6"})).0,
        INVALID_PARAMS
    );
    assert_eq!(node.rpc.error("abci_query", json!({"path": 5})).0, INVALID_PARAMS);
    assert_eq!(node.rpc.error("abci_query", json!({"prove": "yes"})).0, INVALID_PARAMS);
}

#[test]
fn broadcasts_wait_for_nothing_for_the_check_or_for_the_block() {
    let (_home, node) = node_with_blocks();
    let sync = node.rpc.typed(broadcast::tx_sync::Request::new(*b"c=3"));
    assert!(sync.code.is_ok());
    let hash = sync.hash;
    let found = poll(|| {
        let response = node
            .rpc
            .post(&json!({"id": 1, "method": "tx", "params": {"hash": tx_hash("c=3")}}).to_string())
            .1;
        let value: Value = serde_json::from_str(&response).unwrap();
        value.get("result").cloned()
    });
    assert_eq!(found["hash"], hash.to_string());
    let asynchronous = node.rpc.typed(broadcast::tx_async::Request::new(*b"d=4"));
    assert!(asynchronous.code.is_ok());
    poll(|| {
        (node.rpc.call("tx_search", json!({"query": "app.key='d'"}))["total_count"] == "1")
            .then_some(())
    });
    let committed = node.rpc.typed(broadcast::tx_commit::Request::new(*b"e=5"));
    assert!(committed.check_tx.code.is_ok() && committed.tx_result.code.is_ok());
    // tendermint-rpc 0.40 leaves the base64 of `data` undecoded.
    assert_eq!(committed.tx_result.data.as_ref(), base64("5").as_bytes());
    assert_eq!(
        i64::from(committed.height),
        i64::from(node.rpc.typed(tx::Request::new(committed.hash, false)).height)
    );

    let refused = node.rpc.call("broadcast_tx_sync", json!({"tx": base64("bad=1")}));
    let expected = json!({"code": 7, "data": "", "log": "refused", "codespace": "test", "hash": refused["hash"].clone()});
    assert_eq!(refused, expected);
    let refused = node.rpc.commit("bad=2");
    assert_eq!((&refused["check_tx"]["code"], &refused["height"]), (&json!(7), &json!("0")));
    let failed = node.rpc.commit("fail=1");
    assert_eq!(
        (&failed["tx_result"]["code"], &failed["tx_result"]["log"]),
        (&json!(5), &json!("it fails"))
    );
}

#[test]
fn broadcast_tx_commit_gives_up_after_its_time() {
    let home = tempfile::tempdir().unwrap();
    let mut config = config(home.path());
    config.rpc.commit_timeout = std::time::Duration::from_millis(50);
    let node = Node::start_with(config);
    let (code, data) = node.rpc.error("broadcast_tx_commit", json!({"tx": base64("slow=1")}));
    assert_eq!(
        (code, data.as_str()),
        (INTERNAL_ERROR, "timed out waiting for tx to be included in a block")
    );
    node.app.release();
    node.idle();
    assert_eq!(
        node.rpc.call("tx", json!({"hash": tx_hash("slow=1")}))["height"],
        "2",
        "it came all the same"
    );
}

#[test]
fn duplicates_and_impossible_transactions_are_refused() {
    let (_home, node) = node_with_blocks();
    for method in ["broadcast_tx_sync", "broadcast_tx_commit"] {
        let (code, data) = node.rpc.error(method, json!({"tx": base64("a=1")}));
        assert!(code == INTERNAL_ERROR && data.ends_with("tx already exists in cache"), "{data}");
        assert_eq!(node.rpc.error(method, json!({"tx": "***"})).0, INVALID_PARAMS);
    }
    let big = base64(&"x".repeat((8 << 20) + 1));
    let (code, data) = node.rpc.error("broadcast_tx_sync", json!({"tx": big}));
    assert_eq!(
        (code, data.as_str()),
        (INTERNAL_ERROR, "Tx too large. Max size is 8388608, but got 8388609")
    );
}

#[test]
fn a_flood_of_invalid_transactions_leaves_the_chain_alone() {
    let (_home, node) = node_with_blocks();
    let height = node.solo.height();
    for batch in 0..100 {
        let requests: Vec<Value> = (0..20)
            .map(|n| json!({"jsonrpc": "2.0", "id": n, "method": "broadcast_tx_sync", "params": {"tx": base64(&format!("bad={batch}.{n}"))}}))
            .collect();
        let answers: Value =
            serde_json::from_str(&node.rpc.post(&Value::from(requests).to_string()).1).unwrap();
        assert!(answers.as_array().unwrap().iter().all(|answer| answer["result"]["code"] == 7));
    }
    assert_eq!(node.idle(), height);
    assert_eq!(node.rpc.call("unconfirmed_txs", json!({}))["total"], "0");
    node.rpc.commit("good=1");
}

#[test]
fn check_tx_and_unconfirmed_transactions() {
    let (_home, node) = node_with_blocks();
    let checked = node.rpc.call("check_tx", json!({"tx": base64("x=1")}));
    assert_eq!((&checked["code"], &checked["gas_wanted"]), (&json!(0), &json!("1")));
    assert_eq!(node.rpc.call("check_tx", json!({"tx": base64("bad=1")}))["log"], "refused");
    assert_eq!(node.rpc.error("check_tx", json!({"tx": 1})).0, INVALID_PARAMS);
    // While a block runs, what comes waits.
    node.rpc.call("broadcast_tx_sync", json!({"tx": base64("slow=1")}));
    poll(|| node.app.is_slow().then_some(()));
    for n in 0..40 {
        node.rpc.call("broadcast_tx_sync", json!({"tx": base64(&format!("n{n}=1"))}));
    }
    let waiting = node.rpc.call("unconfirmed_txs", json!({"limit": "5"}));
    assert_eq!((&waiting["n_txs"], &waiting["total"]), (&json!("5"), &json!("41")));
    assert_eq!(waiting["txs"][1], base64("n0=1"));
    assert_eq!(node.rpc.call("unconfirmed_txs", json!({}))["n_txs"], "30");
    assert_eq!(node.rpc.call("num_unconfirmed_txs", json!({}))["n_txs"], "41");
    node.app.release();
    node.idle();
}

#[test]
fn tx_with_its_proof() {
    let (_home, node) = node_with_blocks();
    let hash = |text: &str| {
        let bytes = decode(&tx_hash(text));
        tendermint::Hash::try_from(bytes).unwrap()
    };
    let found = node.rpc.typed(tx::Request::new(hash("a=1"), true));
    assert_eq!((found.tx.as_slice(), found.index, found.height.value()), (b"a=1".as_slice(), 0, 2));
    let block = node.rpc.typed(block::Request::new(found.height));
    let proof = found.proof.unwrap();
    assert_eq!(Some(proof.root_hash), block.block.header.data_hash);
    assert_eq!((proof.data.as_slice(), proof.proof.total), (b"a=1".as_slice(), 1));
    let (code, data) = node.rpc.error("tx", json!({"hash": tx_hash("none=1")}));
    assert_eq!(code, INTERNAL_ERROR);
    assert_eq!(data, format!("tx ({}) not found", hash("none=1")));
    assert_eq!(node.rpc.error("tx", json!({"hash": "zz"})).0, INVALID_PARAMS);
    assert_eq!(node.rpc.error("tx", json!({})).0, INTERNAL_ERROR);
}

#[test]
fn tx_search_by_events_heights_and_hashes() {
    let (_home, node) = node_with_blocks();
    for n in 0..5 {
        node.rpc.commit(&format!("n{n}={}", n * 10));
    }
    let search = |query: &str| -> Vec<String> {
        let found = node.rpc.call("tx_search", json!({"query": query}));
        let text = |tx: &Value| String::from_utf8(decode(tx["tx"].as_str().unwrap())).unwrap();
        found["txs"].as_array().unwrap().iter().map(text).collect()
    };
    assert_eq!(search("app.key='n3'"), ["n3=30"]);
    assert_eq!(search("app.value > 10 AND app.value <= 30"), ["n2=20", "n3=30"]);
    assert_eq!(search("app.key CONTAINS 'n' AND app.value = 40"), ["n4=40"]);
    assert_eq!(search("tx.height = 2"), ["a=1"]);
    assert_eq!(search("app.key EXISTS AND tx.height < 5"), ["a=1", "b=2"]);
    assert_eq!(search("app.hidden EXISTS"), Vec::<String>::new());
    let hash =
        node.rpc.call("tx", json!({"hash": tx_hash("b=2")}))["hash"].as_str().unwrap().to_owned();
    assert_eq!(search(&format!("tx.hash='{hash}'")), ["b=2"]);
    assert_eq!(search("tx.hash='00'"), Vec::<String>::new());

    let typed =
        node.rpc.typed(tx_search::Request::new("app.key EXISTS", true, 2, 3, Order::Descending));
    assert_eq!((typed.total_count, typed.txs.len()), (7, 3));
    assert_eq!(typed.txs[0].tx, b"n1=10");
    assert!(typed.txs[0].proof.is_some());

    let error = |params: Value| node.rpc.error("tx_search", params).1;
    assert!(error(json!({"query": "malformed query"})).starts_with("offset 10: got tag, wanted"));
    assert_eq!(error(json!({})), "offset 0: EOF");
    assert_eq!(
        error(json!({"query": "a=1", "page": "9"})),
        "page should be within [1, 1] range, given 9"
    );
    assert!(error(json!({"query": "a=1", "order_by": "up"})).contains("asc"));
}

/// A clock that shows no time until it is released, so that no block is made.
#[derive(Clone, Default)]
struct HeldClock(Arc<(Mutex<bool>, Condvar)>);

impl Clock for HeldClock {
    fn now(&self) -> Time {
        let released = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(released, |released| !*released).unwrap());
        SystemClock.now()
    }
}

#[test]
fn status_before_the_first_block_has_height_0_and_the_time_0() {
    let home = tempfile::tempdir().unwrap();
    let clock = HeldClock::default();
    let genesis = json!({
        "chain_id": "test-1", "genesis_time": "2025-01-01T00:00:00Z", "initial_height": "7",
        "app_state": {"accounts": []},
    });
    let genesis = GenesisDoc::from_value(genesis).unwrap();
    let clock_of_node = Arc::new(clock.clone());
    let config = SoloConfig { genesis, clock: clock_of_node, ..config(home.path()) };
    let node = Node::start_with(config);
    let status = node.rpc.call("status", json!({}));
    for which in ["earliest", "latest"] {
        let field = |name: &str| status["sync_info"][format!("{which}_{name}")].clone();
        assert_eq!(field("block_height"), "0");
        assert_eq!(field("block_time"), "1970-01-01T00:00:00Z");
        assert_eq!((field("block_hash"), field("app_hash")), ("".into(), "".into()));
    }
    *clock.0.0.lock().unwrap() = true;
    clock.0.1.notify_all();
    poll(|| (node.rpc.height() >= 7).then_some(()));
    let status = node.rpc.call("status", json!({}));
    assert_eq!(status["sync_info"]["earliest_block_height"], "7");
}
