//! The forms of a request to the JSON-RPC: URIs, batches, notifications, and malformed ones.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use support::{Rpc, base64, decode, node_with_blocks, text_i64, tx_hash};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;

/// What curl sends if the quotes are typed, as CometBFT's documentation does: twice on a connection.
#[test]
fn quotes_need_not_be_encoded() {
    let (_home, node) = node_with_blocks();
    let mut stream = TcpStream::connect(node.rpc.0).unwrap();
    let request = |path: &str, rest: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{rest}\r\n");
    let first = request("/abci_query?path=\"/key\"&data=0x61", "");
    let second = request("/block?height=\"2\"", "Connection: close\r\n");
    stream.write_all(format!("{first}{second}").as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert!(answers.contains(&format!("\"value\":\"{}\"", base64("1"))), "{answers}");
    assert!(answers.contains("\"height\":\"2\""), "{answers}");
}

#[test]
fn uris_have_cometbfts_quoting() {
    let (_home, node) = node_with_blocks();
    let get = |path: &str| {
        let (status, body) = node.rpc.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        assert_eq!(body["id"], -1);
        body["result"].clone()
    };
    assert_eq!(get("/block?height=2"), node.rpc.call("block", json!({"height": "2"})));
    assert_eq!(get("/block?height=%222%22"), node.rpc.call("block", json!({"height": "2"})));
    assert_eq!(get("/abci_query?path=%22/key%22&data=0x61")["response"]["value"], base64("1"));
    assert_eq!(
        get("/abci_query?path=%22/key%22&data=%22a%22&prove=false")["response"]["value"],
        base64("1")
    );
    assert_eq!(
        get("/broadcast_tx_commit?tx=%22uri=1%22")["height"],
        (node.rpc.idle() - 1).to_string()
    );
    let hash = hex::encode(decode(&tx_hash("uri=1")));
    assert_eq!(get(&format!("/tx?hash=0x{hash}&prove=true"))["tx"], base64("uri=1"));
    assert_eq!(
        get("/tx_search?query=%22app.key='uri'%22&per_page=10&page=1&order_by=%22asc%22")["total_count"],
        "1"
    );
    assert_eq!(get("/health"), json!({}));

    let (status, body) = node.rpc.get("/block?height=x");
    assert_eq!((status, body["error"]["code"].as_i64()), (500, Some(INVALID_PARAMS)));
    let (status, body) = node.rpc.get("/abci_query?path=/key");
    assert_eq!((status, body["error"]["code"].as_i64()), (500, Some(INVALID_PARAMS)));
    let (status, body) = node.rpc.get("/block?height=99");
    assert_eq!((status, body["error"]["code"].as_i64()), (500, Some(INTERNAL_ERROR)));
    let (status, body) = node.rpc.get("/no_such_method");
    assert_eq!((status, body.as_str()), (404, Some("404 page not found\n")));
    assert_eq!(node.rpc.get("/a/b").0, 404);
    let (status, index) = node.rpc.get("/");
    assert!(status == 200 && index.as_str().unwrap().contains("/broadcast_tx_commit?tx=_"));
}

#[test]
fn malformed_requests_have_the_right_error_codes() {
    let (_home, node) = node_with_blocks();
    let code = |rpc: Rpc, body: &str| {
        let (status, text) = rpc.post(body);
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{body}: {text}"));
        (status, value["error"]["code"].as_i64().unwrap())
    };
    for body in [
        "{",
        "nonsense",
        "{\"method\": \"status\"",
        "\u{0}",
        "5",
        "\"status\"",
        "[1]",
        "{\"id\": 1, \"method\": 7}",
        "{\"id\": [1], \"method\": \"status\"}",
    ] {
        assert_eq!(code(node.rpc, body), (500, PARSE_ERROR), "{body:?}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(code(node.rpc, &deep), (500, PARSE_ERROR));
    assert_eq!(code(node.rpc, "{\"id\": 1}"), (200, METHOD_NOT_FOUND));
    assert_eq!(code(node.rpc, r#"{"id": 1, "method": "no_such"}"#), (200, METHOD_NOT_FOUND));
    assert_eq!(
        code(node.rpc, r#"{"id": 1, "method": "subscribe", "params": {"query": "a=1"}}"#),
        (200, METHOD_NOT_FOUND)
    );
    assert_eq!(
        code(node.rpc, r#"{"id": 1, "method": "block", "params": "x"}"#),
        (200, INVALID_PARAMS)
    );
    assert_eq!(
        code(node.rpc, r#"{"id": 1, "method": "block", "params": ["1", "2"]}"#),
        (200, INVALID_PARAMS)
    );
    let (status, text) = node.rpc.post(&"x".repeat(12 << 20));
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("request body too large"));
    let batch: Vec<Value> = (0..21).map(|id| json!({"id": id, "method": "health"})).collect();
    assert_eq!(code(node.rpc, &Value::from(batch).to_string()), (200, INVALID_REQUEST));
    node.rpc.commit("still=alive");
}

#[test]
fn batches_notifications_and_positional_arguments() {
    let (_home, node) = node_with_blocks();
    let (_, text) = node.rpc.post(
        r#"[{"jsonrpc":"2.0","id":"x","method":"health"}, {"method":"health"}, {"id":2,"method":"block","params":["2"]}]"#,
    );
    let answers: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 2);
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "id": "x", "result": {}}));
    assert_eq!(answers[1]["result"]["block"]["header"]["height"], "2");
    // Without an id nothing is executed either.
    let tx = json!({"method": "broadcast_tx_sync", "params": {"tx": base64("unasked=1")}});
    assert_eq!(node.rpc.post(&tx.to_string()), (200, String::new()));
    assert_eq!(node.rpc.call("num_unconfirmed_txs", json!({}))["total"], "0");
    assert_eq!(node.rpc.post(r#"{"jsonrpc":"2.0","method":"health"}"#), (200, String::new()));
    let all = node.rpc.call("abci_query", json!(["/key", "61", "0", false]));
    assert_eq!(all["response"]["value"], base64("1"));
    assert_eq!(text_i64(&all["response"]["height"]), node.solo.height());
}
