//! Bounds of the JSON-RPC in bytes: whatever clients ask for or leave unread, the node holds no more.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use capstan_consensus::solo::RpcLimits;
use serde_json::{Value, json};
use support::{Node, Rpc, base64, config, poll, receive, send};

const KIB: usize = 1024;

fn node(change: impl FnOnce(&mut RpcLimits)) -> (tempfile::TempDir, Node) {
    let home = tempfile::tempdir().unwrap();
    let mut config = config(home.path());
    change(&mut config.rpc);
    config.metrics = Some(Arc::new(|| Ok(String::new())));
    let node = Node::start_with(config);
    poll(|| (node.rpc.height() > 0).then_some(()));
    (home, node)
}

fn metric(rpc: Rpc, name: &str) -> usize {
    let (status, text) = rpc.get("/metrics");
    assert_eq!(status, 200, "{text}");
    let text = text.as_str().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("capstan_rpc_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Commits a transaction with so many bytes. Returns its height.
fn commit(node: &Node, name: &str, bytes: usize) -> String {
    let tx = format!("{name}={}", "x".repeat(bytes));
    node.rpc.commit(&tx)["height"].as_str().unwrap().to_owned()
}

fn block_calls(count: usize, height: &str) -> Vec<Value> {
    let call = |id| json!({"id": id, "method": "block", "params": {"height": height}});
    (0..count).map(call).collect()
}

#[test]
fn the_answer_to_a_batch_stops_at_its_bound_and_says_so_for_each_call() {
    let most = 128 * KIB;
    let (_home, node) = node(|limits| {
        limits.max_answer_bytes = most;
        limits.max_batch = 100;
    });
    let height = commit(&node, "large", 20 * KIB);
    let mut calls = block_calls(99, &height);
    calls.push(json!({"id": 99, "method": "broadcast_tx_sync", "params": {"tx": base64("b=1")}}));
    let (status, text) = node.rpc.post(&Value::from(calls).to_string());
    assert_eq!(status, 200);
    // Each error has a text of its own.
    assert!(text.len() <= most + 100 * 200, "{} bytes", text.len());
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(answers.len(), 100);
    let whole = answers.iter().filter(|answer| answer["result"]["block"].is_object()).count();
    assert!((3..=4).contains(&whole), "{whole} blocks");
    let error = |index: usize| answers[index]["error"]["data"].as_str().unwrap().to_owned();
    assert!(error(whole).contains("more than 131072 bytes"), "{}", error(whole));
    for (index, answer) in answers.iter().enumerate().skip(whole + 1) {
        assert!(error(index).contains("the call was not made"), "{}", error(index));
        assert_eq!(answer["id"], index);
    }
    assert_eq!(node.rpc.call("num_unconfirmed_txs", json!({}))["total"], "0");
    assert!(node.rpc.get("/tx?hash=0x00").0 == 500 && metric(node.rpc, "refused_total") > 0);
}

#[test]
fn the_answers_to_a_batch_take_memory_while_they_are_made() {
    let (_home, node) = node(|limits| {
        limits.max_pending_bytes = 512 * KIB;
        limits.max_connections = 10;
        limits.max_batch = 100;
    });
    let height = commit(&node, "large", 20 * KIB);
    let batch = |count| node.rpc.post(&Value::from(block_calls(count, &height)).to_string());
    assert_eq!(batch(4).0, 200);
    let (status, text) = batch(60);
    assert_eq!(status, 503, "{text}");
    assert_eq!(metric(node.rpc, "pending_bytes"), 0);
}

#[test]
fn a_batch_that_takes_too_long_makes_no_further_calls() {
    let (_home, node) = node(|limits| limits.max_batch_time = Duration::ZERO);
    let (status, text) = node.rpc.post(&Value::from(block_calls(3, "1")).to_string());
    assert_eq!(status, 200);
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(answers[0]["result"]["block"].is_object(), "{text}");
    for (index, answer) in answers.iter().enumerate().skip(1) {
        let error = answer["error"]["data"].as_str().unwrap();
        assert!(error.contains("send fewer calls at once"), "{error}");
        assert_eq!(answer["id"], index);
    }
    assert_eq!(metric(node.rpc, "refused_total"), 2);
}

#[test]
fn an_answer_to_one_call_is_bounded_too() {
    let most = 64 * KIB;
    let (_home, node) = node(|limits| limits.max_answer_bytes = most);
    for name in ["a", "b", "c"] {
        commit(&node, name, 10 * KIB);
    }
    let page = |per_page: u32| json!({"query": "app.key EXISTS", "per_page": per_page.to_string()});
    let (code, why) = node.rpc.error("tx_search", page(3));
    assert_eq!(code, -32000, "{why}");
    assert!(why.contains("more than 65536 bytes"), "{why}");
    assert_eq!(node.rpc.call("tx_search", page(1))["txs"].as_array().unwrap().len(), 1);
    // The answer to broadcast_tx_commit would be too large as well.
    let before = node.idle();
    let tx = base64(&format!("large={}", "x".repeat(60 * KIB)));
    node.rpc.call("broadcast_tx_sync", json!({"tx": tx}));
    poll(|| (node.solo.height() > before + 1).then_some(()));
    let height = (before + 1).to_string();
    let (status, answer) = node.rpc.get(&format!("/block?height={height}"));
    assert!(status == 500 && answer["error"]["data"].as_str().unwrap().contains("65536"));
    assert!(node.rpc.error("block", json!({"height": height})).1.contains("65536"));
}

#[test]
fn waiting_transactions_are_listed_as_far_as_the_answer_has_room() {
    let (_home, node) = node(|limits| limits.max_answer_bytes = 64 * KIB);
    node.rpc.call("broadcast_tx_sync", json!({"tx": base64("slow=1")}));
    poll(|| node.app.is_slow().then_some(()));
    for name in ["a", "b", "c", "d"] {
        let tx = base64(&format!("{name}={}", "x".repeat(15 * KIB)));
        node.rpc.call("broadcast_tx_sync", json!({"tx": tx}));
    }
    let waiting = node.rpc.call("unconfirmed_txs", json!({"limit": "100"}));
    node.app.release();
    // The slow one is among them until its block is complete.
    assert_eq!((&waiting["total"], &waiting["n_txs"]), (&json!("5"), &json!("3")));
    assert_eq!(waiting["txs"].as_array().unwrap().len(), 3);
}

#[test]
fn a_request_with_too_many_values_is_not_read_to_its_end() {
    let (_home, node) = node(|_| {});
    for part in ["0,", "{\"\":0},", "[],"] {
        let body = format!("[{}0]", part.repeat(100_000));
        let (status, text) = node.rpc.post(&body);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(-32600)), "{text}");
        assert!(text.contains("JSON values"), "{text}");
    }
    let id = "x".repeat(257);
    let (_, text) = node.rpc.post(&json!({"id": id, "method": "health"}).to_string());
    assert!(text.contains("more than 256 bytes") && text.len() < 256, "{text}");
}

