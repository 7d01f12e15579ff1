//! Bad input over the RPC: each is refused with a reason, and the chain goes on as if it had not come.
#![allow(clippy::unwrap_used)] // tests

use std::io::Write as _;

use capstan_client::proto::{
    ChunkInfo, Compression, MsgBeginUpload, MsgInstallBundle, MsgSend, MsgUploadChunk,
};
use capstan_client::{Amount, Bundle, Client, ClientError, Key, SignedTx, TxBuilder, Wallet};
use capstan_tests::{Node, example};
use cosmrs::Any;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

const FEE: Amount = Amount(100_000_000);

/// The code and text of a refusal, by the check or in a block.
fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u32, String) {
    match result.unwrap_err() {
        ClientError::Refused { code, log, .. } | ClientError::Failed { code, log, .. } => {
            (code, log)
        }
        other => panic!("not a refusal: {other:?}"),
    }
}

/// Asserts that a refusal has this code and says this.
fn assert_refused<T: std::fmt::Debug>(result: Result<T, ClientError>, code: u32, part: &str) {
    let (found, log) = refusal(result);
    assert!(
        found == code && log.contains(part),
        "expected code {code} and {part:?}, got code {found}: {log}"
    );
}

/// Asserts that the chain still does what it should.
fn assert_unharmed(node: &Node) {
    let wallet = node.wallet(2);
    wallet.transfer(&Key::dev(0).address(), Amount(1)).unwrap();
    assert_eq!(node.client().vat("v1").unwrap().status, "running");
}

fn message(sender: &str) -> MsgSend {
    MsgSend {
        sender: sender.to_owned(),
        target: "factory".into(),
        method: "lookup".into(),
        args: None,
    }
}

#[test]
fn transactions_that_are_not_their_signers_own() {
    let node = Node::start(|_| {});
    let client = node.client();
    let (alice, bob) = (Key::dev(0), Key::dev(1));
    let data = client.signer_data(&alice.address()).unwrap();
    let tx = TxBuilder::new().message(&message(&alice.address().to_string())).fee(FEE);
    let good = tx.sign(&alice, &data).unwrap();

    let mut forged = good.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_refused(client.broadcast_sync(&SignedTx::from_bytes(forged)), 11, "does not verify");
    let other = capstan_client::SignerData { chain_id: "other-chain".into(), ..data.clone() };
    assert_refused(client.broadcast_sync(&tx.sign(&alice, &other).unwrap()), 11, "capstan-test-1");
    let bobs = client.signer_data(&bob.address()).unwrap();
    assert_refused(client.broadcast_sync(&tx.sign(&bob, &bobs).unwrap()), 13, "acts for");

    let mut trailing = good.bytes().to_vec();
    trailing.extend([0x7a, 0x01, 0x00]);
    assert_refused(client.broadcast_sync(&SignedTx::from_bytes(trailing)), 4, "canonical");
    for garbage in [&b"\xff\xff"[..], b"not a transaction"] {
        let (code, _) = refusal(client.broadcast_sync(&SignedTx::from_bytes(garbage.to_vec())));
        assert!(code != 0, "{garbage:?}");
    }

    let unknown = Any { type_url: "/capstan.v1.MsgMintMoney".into(), value: vec![] };
    let unknown = TxBuilder::new().any(unknown).fee(FEE).sign(&alice, &data).unwrap();
    assert_refused(client.broadcast_sync(&unknown), 6, "MsgMintMoney");
    let free = TxBuilder::new()
        .message(&message(&alice.address().to_string()))
        .sign(&alice, &data)
        .unwrap();
    assert_refused(client.broadcast_sync(&free), 15, "costs at least");

    client.broadcast_commit(&good).unwrap();
    // The same bytes again are a duplicate to the mempool; the same sequence in another transaction is a replay.
    assert!(client.broadcast_sync(&good).is_err());
    let replayed = tx.memo("again").sign(&alice, &data).unwrap();
    assert_refused(client.broadcast_sync(&replayed), 12, "expected 1, got 0");
    assert_unharmed(&node);
}

