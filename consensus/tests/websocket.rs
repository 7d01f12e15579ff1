//! Calls and subscriptions over a WebSocket.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use serde_json::{Value, json};
use support::{Node, base64, config, receive, send};
use tendermint_rpc::event::{EventData, v0_38::DeEvent};
use tungstenite::Message;

fn node() -> (tempfile::TempDir, Node) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    node.idle();
    (home, node)
}

/// The event in a message, as `tendermint-rpc` reads it.
fn typed(message: &Value) -> EventData {
    let event: DeEvent = serde_json::from_value(message["result"].clone()).unwrap();
    tendermint_rpc::event::Event::from(event).data
}

#[test]
fn calls_work_as_over_http() {
    let (_home, node) = node();
    let mut socket = node.rpc.websocket();
    send(&mut socket, 5, "block", json!({"height": "1"}));
    let answer = receive(&mut socket);
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(5), &node.rpc.call("block", json!({"height": "1"})))
    );
    socket.send(Message::text("{")).unwrap();
    assert_eq!(receive(&mut socket)["error"]["code"], -32700);
    socket.send(Message::text("7")).unwrap();
    assert_eq!(receive(&mut socket)["error"]["code"], -32700);
    send(&mut socket, 6, "no_such", json!({}));
    assert_eq!(receive(&mut socket)["error"]["code"], -32601);
    socket.send(Message::binary(br#"{"id": 7, "method": "health"}"#.to_vec())).unwrap();
    assert_eq!(receive(&mut socket), json!({"jsonrpc": "2.0", "id": 7, "result": {}}));
    send(&mut socket, 8, "broadcast_tx_commit", json!({"tx": base64("ws=1")}));
    assert_eq!(receive(&mut socket)["result"]["tx_result"]["code"], 0);
}

#[test]
fn a_subscriber_sees_transactions_and_blocks() {
    let (_home, node) = node();
    let mut socket = node.rpc.websocket();
    for (id, query) in [(1, "tm.event='NewBlock'"), (2, "tm.event='Tx' AND app.key='a'")] {
        send(&mut socket, id, "subscribe", json!({"query": query}));
        assert_eq!(receive(&mut socket), json!({"jsonrpc": "2.0", "id": id, "result": {}}));
    }
    node.rpc.commit("other=1");
    node.rpc.commit("a=7");
    let mut blocks = Vec::new();
    let tx = loop {
        let message = receive(&mut socket);
        match message["id"].as_i64() {
            Some(1) => blocks.push(message),
            Some(2) => break message,
            _ => panic!("{message}"),
        }
    };
    let EventData::NewBlock { block, block_id, result_finalize_block } = typed(&blocks[0]) else {
        panic!()
    };
    let block = block.unwrap();
    assert_eq!((block.header.height.value(), block.data.len()), (2, 1));
    assert_eq!(block.header.hash(), block_id.hash);
    assert_eq!(result_finalize_block.unwrap().tx_results.len(), 1);
    assert_eq!(blocks[0]["result"]["events"]["tm.event"], json!(["NewBlock"]));

    let EventData::Tx { tx_result } = typed(&tx) else { panic!() };
    assert_eq!((tx_result.tx.as_slice(), tx_result.index), (b"a=7".as_slice(), None));
    assert_eq!(tx["result"]["query"], "tm.event='Tx' AND app.key='a'");
    let events = &tx["result"]["events"];
    assert_eq!((&events["app.value"], &events["tm.event"]), (&json!(["7"]), &json!(["Tx"])));
    assert_eq!(events["tx.height"], json!([tx_result.height.to_string()]));
    assert_eq!(events["tx.hash"].as_array().unwrap().len(), 1);
}

#[test]
fn headers_and_block_events_can_be_subscribed_to() {
    let (_home, node) = node();
    let mut socket = node.rpc.websocket();
    send(&mut socket, 1, "subscribe", json!({"query": "tm.event='NewBlockHeader'"}));
    receive(&mut socket);
    send(
        &mut socket,
        2,
        "subscribe",
        json!({"query": "tm.event='NewBlockEvents' AND queue.left = 1"}),
    );
    receive(&mut socket);
    node.rpc.commit("queue=2");
    let first = receive(&mut socket);
    assert_eq!(first["result"]["data"]["type"], "tendermint/event/NewBlockHeader");
    assert_eq!(first["result"]["data"]["value"]["header"]["height"], "2");
    let events = loop {
        let message = receive(&mut socket);
        if message["id"] == 2 {
            break message["result"].clone();
        }
    };
    assert_eq!(events["data"]["value"]["height"], "3");
    assert_eq!(events["data"]["value"]["events"][0]["type"], "queue");
    assert_eq!(events["events"]["tm.event"], json!(["NewBlockEvents"]));
}

#[test]
fn subscriptions_end_when_they_are_cancelled() {
    let (_home, node) = node();
    let mut socket = node.rpc.websocket();
    let query = json!({"query": "tm.event = 'Tx'"});
    let error = |socket: &mut _, id, method: &str, params: &Value| {
        send(socket, id, method, params.clone());
        receive(socket)["error"]["data"].as_str().unwrap().to_owned()
    };
    assert_eq!(error(&mut socket, 1, "unsubscribe", &query), "subscription not found");
    send(&mut socket, 2, "subscribe", query.clone());
    receive(&mut socket);
    assert_eq!(error(&mut socket, 3, "subscribe", &query), "already subscribed");
    assert!(
        error(&mut socket, 4, "subscribe", &json!({"query": "malformed query"}))
            .starts_with("failed to parse query")
    );
    send(&mut socket, 5, "unsubscribe", query.clone());
    assert_eq!(receive(&mut socket)["result"], json!({}));
    send(&mut socket, 6, "subscribe", query.clone());
    receive(&mut socket);
    send(&mut socket, 7, "unsubscribe_all", json!({}));
    assert_eq!(receive(&mut socket)["result"], json!({}));
    node.rpc.commit("a=1");
    node.idle();
    // Nothing came of the block: the next message is the answer to this.
    send(&mut socket, 8, "health", json!({}));
    assert_eq!(receive(&mut socket)["id"], 8);
}

#[test]
fn connections_subscriptions_and_message_sizes_are_limited() {
    let home = tempfile::tempdir().unwrap();
    let mut config = config(home.path());
    config.rpc.max_websockets = 2;
    config.rpc.max_address_percent = 100;
    config.rpc.max_subscriptions = 1;
    config.rpc.max_body_bytes = 1000;
    let node = Node::start_with(config);
    let mut first = node.rpc.websocket();
    let second = node.rpc.websocket();
    let third = tungstenite::connect(format!("ws://{}/websocket", node.rpc.0));
    let Err(tungstenite::Error::Http(response)) = third else { panic!("{third:?}") };
    assert_eq!(response.status(), 503);
    send(&mut first, 1, "subscribe", json!({"query": "tm.event='Tx'"}));
    receive(&mut first);
    send(&mut first, 2, "subscribe", json!({"query": "tm.event='NewBlock'"}));
    assert_eq!(receive(&mut first)["error"]["data"], "max_subscriptions_per_client 1 reached");
    // A message over the limit ends its connection, and only that.
    first.send(Message::text("x".repeat(2000))).unwrap();
    assert!(std::iter::from_fn(|| Some(first.read())).take(3).any(|message| message.is_err()));
    drop(second);
    support::poll(|| tungstenite::connect(format!("ws://{}/websocket", node.rpc.0)).ok());
    node.idle();
}

#[test]
fn a_get_without_an_upgrade_is_refused() {
    let (_home, node) = node();
    assert_eq!(node.rpc.get("/websocket"), (400, "Bad Request\n".into()));
}