#[test]
fn queries_that_differ_by_blanks_are_one_subscription() {
    let (_home, node) = node(|_| {});
    let mut socket = node.rpc.websocket();
    for (id, blanks) in (0..20).map(|id| (id, " ".repeat(1 + id as usize))) {
        let query = format!("tm.event{blanks}={blanks}'NewBlock' AND tm.event EXISTS{blanks}");
        send(&mut socket, id, "subscribe", json!({"query": query}));
        let answer = receive(&mut socket);
        match id {
            0 => assert_eq!(answer["result"], json!({}), "{answer}"),
            _ => assert_eq!(answer["error"]["data"], "already subscribed", "{answer}"),
        }
    }
    assert_eq!(metric(node.rpc, "subscriptions"), 1);
    assert_eq!(metric(node.rpc, "websockets"), 1);
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_what_waited_for_it_is_freed() {
    const SUBSCRIPTIONS: usize = 20;
    const BACKLOG: usize = 256 * KIB;
    const TX: usize = 128 * KIB;
    let (_home, node) = node(|limits| {
        limits.max_backlog_bytes = BACKLOG;
        limits.max_subscriptions = SUBSCRIPTIONS;
    });
    let mut socket = node.rpc.websocket();
    for id in 0..SUBSCRIPTIONS {
        let query = "tm.event = 'NewBlock'".to_owned() + &condition(id);
        send(&mut socket, id as i64, "subscribe", json!({"query": query}));
        assert_eq!(receive(&mut socket)["result"], json!({}));
    }
    assert_eq!(metric(node.rpc, "subscriptions"), SUBSCRIPTIONS);
    // From here on nothing is read. The operating system's buffers fill up first.
    let mut largest = 0;
    for n in 0.. {
        commit(&node, &format!("k{n}"), TX);
        largest = largest.max(metric(node.rpc, "backlog_bytes"));
        if metric(node.rpc, "websockets") == 0 {
            break;
        }
        assert!(n < 100, "the client was not dropped");
    }
    // A block's message has its transaction in base64, its result, and the attribute of an event.
    let message = 2 * (TX * 4 / 3) + TX + 16 * KIB;
    assert!(largest <= BACKLOG + SUBSCRIPTIONS * message, "{largest} bytes");
    assert!(metric(node.rpc, "dropped_total") >= 1);
    assert_eq!(metric(node.rpc, "subscriptions"), 0);
    poll(|| (metric(node.rpc, "backlog_bytes") == 0).then_some(()));
}

/// A condition that every block fulfils, another one for each number.
fn condition(number: usize) -> String {
    let bits = (0..5).filter(|bit| number & (1 << bit) != 0);
    bits.map(|bit| format!(" AND tm.event CONTAINS '{}'", &"NewBlock"[..=bit])).collect()
}

#[test]
fn a_subscriber_that_reads_gets_large_blocks_whatever_the_backlog() {
    let (_home, node) = node(|limits| limits.max_backlog_bytes = KIB);
    let mut socket = node.rpc.websocket();
    send(&mut socket, 1, "subscribe", json!({"query": "tm.event = 'Tx'"}));
    receive(&mut socket);
    for name in ["a", "b", "c"] {
        commit(&node, name, 100 * KIB);
        let event = receive(&mut socket);
        let tx = event["result"]["data"]["value"]["TxResult"]["tx"].as_str().unwrap();
        assert!(tx.len() > 100 * KIB);
    }
}

/// Opens a connection and sends the beginning of a request.
fn half_open(rpc: Rpc, beginning: &str) -> TcpStream {
    let mut stream = TcpStream::connect(rpc.0).unwrap();
    stream.write_all(beginning.as_bytes()).unwrap();
    stream
}

#[test]
fn half_open_connections_are_bounded_and_closed() {
    const MOST: usize = 8;
    let (_home, node) = node(|limits| {
        limits.max_connections = MOST;
        limits.idle_timeout = Duration::from_millis(500);
    });
    let beginning = "GET /status HTTP/1.1\r\nHost: x\r\n";
    let mut silent: Vec<_> = (0..3 * MOST).map(|_| half_open(node.rpc, beginning)).collect();
    // The answer comes when the connections before this one have been closed.
    let open = poll(|| Some(metric(node.rpc, "connections")));
    assert!(open <= MOST, "{open} connections");
    for stream in &mut silent {
        let mut rest = Vec::new();
        // The end of the stream, or a reset.
        let _ = stream.read_to_end(&mut rest);
    }
    poll(|| (metric(node.rpc, "connections") <= 2).then_some(()));
    assert!(metric(node.rpc, "dropped_total") >= MOST);
    node.rpc.commit("still=alive");
}

/// Small bounds of bodies.
fn small(limits: &mut RpcLimits) {
    limits.max_body_bytes = 100 * KIB;
    limits.max_pending_bytes = 250 * KIB;
    limits.max_answer_bytes = 40 * KIB;
    limits.max_websockets = 10;
    limits.max_address_percent = 100;
}

/// The beginning of a request with a body of 100 KiB, and so many bytes of the body.
fn part_of_post(bytes: usize) -> String {
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 100 * KIB);
    head + &" ".repeat(bytes)
}

