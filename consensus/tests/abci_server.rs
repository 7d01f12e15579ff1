//! The ABCI server keeps serving CometBFT, whatever others send it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

#[path = "support/app.rs"]
mod app;

use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use app::TestApp;
use capstan_consensus::comet::{AbciAddr, AbciServer};
use prost::Message as _;
use prost::bytes::Bytes;
use tendermint_proto::v0_38::abci::{
    Request, RequestCheckTx, RequestCommit, RequestEcho, RequestFinalizeBlock, RequestFlush,
    RequestInfo, RequestInitChain, RequestQuery, Response, ResponseEcho, request::Value as Ask,
    response::Value as Answer,
};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

struct Place {
    _dir: tempfile::TempDir,
    app: TestApp,
    server: AbciServer,
}

/// A connection, as CometBFT has it.
struct Peer {
    stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = TestApp::open(dir.path());
        let server = AbciServer::start(app.clone(), &"tcp://127.0.0.1:0".parse().unwrap()).unwrap();
        Self { _dir: dir, app, server }
    }

    fn peer(&self) -> Peer {
        let AbciAddr::Tcp(addr) = self.server.addr() else { panic!("{}", self.server.addr()) };
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { input: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// A chain at its genesis, and the connection that made it.
    fn chain(&self) -> Peer {
        let mut peer = self.peer();
        let genesis = RequestInitChain { app_state_bytes: "{}".into(), ..Default::default() };
        peer.call(Ask::InitChain(genesis));
        peer
    }
}

impl Peer {
    fn send(&mut self, request: Ask) {
        let frame = Request { value: Some(request) }.encode_length_delimited_to_vec();
        self.stream.write_all(&frame).unwrap();
    }

    fn receive(&mut self) -> Answer {
        let mut length = 0;
        for shift in (0..).step_by(7) {
            let mut byte = [0];
            self.input.read_exact(&mut byte).unwrap();
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes).unwrap();
        Response::decode(bytes.as_slice()).unwrap().value.unwrap()
    }

    fn call(&mut self, request: Ask) -> Answer {
        self.send(request);
        self.receive()
    }

    fn echo(&mut self, text: &str) {
        let answer = self.call(Ask::Echo(RequestEcho { message: text.to_owned() }));
        assert!(matches!(answer, Answer::Echo(echo) if echo.message == text));
    }

    /// The text of the exception with which the server ends the connection.
    fn refused(&mut self) -> String {
        let Answer::Exception(exception) = self.receive() else { panic!("expected an exception") };
        let mut rest = Vec::new();
        self.input.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "the connection ends after the exception");
        exception.error
    }
}

fn block(height: i64, txs: Vec<Bytes>) -> Ask {
    Ask::FinalizeBlock(RequestFinalizeBlock { height, txs, ..Default::default() })
}

#[test]
fn what_is_no_frame_ends_its_own_connection_only() {
    let place = Place::new();
    let mut comet = place.chain();
    for (bytes, reason) in [
        (vec![0xff; 11], "varint"),
        (vec![0xff, 0xff, 0xff, 0xff, 0x7f], "at most"),
        (vec![3, 0xff, 0xff, 0xff], "protobuf"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: someone/1.0\r\n\r\n"
                .to_vec(),
            "",
        ),
    ] {
        let mut stranger = place.peer();
        stranger.stream.write_all(&bytes).unwrap();
        let error = stranger.refused();
        assert!(error.contains(reason), "{bytes:?}: {error}");
        comet.echo("still there");
    }
    // An empty request is a frame: the answer is an exception and the connection may go on.
    let mut stranger = place.peer();
    stranger.stream.write_all(&[0]).unwrap();
    assert!(matches!(stranger.receive(), Answer::Exception(e) if e.error.contains("empty")));
    comet.echo("still there");
}

#[test]
fn a_frame_that_is_cut_or_stands_still_holds_nobody_up() {
    let place = Place::new();
    let mut comet = place.chain();
    let frame = Request { value: Some(block(1, vec![Bytes::from(vec![b'x'; 5000])])) }
        .encode_length_delimited_to_vec();
    for end in [1, 2, 3, 1000, frame.len() - 1] {
        let mut cut = place.peer();
        cut.stream.write_all(&frame[..end]).unwrap();
        cut.stream.shutdown(Shutdown::Write).unwrap();
        assert!(cut.refused().contains("in the middle"), "{end} bytes");
        let mut still = place.peer();
        still.stream.write_all(&frame[..end]).unwrap();
        comet.echo("while another peer is in the middle of a frame");
    }
    // None of these blocks was executed: the next one is still the first.
    assert!(matches!(comet.call(block(1, vec![])), Answer::FinalizeBlock(_)));
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let place = Place::new();
    let mut slow = place.peer();
    let request = Request { value: Some(Ask::Echo(RequestEcho { message: "slow".to_owned() })) };
    for byte in request.encode_length_delimited_to_vec() {
        slow.stream.write_all(&[byte]).unwrap();
        slow.stream.flush().unwrap();
    }
    assert!(matches!(slow.receive(), Answer::Echo(echo) if echo.message == "slow"));
}

