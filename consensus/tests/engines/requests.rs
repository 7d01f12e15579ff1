//! Requests that are about their form: paths, methods, headers, bodies, batches.

use crate::send::Request;

/// All that change nothing.
pub(crate) fn all() -> Vec<Request> {
    let mut requests = bodies();
    requests.extend(targets());
    requests
}

/// Those that make blocks.
pub(crate) fn that_change_the_chain() -> Vec<Request> {
    let call = |method: &str, tx: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"tx","method":"{method}","params":{{"tx":"{}"}}}}"#,
            crate::support::base64(tx)
        )
    };
    vec![
        Request::post(&call("broadcast_tx_commit", "heard=1")),
        Request::post(&call("broadcast_tx_sync", "rich=3")),
        Request::post(&call("broadcast_tx_sync", "rich=3")),
        Request::get("/broadcast_tx_commit?tx=\"fail=2\""),
        Request::get("/broadcast_tx_async?tx=\"queue=1\""),
        Request::get("/broadcast_tx_async?tx=\"queue=1\""),
        Request::get("/broadcast_tx_commit?tx=\"queue=1\""),
        Request::socket(&call("broadcast_tx_commit", "tok=5token")),
        Request::get("/broadcast_tx_sync"),
        Request::post(&call("broadcast_tx_sync", "gas=2000000")),
        Request::post(&call("broadcast_tx_commit", "bad=2")),
        Request::post(&call("broadcast_tx_sync", &format!("large={}", "x".repeat(1 << 20)))),
        Request::post(&call("broadcast_tx_commit", &format!("large={}", "x".repeat(1 << 20)))),
        Request::post(&call("check_tx", "rich=4")),
    ]
}

fn bodies() -> Vec<Request> {
    let health = r#"{"jsonrpc":"2.0","id":1,"method":"health","params":{}}"#;
    let many = |count: usize| format!("[{}]", vec![health; count].join(","));
    let texts = [
        "{",
        "nonsense",
        "5",
        "null",
        "true",
        "\"status\"",
        "{}",
        " ",
        "{\"id\":1}",
        "[]",
        "[null]",
        "[1]",
        "[[]]",
        "[{}]",
        "{\"id\":1,\"method\":7}",
        "{\"id\":null,\"method\":\"health\"}",
        "{\"method\":\"health\"}",
        "{\"id\":[1],\"method\":\"health\"}",
        "{\"id\":{\"a\":1},\"method\":\"health\"}",
        "{\"id\":true,\"method\":\"health\"}",
        "{\"id\":1.7,\"method\":\"health\"}",
        "{\"id\":-3,\"method\":\"health\"}",
        "{\"id\":\"\",\"method\":\"health\"}",
        "{\"id\":\"a<b\",\"method\":\"health\"}",
        "{\"id\":1,\"method\":\"health\",\"jsonrpc\":2}",
        "{\"id\":1,\"method\":\"health\",\"jsonrpc\":\"1.0\"}",
        "{\"ID\":1,\"Method\":\"health\",\"PARAMS\":{}}",
        "{\"id\":1,\"method\":\"no_such\",\"params\":{}}",
        "{\"id\":1,\"method\":\"\",\"params\":{}}",
        "{\"id\":1,\"method\":\"unsafe_flush_mempool\",\"params\":{}}",
        "{\"id\":1,\"method\":\"dial_peers\",\"params\":{}}",
        "{\"id\":1,\"method\":\"health\"} x",
        "{\"id\":1,\"id\":2,\"method\":\"health\"}",
        "[{\"id\":1,\"method\":\"health\"}]",
        "[{\"id\":1,\"method\":\"health\"},{\"id\":2,\"method\":\"no_such\"}]",
        "[{\"id\":1,\"method\":\"health\"},{\"method\":\"health\"}]",
        "[{\"id\":1,\"method\":\"health\"},{\"method\":\"health\"},{\"id\":\"x\",\"method\":\"block\",\"params\":[\"3\"]}]",
        "[{\"id\":1,\"method\":\"health\"},7]",
        "[{\"id\":1,\"method\":\"health\"},{\"id\":2,\"method\":\"block\"}]",
        "[{\"id\":1,\"method\":\"health\"},{\"id\":2,\"method\":\"block\",\"params\":{\"height\":\"x\"}}]",
    ];
    let mut requests: Vec<Request> =
        texts.iter().flat_map(|text| [Request::post(text), Request::socket(text)]).collect();
    requests.extend([20, 21].map(|count| Request::post(&many(count))));
    requests.push(Request::post(&format!("{{\"id\":\"{}\"", "x".repeat(3 << 20))));
    requests.push(Request::post(&format!("{{\"id\":1,\"method\":\"{}\"}}", "x".repeat(1 << 10))));
    requests.push(Request::post(""));
    requests
}

fn targets() -> Vec<Request> {
    let json = "Content-Type: application/json\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let origin = "Origin: https://wallet.example\r\n";
    let preflight = "Origin: https://wallet.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
    let health = r#"{"jsonrpc":"2.0","id":1,"method":"health","params":{}}"#;
    vec![
        Request::get("/"),
        Request::get("/?x=1"),
        Request::get("/no_such"),
        Request::get("/a/b"),
        Request::get("/health/"),
        Request::get("/Health"),
        Request::get("/subscribe?query=\"tm.event='Tx'\""),
        Request::get("/unsafe_flush_mempool"),
        Request::get("/websocket"),
        Request::get("/health?x=1"),
        Request::get("/block?height=3&height=4"),
        Request::get("/block?height=%zz&height=4"),
        Request::get("/block?height=3;x=1"),
        Request::get("/block?%68eight=3"),
        Request::get("/block?Height=3"),
        Request::get("/abci_query?path=\"/key\"&data=\"{a|b}\\^`<>\""),
        Request::get("/abci_query?path=\"é\""),
        Request::http("HEAD", "/health", "", ""),
        Request::http("PUT", "/health", "", ""),
        Request::http("DELETE", "/block?height=3", "", ""),
        Request::http("POST", "/block?height=3", "", ""),
        Request::http("POST", "/block", form, "height=3"),
        Request::http("POST", "/block?height=2", form, "height=3"),
        Request::http("POST", "/health", json, health),
        Request::http("POST", "/a/b", json, health),
        Request::http("GET", "/", json, health),
        Request::http("PUT", "/", json, health),
        Request::http("POST", "/", "Content-Type: text/plain\r\n", health),
        Request::http("POST", "/", origin, health),
        Request::http("OPTIONS", "/", "", ""),
        Request::http("OPTIONS", "/", preflight, ""),
        Request::http("OPTIONS", "/status", preflight, ""),
        Request::http("OPTIONS", "/status", "", ""),
        Request::http("GET", "/health", origin, ""),
    ]
}
