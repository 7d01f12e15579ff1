//! A running node and the clients that tests talk to it with.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)] // each test binary uses a part

pub mod app;

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use app::TestApp;
use base64::Engine as _;
use capstan_consensus::solo::{GenesisDoc, Solo, SoloConfig};
use serde_json::{Value, json};
use tendermint_rpc::dialect::v0_38::Dialect;
use tendermint_rpc::{Response as _, SimpleRequest};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

pub const DEADLINE: Duration = Duration::from_secs(20);

/// A node on a free port, with its application.
pub struct Node {
    pub solo: Solo,
    pub app: TestApp,
    pub rpc: Rpc,
}

/// The RPC address of a node.
#[derive(Clone, Copy)]
pub struct Rpc(pub SocketAddr);

pub fn genesis() -> GenesisDoc {
    let app_state = json!({"accounts": []});
    let time = "2025-01-01T00:00:00Z";
    GenesisDoc::from_value(
        json!({"chain_id": "test-1", "genesis_time": time, "app_state": app_state}),
    )
    .unwrap()
}

pub fn config(home: &Path) -> SoloConfig {
    SoloConfig::new(home, "127.0.0.1:0".parse().unwrap(), genesis())
}

impl Node {
    pub fn start(home: &Path) -> Self {
        Self::start_with(config(home))
    }

    pub fn start_with(config: SoloConfig) -> Self {
        let app = TestApp::open(&config.home);
        let solo = Solo::start(app.clone(), config).unwrap();
        let rpc = Rpc(solo.rpc_addr());
        Self { solo, app, rpc }
    }

    /// Waits until the chain has nothing to do: no transactions wait and the last block changed
    /// nothing.
    pub fn idle(&self) -> i64 {
        self.rpc.idle()
    }
}

/// Starts a node and makes a few blocks. The directory must outlive the node.
pub fn node_with_blocks() -> (tempfile::TempDir, Node) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    // So that the transactions are in the blocks after the first.
    poll(|| (node.rpc.height() > 0).then_some(()));
    node.rpc.commit("a=1");
    node.rpc.commit("b=2");
    node.idle();
    (home, node)
}

impl Rpc {
    /// The whole response to a POST of `body`, with its status.
    pub fn post(self, body: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.post(format!("http://{}/", self.0)).send(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// The response to a GET, with its status.
    pub fn get(self, path: &str) -> (u16, Value) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.get(format!("http://{}{path}", self.0)).call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn response(self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let (status, text) = self.post(&body.to_string());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The result of a call that succeeds.
    pub fn call(self, method: &str, params: Value) -> Value {
        let mut response = self.response(method, &params);
        assert!(response.get("error").is_none(), "{method}({params}): {response}");
        response["result"].take()
    }

    /// Code and data of the error of a call that fails.
    pub fn error(self, method: &str, params: Value) -> (i64, String) {
        let response = self.response(method, &params);
        let error =
            response.get("error").unwrap_or_else(|| panic!("{method}({params}): {response}"));
        (error["code"].as_i64().unwrap(), error["data"].as_str().unwrap().to_owned())
    }

    /// A call through the types of `tendermint-rpc`, as its clients make it.
    pub fn typed<R: SimpleRequest<Dialect>>(self, request: R) -> R::Output {
        let (_, text) = self.post(&request.into_json());
        R::Response::from_string(&text).unwrap_or_else(|error| panic!("{error}: {text}")).into()
    }

    /// Sends a transaction and waits for its block; gives the whole result.
    pub fn commit(self, tx: &str) -> Value {
        self.call("broadcast_tx_commit", json!({"tx": base64(tx)}))
    }

    pub fn height(self) -> i64 {
        text_i64(&self.call("status", json!({}))["sync_info"]["latest_block_height"])
    }

    /// Waits for an idle chain; gives its height.
    pub fn idle(self) -> i64 {
        poll(|| {
            let height = self.height();
            if height == 0 || self.call("num_unconfirmed_txs", json!({}))["n_txs"] != "0" {
                return None;
            }
            let block = self.call("block", json!({"height": height.to_string()}));
            let results = self.call("block_results", json!({"height": height.to_string()}));
            let after = base64::engine::general_purpose::STANDARD
                .decode(results["app_hash"].as_str().unwrap())
                .unwrap();
            let before =
                hex::decode(block["block"]["header"]["app_hash"].as_str().unwrap()).unwrap();
            (before == after && self.height() == height).then_some(height)
        })
    }

    pub fn websocket(self) -> WebSocket<MaybeTlsStream<TcpStream>> {
        let (socket, _) = tungstenite::connect(format!("ws://{}/websocket", self.0)).unwrap();
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
        }
        socket
    }
}

/// The next JSON message of a WebSocket.
pub fn receive(socket: &mut WebSocket<MaybeTlsStream<TcpStream>>) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// Sends a request over a WebSocket.
pub fn send(
    socket: &mut WebSocket<MaybeTlsStream<TcpStream>>,
    id: i64,
    method: &str,
    params: Value,
) {
    let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    socket.send(Message::text(body.to_string())).unwrap();
}

/// Asks again and again until there is an answer.
pub fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "no answer within {DEADLINE:?}");
        std::thread::yield_now();
    }
}

pub fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// An integer that JSON has as a text.
pub fn text_i64(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).parse().unwrap()
}

/// The base64 of the hash of a transaction, as `tx` takes it.
pub fn tx_hash(tx: &str) -> String {
    use sha2::Digest;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(tx))
}

/// The bytes of a base64 text.
pub fn decode(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
