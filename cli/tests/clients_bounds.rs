//! What strangers send to gRPC and REST is bounded, and does not keep others from being served.
#![allow(clippy::unwrap_used)] // tests

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use capstan_client::Key;
use common::gateway::{Grpc, rest, rest_post, rest_status};
use common::h2::{END_HEADERS, HEADERS, PING, RESET, connect, header, send};
use common::{Dev, Place};
use cosmrs::proto::cosmos::auth::v1beta1::{QueryAccountRequest, QueryAccountResponse};
use serde_json::json;
use tonic::Code;

const ACCOUNT: &str = "/cosmos.auth.v1beta1.Query/Account";
/// Time after which a connection of no use is closed, in the test's configuration.
const IDLE: Duration = Duration::from_secs(1);
/// Time in which it must be closed on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(place: &Place) -> Dev {
    assert_eq!(place.run(&["init"]).code, 0);
    let config = "[gateway]\nmax_request_bytes = 10000\nidle_timeout_ms = 1000\nmax_connections = 4\n[grpc]\nmax_streams = 4\n";
    fs::write(place.home().join("config.toml"), config).unwrap();
    place.dev()
}

#[test]
fn strangers_are_bounded_and_others_are_served() {
    let place = Place::new();
    let dev = start(&place);
    sizes(&dev);
    pings_keep_no_connection(&dev);
    bodies_that_never_come_end(&dev);
    resets_end_the_connection(&dev);
    garbage_ends_the_connection(&dev);
    // As many as may be open, which do nothing: others wait until these are closed.
    let silent: Vec<_> = (0..8).map(|_| connect(&dev, &[])).collect();
    serves(&dev);
    drop(silent);
    let metrics = ureq::get(format!("{}/metrics", dev.url())).call().unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    for (name, least) in [("calls", 2), ("failed", 1), ("refused", 1), ("dropped", 2)] {
        let prefix = format!("capstan_gateway_{name}_total{{protocol=\"grpc\"}} ");
        let line = metrics.lines().find(|line| line.starts_with(&prefix)).unwrap();
        let value: u64 = line[prefix.len()..].parse().unwrap();
        assert!(value >= least, "{line}");
    }
    assert!(dev.stop("TERM").success());
}

fn serves(dev: &Dev) {
    let request = QueryAccountRequest { address: Key::dev(0).address().to_string() };
    Grpc::connect(dev).call::<_, QueryAccountResponse>(ACCOUNT, request).unwrap();
}

fn sizes(dev: &Dev) {
    let request = QueryAccountRequest { address: "x".repeat(20_000) };
    let grpc = Grpc::connect(dev);
    let refused = grpc.call::<_, QueryAccountResponse>(ACCOUNT, request).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let body = json!({"tx_bytes": "A".repeat(20_000)}).to_string();
    assert_eq!(rest_post(dev, "/cosmos/tx/v1beta1/simulate", &body).0, 429);
    let many = "a=1&".repeat(101);
    assert_eq!(rest_status(dev, &format!("/capstan/v1/vats?{many}")).0, 400);
    let long = "x".repeat(20_000);
    assert_eq!(rest_status(dev, &format!("/capstan/v1/vats/{long}")).0, 400);
    let wide = rest(dev, "/cosmos/auth/v1beta1/accounts?pagination.limit=18446744073709551615");
    assert!(wide["accounts"].is_array());
    let broad = rest_status(dev, "/cosmos/tx/v1beta1/txs?query=tx.height%3E0&limit=1000000");
    assert_eq!(broad.0, 200, "{}", broad.1);
}

fn pings_keep_no_connection(dev: &Dev) {
    let mut stream = connect(dev, &[]);
    let began = Instant::now();
    while send(&mut stream, PING, 0, 0, &[7; 8]) {
        assert!(began.elapsed() < PATIENCE, "a connection of pings stays open");
        std::thread::sleep(IDLE / 5);
    }
}

fn bodies_that_never_come_end(dev: &Dev) {
    let mut stream = connect(dev, &[]);
    for id in [1, 3] {
        assert!(send(&mut stream, HEADERS, END_HEADERS, id, &header(ACCOUNT)));
    }
    closes(&mut stream, "streams without bodies");
}

fn resets_end_the_connection(dev: &Dev) {
    let mut stream = connect(dev, &[]);
    let mut is_open = true;
    for id in (1..20_000).step_by(2) {
        is_open &= send(&mut stream, HEADERS, END_HEADERS, id, &header(ACCOUNT));
        is_open &= send(&mut stream, RESET, 0, id, &[0, 0, 0, 8]);
    }
    if is_open {
        closes(&mut stream, "a flood of resets");
    }
}

fn garbage_ends_the_connection(dev: &Dev) {
    let mut stream = TcpStream::connect(dev.ready["grpc"].as_str().unwrap()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    closes(&mut stream, "HTTP/1.1");
}

/// Reads until the connection ends.
fn closes(stream: &mut TcpStream, what: &str) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 4096];
    let began = Instant::now();
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => assert!(began.elapsed() < PATIENCE, "{what}: the connection stays open"),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("{what}: the connection stays open")
            }
            Err(_) => return,
        }
    }
}