#[test]
fn bundles_that_are_not_what_they_say() {
    let node = Node::start(|params| params.max_bundle_bytes = 1 << 20);
    let alice = node.wallet(0);
    let counter = example("counter");
    let install = |bytes: &[u8], compression: Compression, size: usize, id: &str| {
        let message = MsgInstallBundle {
            submitter: alice.address().to_string(),
            bundle: bytes.to_vec(),
            compression: compression.into(),
            uncompressed_size: size as u64,
            bundle_id: id.to_owned(),
        };
        alice.submit(TxBuilder::new().message(&message), size as u64)
    };
    let plain = |bytes: &[u8], id: &str| install(bytes, Compression::None, bytes.len(), id);

    let mut tampered = counter.bytes.clone();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    assert_refused(plain(&tampered, &counter.id), 43, "bundle is refused");
    let alleged = format!("b1-{}", "0".repeat(128));
    assert_refused(plain(&counter.bytes, &alleged), 43, "bundle is refused");
    assert_refused(plain(b"PK\x03\x04 and then nothing", &alleged), 43, "bundle is refused");

    // A bomb: a few kilobytes that declare little and become much, or declare more than is allowed.
    let bomb = gzip(&vec![0; 8 << 20]);
    assert_refused(install(&bomb, Compression::Gzip, 1000, &counter.id), 42, "");
    let (code, log) = refusal(install(&bomb, Compression::Gzip, 8 << 20, &counter.id));
    assert!(code == 22 || code == 43, "{code}: {log}");
    assert!(log.contains("max_bundle_bytes") || log.contains("1048576"), "{log}");
    assert_refused(install(b"no gzip", Compression::Gzip, 1000, &counter.id), 42, "");
    let huge = Bundle::from_wasm(vec![0; 2 << 20]);
    assert!(matches!(alice.install_bundle(&huge), Err(ClientError::BundleTooLarge { .. })));

    for (text, part) in [
        (
            r#"(module (import "env" "now" (func (result i64))) (memory (export "memory") 1 2))"#,
            "env",
        ),
        ("(module (memory (export \"memory\") 1))", "maximum"),
        ("(module (memory (export \"memory\") 1 2) (func $f) (start $f))", "start"),
        ("(module (memory (export \"memory\") 1 2) (func (drop (v128.const i64x2 0 0))))", ""),
        ("(module)", ""),
    ] {
        let module = Bundle::from_wasm(wat::parse_str(text).unwrap());
        let (code, log) = refusal(plain(&module.bytes, &module.id));
        assert!(code == 43 && log.contains(part), "{text}: {code}: {log}");
    }
    assert!(node.client().bundle(&counter.id).is_err(), "nothing was installed");
    alice.install_bundle(&counter).unwrap();
    assert_unharmed(&node);
}

/// The beginning of an upload of a bundle in these pieces.
fn begin_of(submitter: &Wallet, bundle: &Bundle, pieces: &[&[u8]]) -> MsgBeginUpload {
    MsgBeginUpload {
        submitter: submitter.address().to_string(),
        bundle_id: bundle.id.to_string(),
        compression: Compression::None.into(),
        uncompressed_size: bundle.bytes.len() as u64,
        chunks: pieces
            .iter()
            .map(|piece| ChunkInfo {
                sha256: Sha256::digest(piece).to_vec(),
                size: piece.len() as u64,
            })
            .collect(),
    }
}

