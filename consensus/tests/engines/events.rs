//! Subscriptions: what a client hears while blocks are made.

use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::support::{Rpc, receive, send};

/// Queries, each of a client of its own.
const QUERIES: [&str; 22] = [
    "tm.event='NewBlock'",
    "tm.event='NewBlockHeader'",
    "tm.event='NewBlockEvents'",
    "tm.event='Tx'",
    "tm.event='NewRound'",
    "tm.event='NewRoundStep'",
    "tm.event='CompleteProposal'",
    "tm.event='Vote'",
    "tm.event='Polka'",
    "tm.event='Lock'",
    "tm.event='Relock'",
    "tm.event='ValidBlock'",
    "tm.event='TimeoutPropose'",
    "tm.event='TimeoutWait'",
    "tm.event='ValidatorSetUpdates'",
    "tm.event='NewEvidence'",
    "tm.event='Tx' AND app.key='heard'",
    "tm.event = 'Tx' AND tx.height > 3",
    "app.key EXISTS",
    "app.value CONTAINS 'tok'",
    "queue.left < 1",
    "block.height > 0",
];

/// A client that has subscribed.
pub(crate) struct Listener {
    query: &'static str,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
}

impl Listener {
    pub(crate) fn open_all(rpc: Rpc) -> Vec<Self> {
        QUERIES.iter().map(|query| Self::open(rpc, query)).collect()
    }

    fn open(rpc: Rpc, query: &'static str) -> Self {
        let mut socket = rpc.websocket();
        send(&mut socket, 1, "subscribe", json!({"query": query}));
        assert_eq!(receive(&mut socket), json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
        Self { query, socket }
    }

    /// Everything that came, with the request's name.
    pub(crate) fn heard(mut self) -> (String, Value) {
        let last = json!({"jsonrpc": "2.0", "id": "last", "method": "health", "params": {}});
        self.socket.send(Message::text(last.to_string())).unwrap();
        let mut heard = Vec::new();
        loop {
            let message = receive(&mut self.socket);
            if message["id"] == "last" {
                return (format!("EVENTS {}", self.query), heard.into());
            }
            heard.push(message);
        }
    }
}