#[test]
fn requests_sent_together_are_answered_in_their_order() {
    let place = Place::new();
    let mut comet = place.peer();
    for number in 0..500 {
        comet.send(Ask::Echo(RequestEcho { message: number.to_string() }));
    }
    comet.send(Ask::Flush(RequestFlush {}));
    for number in 0..500 {
        let answer = comet.receive();
        assert!(matches!(answer, Answer::Echo(echo) if echo.message == number.to_string()));
    }
    assert!(matches!(comet.receive(), Answer::Flush(_)));
}

#[test]
fn connections_beyond_the_limit_are_refused_until_others_end() {
    let place = Place::new();
    let mut comet = place.peer();
    comet.echo("first");
    let mut crowd: Vec<Peer> = (0..15).map(|_| place.peer()).collect();
    crowd.iter_mut().for_each(|peer| peer.echo("one of the crowd"));
    let mut refused = place.peer();
    // What was sent to a connection that is refused may be lost by a reset instead of an end.
    let ended = refused.input.read(&mut [0]);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    comet.echo("still there");
    drop(crowd);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut again = place.peer();
        again.send(Ask::Echo(RequestEcho { message: "again".to_owned() }));
        if matches!(again.input.read(&mut [0]), Ok(1)) {
            return;
        }
        assert!(Instant::now() < deadline, "no connection is taken after others ended");
    }
}

#[test]
fn a_block_of_20_mb_arrives_whole() {
    let place = Place::new();
    let mut comet = place.chain();
    let txs: Vec<Bytes> =
        (0..20).map(|n| format!("key{n}={}", "v".repeat(1 << 20)).into()).collect();
    let Answer::FinalizeBlock(done) = comet.call(block(1, txs)) else { panic!("no block") };
    assert_eq!(done.tx_results.len(), 20);
    // The test's application answers with the value that it was given.
    assert!(done.tx_results.iter().all(|result| result.data.len() == 1 << 20));
    assert!(matches!(comet.call(Ask::Commit(RequestCommit {})), Answer::Commit(_)));
    let Answer::Info(info) = comet.call(Ask::Info(RequestInfo::default())) else { panic!() };
    assert_eq!(info.last_block_height, 1);
}

#[test]
fn checks_and_queries_are_answered_while_a_block_runs() {
    let place = Place::new();
    let mut consensus = place.chain();
    consensus.call(block(1, vec!["a=1".into()]));
    consensus.call(Ask::Commit(RequestCommit {}));
    consensus.send(block(2, vec!["slow=1".into()]));
    let deadline = Instant::now() + PATIENCE;
    while !place.app.is_slow() {
        assert!(Instant::now() < deadline, "the block does not begin");
        std::thread::yield_now();
    }
    let check = RequestCheckTx { tx: "b=2".into(), r#type: 0 };
    assert!(matches!(place.peer().call(Ask::CheckTx(check)), Answer::CheckTx(c) if c.code == 0));
    let query = RequestQuery { data: "a".into(), path: "/key".to_owned(), ..Default::default() };
    assert!(matches!(place.peer().call(Ask::Query(query)), Answer::Query(q) if q.value == "1"));
    place.app.release();
    assert!(matches!(consensus.receive(), Answer::FinalizeBlock(_)));
}

#[test]
fn a_unix_socket_serves_as_well_and_is_gone_when_the_server_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("abci.sock");
    let addr: AbciAddr = format!("unix://{}", path.display()).parse().unwrap();
    for _ in 0..2 {
        let server = AbciServer::start(TestApp::open(dir.path()), &addr).unwrap();
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let ask = Request { value: Some(Ask::Echo(RequestEcho { message: "hello".into() })) };
        stream.write_all(&ask.encode_length_delimited_to_vec()).unwrap();
        let expected =
            Response { value: Some(Answer::Echo(ResponseEcho { message: "hello".into() })) };
        let expected = expected.encode_length_delimited_to_vec();
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, expected);
        drop(server);
        assert!(!path.exists());
    }
}