#[test]
fn uploads_whose_pieces_come_wrong() {
    let node = Node::start(|params| {
        params.upload_deadline_blocks = 60;
        params.max_chunk_bytes = 128 << 10;
    });
    let alice = node.wallet(0);
    let counter = example("counter");
    let pieces: Vec<&[u8]> = counter.bytes.chunks(100_000).collect();
    assert!(pieces.len() > 2);
    let begin = begin_of(&alice, &counter, &pieces);
    let begin_upload = || {
        let done = alice.submit(TxBuilder::new().message(&begin), counter.bytes.len() as u64)?;
        Ok::<_, ClientError>(
            done.response::<capstan_client::proto::MsgBeginUploadResponse>(0)?.upload_id,
        )
    };
    let upload = begin_upload().unwrap();
    assert_refused(begin_upload(), 46, "under way");
    let send = |upload: &str, index: u32, data: &[u8]| {
        let (submitter, upload_id) = (alice.address().to_string(), upload.to_owned());
        let message = MsgUploadChunk { submitter, upload_id, index, data: data.to_vec() };
        let done = alice.submit(TxBuilder::new().message(&message), 0)?;
        done.response::<capstan_client::proto::MsgUploadChunkResponse>(0)
    };
    let mut corrupt = pieces[0].to_vec();
    corrupt[5] ^= 1;
    assert_refused(send(&upload, 0, &corrupt), 48, "piece 0");
    assert_refused(send(&upload, 0, &pieces[0][1..]), 48, "piece 0");
    assert_refused(send(&upload, 99, pieces[0]), 48, "piece 99");
    assert_refused(send(&"0".repeat(64), 0, pieces[0]), 45, "no upload");
    // Out of order is fine, twice is not harmful, and the bundle is there with the last piece only.
    let last = u32::try_from(pieces.len() - 1).unwrap();
    for index in (1..=last).rev() {
        let answer = send(&upload, index, pieces[index as usize]).unwrap();
        assert_eq!((answer.missing, answer.bundle_id.as_str()), (index, ""));
    }
    let (code, _) = send(&upload, last, pieces[last as usize])
        .map_or_else(|e| refusal(Err::<(), _>(e)), |_| (0, String::new()));
    assert!(code == 0 || code == 48, "{code}");
    assert!(node.client().bundle(&counter.id).is_err());

    // It is left incomplete until its time is over: each transfer makes a block or more.
    let begun = node.client().status().unwrap().height;
    for _ in 0..60 {
        alice.transfer(&Key::dev(1).address(), Amount(1)).unwrap();
    }
    assert!(node.client().status().unwrap().height >= begun + 60);
    assert_refused(send(&upload, 0, pieces[0]), 45, "expired");
    let again = begin_upload().unwrap();
    for (index, piece) in (0..).zip(&pieces) {
        send(&again, index, piece).unwrap();
    }
    assert_eq!(node.client().bundle(&counter.id).unwrap().size, counter.bytes.len() as u64);
    assert_unharmed(&node);
}

#[test]
fn questions_that_make_no_sense() {
    let node = Node::start(|_| {});
    let client = node.client();
    for (path, data, code, part) in [
        ("", "", 101, "unknown query path"),
        ("vat-stats", "", 101, "unknown query path"),
        ("vats/7/stats", "", 102, "not a vat id"),
        ("vats/v777", "", 103, "no vat v777"),
        ("vats?limit=many", "", 102, "not a number"),
        ("vats", "{\"limit\":", 102, "not JSON"),
        ("vats", "[]", 102, "JSON object"),
        ("promises/ko20", "", 102, "not a kernel promise"),
        ("bundles/b1-00", "", 102, "not a bundle id"),
        ("/capstan.v1.Query/VatStats", "\u{ff}", 102, "not protobuf"),
    ] {
        let error = client.abci_query(path, data.as_bytes(), 0, false).unwrap_err();
        let ClientError::Query { code: found, log, .. } = &error else {
            panic!("{path}: {error:?}")
        };
        assert!(*found == code && log.contains(part), "{path}: {found}: {log}");
    }
    for body in [
        "{",
        "5",
        "[1]",
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"nonsense"}"#,
    ] {
        let answer = post(client, body);
        assert!(answer.contains("\"error\""), "{body}: {answer}");
    }
    assert_unharmed(&node);
}

/// The answer to a raw HTTP request.
fn post(client: &Client, body: &str) -> String {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(client.addr()).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn accounts_that_cannot_pay() {
    let node = Node::start(|_| {});
    let (_, stranger) = Key::generate().unwrap();
    let nobody = Wallet::new(node.client(), stranger);
    assert!(matches!(
        nobody.transfer(&Key::dev(0).address(), Amount(1)),
        Err(ClientError::Query { code: 103, .. })
    ));
    let alice = node.wallet(0);
    assert_refused(alice.transfer(&Key::dev(1).address(), Amount(u128::MAX / 2)), 40, "owns");
    alice.transfer(&nobody.address(), Amount(10)).unwrap();
    assert_refused(nobody.transfer(&alice.address(), Amount(1)), 17, "cannot pay the fee");
    assert_unharmed(&node);
}