fn first_answer(stream: &mut TcpStream) -> String {
    let mut answer = [0; 512];
    let count = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[test]
fn bodies_that_are_not_complete_leave_room_for_others() {
    let (_home, node) = node(small);
    let held: Vec<_> = (0..2).map(|_| half_open(node.rpc, &part_of_post(99 * KIB))).collect();
    poll(|| (metric(node.rpc, "pending_bytes") >= 200 * KIB).then_some(()));
    let mut third = half_open(node.rpc, &part_of_post(99 * KIB));
    let answer = first_answer(&mut third);
    assert!(answer.contains(" 503 "), "{answer}");
    assert!(metric(node.rpc, "pending_bytes") <= 250 * KIB);
    // Small requests still have room.
    node.rpc.commit("small=1");
    drop(held);
    poll(|| (metric(node.rpc, "pending_bytes") < 100 * KIB).then_some(()));
}

/// Opens a connection from another loopback address, and sends the beginning of a request.
#[cfg(target_os = "linux")]
fn half_open_from(last: u8, rpc: Rpc, beginning: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        socket.connect(rpc.0).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.write_all(beginning.as_bytes()).unwrap();
    stream
}

#[test]
#[cfg(target_os = "linux")] // other systems have no second loopback address
fn one_address_leaves_memory_and_connections_to_others() {
    let (_home, node) = node(|limits| {
        small(limits);
        limits.max_connections = 20;
        limits.max_address_percent = 50;
    });
    let first = half_open_from(2, node.rpc, &part_of_post(99 * KIB));
    poll(|| (metric(node.rpc, "pending_bytes") >= 100 * KIB).then_some(()));
    let mut second = half_open_from(2, node.rpc, &part_of_post(99 * KIB));
    let answer = first_answer(&mut second);
    assert!(answer.contains(" 503 "), "{answer}");
    let large = json!({"id": 1, "method": "health", "params": {"": "x".repeat(90 * KIB)}});
    // It may be refused once. Then the connection goes that holds most.
    poll(|| {
        let (status, text) = node.rpc.post(&large.to_string());
        (status == 200 && text.contains("result")).then_some(())
    });
    // Connections that send nothing close each other, however many come.
    let silent: Vec<_> = (0..30).map(|_| half_open_from(2, node.rpc, "")).collect();
    assert!(metric(node.rpc, "connections") <= 12);
    node.rpc.commit("still=alive");
    drop((first, second, silent));
}

#[test]
fn bodies_that_are_announced_and_do_not_come_take_no_memory() {
    let (_home, node) = node(small);
    let held: Vec<_> = (0..50).map(|_| half_open(node.rpc, &part_of_post(1))).collect();
    poll(|| (metric(node.rpc, "connections") > 50).then_some(()));
    assert!(metric(node.rpc, "pending_bytes") <= 100 * KIB);
    let large = json!({"id": 1, "method": "health", "params": {"": "x".repeat(90 * KIB)}});
    let (status, text) = node.rpc.post(&large.to_string());
    assert!(status == 200 && text.contains("result"), "{text}");
    drop(held);
}

#[test]
fn a_body_that_comes_byte_by_byte_is_given_up() {
    let (_home, node) = node(|limits| limits.idle_timeout = Duration::from_millis(500));
    let mut stream = half_open(node.rpc, &part_of_post(1));
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut answer = Vec::new();
    poll(|| {
        let _ = stream.write_all(b" ");
        let mut part = [0; 512];
        let count = stream.read(&mut part).unwrap_or(0);
        answer.extend_from_slice(&part[..count]);
        String::from_utf8_lossy(&answer).contains(" 408 ").then_some(())
    });
    assert!(metric(node.rpc, "dropped_total") >= 1);
}

#[test]
fn messages_of_all_websockets_together_fit_into_the_memory_for_bodies() {
    let (_home, node) = node(small);
    let large = |bytes: usize| {
        let mut socket = node.rpc.websocket();
        let text = json!({"id": 1, "method": "health", "params": {"": "x".repeat(bytes)}});
        socket.send(tungstenite::Message::text(text.to_string())).ok()?;
        loop {
            match socket.read().ok()? {
                tungstenite::Message::Text(text) => return Some(text.to_string()),
                tungstenite::Message::Close(_) => return None,
                _ => {}
            }
        }
    };
    assert!(large(20 * KIB).is_some_and(|answer| answer.contains("result")));
    // A tenth of the memory.
    assert_eq!(large(26 * KIB), None);
    // A call that waits for its block holds its part. The calls behind it are not read.
    node.rpc.call("broadcast_tx_sync", json!({"tx": base64("slow=1")}));
    poll(|| node.app.is_slow().then_some(()));
    let mut socket = node.rpc.websocket();
    let tx = |n: usize| base64(&format!("k{n}={}", "x".repeat(15 * KIB)));
    for n in 0..16 {
        send(&mut socket, n as i64, "broadcast_tx_commit", json!({"tx": tx(n)}));
    }
    poll(|| (metric(node.rpc, "pending_bytes") >= 20 * KIB).then_some(()));
    assert!(metric(node.rpc, "pending_bytes") <= 50 * KIB);
    node.app.release();
    assert_eq!(receive(&mut socket)["id"], 0);
}
