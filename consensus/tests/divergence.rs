//! A validator that comes to another app hash than the others: it stops and says so, the others go on.
#![allow(clippy::unwrap_used)] // tests

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capstan_consensus::comet::{CometConfig, CometError, CometHome, CometNode, find};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    ExecTxResult, RequestFinalizeBlock, RequestPrepareProposal, RequestProcessProposal,
    ResponseFinalizeBlock, ResponsePrepareProposal, ResponseProcessProposal,
    response_process_proposal::ProposalStatus,
};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
const VALIDATORS: usize = 4;
/// The validator whose program differs, and the block from which on it does.
const LIAR: usize = 2;
const WRONG_FROM: i64 = 3;

/// An application whose app hash changes with each block, so that there is always a next one.
#[derive(Clone)]
struct Counting {
    liar: bool,
}

impl Application for Counting {
    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        ResponsePrepareProposal { txs: request.txs }
    }

    fn process_proposal(&self, _request: RequestProcessProposal) -> ResponseProcessProposal {
        ResponseProcessProposal { status: ProposalStatus::Accept.into() }
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        let wrong = self.liar && request.height >= WRONG_FROM;
        let hash = Sha256::digest(format!("{}{}", request.height, if wrong { "!" } else { "" }));
        ResponseFinalizeBlock {
            tx_results: vec![ExecTxResult::default(); request.txs.len()],
            app_hash: hash.to_vec().into(),
            ..ResponseFinalizeBlock::default()
        }
    }
}

/// Addresses on which nothing listens. They are all held until the last one is found.
fn free_addrs(count: usize) -> Vec<SocketAddr> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

fn genesis(homes: &[CometHome]) -> Value {
    let validators = homes.iter().map(|home| {
        let key = home.validator_key().unwrap();
        json!({
            "address": key.address().to_string(),
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": STANDARD.encode(key.public_bytes())},
            "power": "10",
            "name": "",
        })
    });
    json!({
        "genesis_time": "2026-01-01T00:00:00Z",
        "chain_id": "divergence-1",
        "initial_height": "1",
        "validators": validators.collect::<Vec<_>>(),
        "app_hash": "",
    })
}

fn height(rpc: SocketAddr) -> i64 {
    let Ok(mut answer) = ureq::get(format!("http://{rpc}/status")).call() else { return 0 };
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    let height = &status["result"]["sync_info"]["latest_block_height"];
    height.as_str().and_then(|height| height.parse().ok()).unwrap_or_default()
}

#[test]
fn a_validator_whose_app_hash_is_outvoted_stops_and_says_so_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let node_home = |index: usize| dir.path().join(index.to_string());
    let homes: Vec<CometHome> = (0..VALIDATORS)
        .map(|index| {
            std::fs::create_dir(node_home(index)).unwrap();
            CometHome::make(&node_home(index), 1 << 20).unwrap()
        })
        .collect();
    let (document, addrs) = (genesis(&homes).to_string(), free_addrs(2 * VALIDATORS));
    let peer = |index: usize| format!("{}@{}", homes[index].node_id().unwrap(), addrs[index]);
    let program = find(None).unwrap();
    let nodes: Vec<CometNode> = (0..VALIDATORS)
        .map(|index| {
            std::fs::write(node_home(index).join("genesis.json"), &document).unwrap();
            let config = CometConfig {
                program: program.clone(),
                home: homes[index].clone(),
                moniker: format!("node{index}"),
                rpc: addrs[VALIDATORS + index],
                p2p: addrs[index],
                peers: (0..VALIDATORS).filter(|other| *other != index).map(peer).collect(),
                cors: false,
                empty_interval: None,
                state_sync: None,
            };
            CometNode::start(Counting { liar: index == LIAR }, config).unwrap()
        })
        .collect();
    let stoppers: Vec<_> = nodes.iter().map(CometNode::stopper).collect();
    let (ended, ends) = channel();
    for (index, node) in nodes.into_iter().enumerate() {
        let ended = ended.clone();
        std::thread::spawn(move || ended.send((index, node.wait())));
    }
    let (index, outcome) = ends.recv_timeout(PATIENCE).unwrap();
    let error = outcome.unwrap_err();
    assert_eq!(index, LIAR, "{error}");
    let text = error.to_string();
    assert!(matches!(error, CometError::Failed { .. }), "{text}");
    assert!(text.contains("AppHash") && text.contains("capstan debug bisect"), "{text}");

    let deadline = Instant::now() + PATIENCE;
    let other = addrs[VALIDATORS];
    let at_the_end = height(other);
    while height(other) < at_the_end.max(WRONG_FROM) + 3 {
        assert!(Instant::now() < deadline, "the others stopped at {}", height(other));
        std::thread::sleep(Duration::from_millis(100));
    }
    stoppers.iter().for_each(capstan_consensus::comet::CometStopper::stop);
    assert!(tail_of(&homes[0]).contains("committed state"), "{}", tail_of(&homes[0]));
}

fn tail_of(home: &CometHome) -> String {
    let log: &Path = &home.log();
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().rev().take(200).collect::<Vec<_>>().join("\n")
}
