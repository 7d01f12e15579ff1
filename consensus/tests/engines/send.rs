//! Requests as bytes, and answers with everything that clients see of them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::Message;

use crate::chain::Engine;
use crate::support::{DEADLINE, Rpc, receive};

/// The headers that are compared.
const HEADERS: [&str; 12] = [
    "content-type",
    "cache-control",
    "x-server-time",
    "x-content-type-options",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "vary",
    "allow",
    "location",
    "sec-websocket-version",
];

/// A request with the name by which the list of differences knows it.
pub(crate) struct Request {
    pub(crate) name: String,
    form: Form,
}

enum Form {
    /// Method, target, further headers, body.
    Http(&'static str, String, String, String),
    /// A text over a WebSocket.
    Socket(String),
}

impl Request {
    pub(crate) fn get(target: &str) -> Self {
        Self::http("GET", target, "", "")
    }

    pub(crate) fn post(body: &str) -> Self {
        let name = format!("POST {}", cut(body));
        let form = Form::Http("POST", "/".to_owned(), String::new(), body.to_owned());
        Self { name, form }
    }

    pub(crate) fn socket(text: &str) -> Self {
        Self { name: format!("WS {}", cut(text)), form: Form::Socket(text.to_owned()) }
    }

    /// Any HTTP request. Each line of `headers` ends with `\r\n`.
    pub(crate) fn http(method: &'static str, target: &str, headers: &str, body: &str) -> Self {
        let name = format!("{method} {target} {}{}", headers.replace("\r\n", " "), cut(body));
        let (target, body) = (target.to_owned(), body.to_owned());
        Self {
            name: name.trim_end().to_owned(),
            form: Form::Http(method, target, headers.to_owned(), body),
        }
    }

    /// Sends the request. In its text, `$HASH` and `$B64` stand for the hash of block 3.
    pub(crate) fn answer(&self, engine: &Engine) -> Value {
        let fill = |text: &str| match text.contains('$') {
            true => {
                let (hex, base64) = block_hash(engine.rpc);
                text.replace("$HASH", &hex).replace("$B64", &base64)
            }
            false => text.to_owned(),
        };
        match &self.form {
            Form::Http(method, target, headers, body) => {
                http(engine.rpc, method, &fill(target), headers, &fill(body))
            }
            Form::Socket(text) => socket(engine.rpc, fill(text)),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

fn block_hash(rpc: Rpc) -> (String, String) {
    let block = rpc.call("block", json!({"height": "3"}));
    let hex = block["block_id"]["hash"].as_str().unwrap().to_owned();
    let bytes = hex::decode(&hex).unwrap();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    (hex, base64)
}

fn http(rpc: Rpc, method: &str, target: &str, headers: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(rpc.0).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let length = match body {
        "" => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!("{method} {target} HTTP/1.0\r\nHost: engine\r\n{headers}{length}\r\n");
    // A server may answer and close before it has read everything.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("none");
    let mut shown = serde_json::Map::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = name.to_ascii_lowercase();
        if HEADERS.contains(&name.as_str()) {
            let value = if name == "x-server-time" { "SECONDS" } else { value.trim() };
            let before = shown.get(&name).and_then(Value::as_str).map(|text| format!("{text}, "));
            shown.insert(name, (before.unwrap_or_default() + value).into());
        }
    }
    json!({"status": status, "headers": shown, "body": parsed(body)})
}

/// Everything that comes after `text` and before the answer to a call after it.
fn socket(rpc: Rpc, text: String) -> Value {
    let mut socket = rpc.websocket();
    socket.send(Message::text(text)).unwrap();
    let last = json!({"jsonrpc": "2.0", "id": "last", "method": "health", "params": {}});
    socket.send(Message::text(last.to_string())).unwrap();
    let mut answers = Vec::new();
    loop {
        let answer = receive(&mut socket);
        if answer["id"] == "last" {
            return answers.into();
        }
        answers.push(answer);
    }
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| body.into())
}
