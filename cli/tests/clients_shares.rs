//! A stranger has a share of gRPC and REST: others have connections and memory however many it holds.
#![cfg(target_os = "linux")] // other systems have no second loopback address
#![allow(clippy::unwrap_used)] // tests

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::gateway::{Grpc, rest};
use common::h2::{ACK, END_STREAM, HEADERS, NO_WINDOW, PING, begin, call, connect, send};
use common::{Dev, Place};
use cosmrs::proto::cosmos::base::tendermint::v1beta1::{GetNodeInfoRequest, GetNodeInfoResponse};
use tonic::Status;

const INFO: &str = "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo";
/// Time in which others must be served on a busy machine. Idle connections stay for a minute.
const PROMPTLY: Duration = Duration::from_secs(20);

const CONFIG: &str = "\
[gateway]
max_request_bytes = 4000
max_answer_bytes = 4000
max_pending_bytes = 16000
max_connections = 6
[rpc]
max_websockets = 4
[log]
file = \"node.log\"
";

#[test]
fn a_stranger_holds_no_more_than_a_share() {
    let place = Place::new();
    assert_eq!(place.run(&["init"]).code, 0);
    fs::write(place.home().join("config.toml"), CONFIG).unwrap();
    let dev = place.dev();
    answers_that_are_not_taken_leave_memory_for_others(&dev);
    silent_connections_make_room(&dev);
    websockets_make_room(&dev);
    floods_write_no_log(&dev, &place);
    assert!(dev.stop("TERM").success());
}

fn info(dev: &Dev) -> Result<(), Box<Status>> {
    Grpc::connect(dev)
        .call::<_, GetNodeInfoResponse>(INFO, GetNodeInfoRequest {})
        .map(|_| ())
        .map_err(Box::new)
}

/// Connects to a service from another loopback address.
fn from(last: u8, dev: &Dev, service: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = dev.ready[service].as_str().unwrap();
    let to: SocketAddr = text.trim_start_matches("http://").parse().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Clients that ask for more than the memory for answers has room for, and take no byte of them.
fn answers_that_are_not_taken_leave_memory_for_others(dev: &Dev) {
    let hold = |last| {
        let mut stream = begin(from(last, dev, "grpc"), &NO_WINDOW);
        assert!((0..30).all(|number| call(&mut stream, 1 + 2 * number, INFO)));
        refused(&mut stream);
        stream
    };
    let held: Vec<_> = (0..3).map(|_| hold(2)).collect();
    info(dev).unwrap();
    drop(held);
    // Nor do several addresses together.
    let held: Vec<_> = (2..6).map(hold).collect();
    let began = Instant::now();
    while let Err(status) = info(dev) {
        assert!(began.elapsed() < PROMPTLY, "{status}");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(held);
}

/// Waits until a call was refused. Its answer is a header alone, which needs no window.
fn refused(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PROMPTLY)).unwrap();
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).unwrap();
        let [a, b, c, kind, flags, ..] = frame;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).unwrap();
        if kind == HEADERS && flags & END_STREAM != 0 {
            return;
        }
    }
}

/// Connections that send nothing, of one address and of many.
fn silent_connections_make_room(dev: &Dev) {
    for service in ["grpc", "rest"] {
        let began = Instant::now();
        let one: Vec<_> = (0..20).map(|_| from(2, dev, service)).collect();
        served(dev, service);
        let many: Vec<_> = (10..30).map(|last| from(last, dev, service)).collect();
        served(dev, service);
        assert!(began.elapsed() < PROMPTLY, "{service}: {:?}", began.elapsed());
        drop((one, many));
    }
}

/// Two addresses that have all WebSockets together.
fn websockets_make_room(dev: &Dev) {
    let open = |last| {
        let mut stream = from(last, dev, "rpc");
        stream.set_read_timeout(Some(PROMPTLY)).unwrap();
        let request = "GET /websocket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (String::from_utf8(status.to_vec()).unwrap(), stream)
    };
    let held: Vec<_> = [2, 2, 3, 3].map(open).into();
    assert!(held.iter().all(|(status, _)| status.ends_with("101")), "{held:?}");
    assert!(open(2).0.ends_with("503"), "more than its share");
    let (status, _newcomer) = open(4);
    assert!(status.ends_with("101"), "{status}");
    // The oldest one of an address with two has ended.
    let ends = held.into_iter().map(|(_, mut stream)| {
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).is_ok()
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends.iter().filter(|ends| **ends).count(), 1, "{ends:?}");
    assert!(ends[0] || ends[2], "{ends:?}");
}

fn served(dev: &Dev, service: &str) {
    match service {
        "grpc" => info(dev).unwrap(),
        _ => assert!(rest(dev, "/cosmos/base/tendermint/v1beta1/syncing")["syncing"].is_boolean()),
    }
}

/// Frames of which the library warns, each time.
fn floods_write_no_log(dev: &Dev, place: &Place) {
    let mut stream = connect(dev, &[]);
    let mut sent = 0;
    while sent < 2_000 && send(&mut stream, PING, ACK, 0, &[9; 8]) {
        sent += 1;
    }
    assert!(sent > 100, "{sent} frames");
    info(dev).unwrap();
    let log = fs::read_to_string(place.home().join("node.log")).unwrap_or_default();
    assert!(log.lines().count() < 20, "{log}");
}
