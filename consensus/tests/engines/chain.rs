//! The two engines with the same application, genesis document and validator's key.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use capstan_consensus::comet::{CometConfig, CometHome, CometNode, find};
use capstan_consensus::solo::{GenesisDoc, Solo, SoloConfig};
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::{Rpc, base64, decode, poll};

/// The transactions of the chain. Each has a block of its own.
const TXS: [&str; 8] =
    ["a=1", "b=2", "rich=1", "fail=1", "maxgas=1000000", "queue=2", "long=3utoken", "rich=2"];

/// Maximum size of a transaction.
const MAX_TX_BYTES: usize = 1 << 20;

/// A running engine.
pub(crate) struct Engine {
    pub(crate) rpc: Rpc,
    _running: Running,
    _home: tempfile::TempDir,
}

enum Running {
    Solo { _solo: Solo },
    Comet { _comet: Box<CometNode> },
}

/// Solo consensus and CometBFT, in this order.
pub(crate) struct Engines([Engine; 2]);

impl Engines {
    pub(crate) fn start() -> Self {
        let (solo_home, comet_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let comet = CometHome::make(comet_home.path(), MAX_TX_BYTES as u64).unwrap();
        let document = document(&comet);
        std::fs::write(comet_home.path().join("genesis.json"), document.to_string()).unwrap();
        std::fs::create_dir_all(solo_home.path().join("solo")).unwrap();
        let key = "priv_validator_key.json";
        std::fs::copy(comet.path.join("config").join(key), solo_home.path().join("solo").join(key))
            .unwrap();
        Self([solo(solo_home, document), cometbft(comet_home, comet)])
    }

    /// Does the same with both.
    pub(crate) fn each<T>(&self, act: impl Fn(&Engine) -> T) -> [T; 2] {
        [act(&self.0[0]), act(&self.0[1])]
    }

    /// Makes the blocks that requests are about.
    pub(crate) fn make_blocks(&self) {
        self.settle();
        for tx in TXS {
            self.each(|engine| engine.rpc.commit(tx));
            self.settle();
        }
    }

    /// Waits until both chains are idle. Returns their height, which is the same.
    pub(crate) fn settle(&self) -> i64 {
        let [solo, comet] = self.each(|engine| poll(|| settled(engine.rpc)));
        assert_eq!(solo, comet, "the heights of both chains");
        solo
    }
}

/// The height of a chain that is idle for a while: a block may be on its way when nothing waits any more.
fn settled(rpc: Rpc) -> Option<i64> {
    let height = idle(rpc)?;
    std::thread::sleep(Duration::from_millis(100));
    idle(rpc).filter(|still| *still == height)
}

/// The height of a chain with nothing left to do. CometBFT answers about a block before it has its results.
fn idle(rpc: Rpc) -> Option<i64> {
    let get = |path: &str| {
        Some(rpc.get(path).1).map(|mut it| it["result"].take()).filter(|it| !it.is_null())
    };
    let status = get("/status")?;
    let height: i64 = status["sync_info"]["latest_block_height"].as_str()?.parse().ok()?;
    if get("/num_unconfirmed_txs")?["n_txs"] != "0" {
        return None;
    }
    let results = get(&format!("/block_results?height={height}"))?;
    let before = hex::decode(status["sync_info"]["latest_app_hash"].as_str()?).ok()?;
    let after = decode(results["app_hash"].as_str()?);
    // The round after it, which waits for transactions.
    let round = get("/consensus_state")?["round_state"]["height/round/step"].take();
    (before == after && round == format!("{}/0/2", height + 1)).then_some(height)
}

fn document(home: &CometHome) -> Value {
    let key = home.validator_key().unwrap();
    let public =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key.public_bytes());
    json!({
        "genesis_time": "2026-01-01T00:00:00Z",
        "chain_id": "engines-1",
        "initial_height": "1",
        "validators": [{
            "address": key.address().to_string(),
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": public},
            "power": "10",
            "name": "validator",
        }],
        "app_hash": "",
        "app_state": {"text": base64("<&>")},
    })
}

fn solo(home: tempfile::TempDir, document: Value) -> Engine {
    let genesis = GenesisDoc::from_value(document).unwrap();
    let mut config = SoloConfig::new(home.path(), "127.0.0.1:0".parse().unwrap(), genesis);
    config.cors = true;
    config.rpc.max_body_bytes = MAX_TX_BYTES / 3 * 4 + (64 << 10);
    config.mempool.max_tx_bytes = MAX_TX_BYTES;
    let solo = Solo::start(TestApp::open(home.path()), config).unwrap();
    Engine { rpc: Rpc(solo.rpc_addr()), _running: Running::Solo { _solo: solo }, _home: home }
}

fn cometbft(home: tempfile::TempDir, files: CometHome) -> Engine {
    let [rpc, p2p] = free_addrs();
    let config = CometConfig {
        program: find(None).unwrap(),
        home: files,
        moniker: "engines".to_owned(),
        rpc,
        p2p,
        peers: Vec::new(),
        cors: true,
        empty_interval: None,
        state_sync: None,
    };
    let comet = CometNode::start(TestApp::open(home.path()), config).unwrap();
    poll(|| std::net::TcpStream::connect(rpc).ok());
    Engine { rpc: Rpc(rpc), _running: Running::Comet { _comet: Box::new(comet) }, _home: home }
}

/// Addresses on which nothing listens. They are both held until the second is found.
fn free_addrs() -> [SocketAddr; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}
