//! Bundles, whole and in pieces.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::Write;

use capstan_app::proto;
use common::{Chain, Client, alice, any, attributes, bob, response, wasm_id};
use cosmrs::Any;
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestPrepareProposal, RequestProcessProposal};

const MODULE: &[u8] = b"a module that is long enough to be cut into pieces";

fn pieces(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    bytes.chunks(size).map(<[u8]>::to_vec).collect()
}

fn begin(
    client: &Client,
    module: &[u8],
    pieces: &[Vec<u8>],
    compression: proto::Compression,
) -> Any {
    let info = |piece: &Vec<u8>| proto::ChunkInfo {
        sha256: Sha256::digest(piece).to_vec(),
        size: piece.len() as u64,
    };
    any(&proto::MsgBeginUpload {
        submitter: client.address().to_string(),
        bundle_id: wasm_id(module),
        compression: compression.into(),
        uncompressed_size: module.len() as u64,
        chunks: pieces.iter().map(info).collect(),
    })
}

fn piece(client: &Client, upload_id: &str, index: u32, data: &[u8]) -> Any {
    any(&proto::MsgUploadChunk {
        submitter: client.address().to_string(),
        upload_id: upload_id.to_owned(),
        index,
        data: data.to_vec(),
    })
}

fn begun(chain: &mut Chain, client: &mut Client, module: &[u8], pieces: &[Vec<u8>]) -> String {
    let tx = client.tx(vec![begin(client, module, pieces, proto::Compression::None)]);
    response::<proto::MsgBeginUploadResponse>(&chain.ok(tx)).upload_id
}

/// A transaction that pays its fee and fails with this code.
fn fails(chain: &mut Chain, tx: Vec<u8>, code: u32, part: &str) {
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert_eq!(result.code, code, "{}", result.log);
    assert!(result.log.contains(part), "{}", result.log);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_bundle_is_installed_once() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let tx = alice.tx(vec![alice.install(MODULE)]);
    let result = chain.ok(tx);
    assert_eq!(attributes(&result.events, "bundle.installed", "bundle_id"), [wasm_id(MODULE)]);
    let bundle = chain.json(&format!("bundles/{}", wasm_id(MODULE)));
    assert_eq!(
        (bundle["kind"].as_str(), bundle["size"].as_u64()),
        (Some("wasm"), Some(MODULE.len() as u64))
    );
    // Again is no error, and no event.
    let tx = alice.tx(vec![alice.install(MODULE)]);
    assert!(attributes(&chain.ok(tx).events, "bundle.installed", "bundle_id").is_empty());
}

#[test]
fn bundles_are_listed_in_pages() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let tx = alice.tx(vec![alice.install(MODULE)]);
    chain.ok(tx);
    let whole = chain.json("bundles");
    let ids = |page: &serde_json::Value| -> Vec<String> {
        let bundles = page["bundles"].as_array().unwrap();
        bundles.iter().map(|b| b["bundle_id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&whole);
    assert!(all.len() >= 2 && all.is_sorted() && all.contains(&wasm_id(MODULE)), "{all:?}");
    assert_eq!(whole["next"], "");
    let (mut after, mut listed) = (String::new(), Vec::new());
    while listed.len() < all.len() {
        let page = chain.json(&format!("bundles?limit=1&after={after}"));
        listed.extend(ids(&page));
        after = page["next"].as_str().unwrap().to_owned();
    }
    assert_eq!((listed, after), (all, String::new()));
}

#[test]
fn unsound_bundles_are_refused_and_the_fee_is_taken() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let before = chain.balance(alice.address());
    let install =
        |alice: &Client, bundle: &[u8], id: String, compression: proto::Compression, size| {
            any(&proto::MsgInstallBundle {
                submitter: alice.address().to_string(),
                bundle: bundle.to_vec(),
                compression: compression.into(),
                uncompressed_size: size,
                bundle_id: id,
            })
        };
    let size = MODULE.len() as u64;
    let (none, zipped) = (proto::Compression::None, proto::Compression::Gzip);
    let tampered = [MODULE, b"!"].concat();
    let cases: Vec<(Vec<u8>, String, proto::Compression, u64, u32, &str)> = vec![
        (tampered, wasm_id(MODULE), none, 0, 43, "does not match actual"),
        (b"bad module".to_vec(), wasm_id(b"bad module"), none, 0, 43, "env.clock"),
        (gzip(&vec![0; 20_000_000]), wasm_id(MODULE), zipped, 1000, 42, "more than the 1000"),
        (gzip(MODULE), wasm_id(MODULE), zipped, size + 1, 42, "were declared"),
        (MODULE.to_vec(), wasm_id(MODULE), zipped, size, 42, "not gzip"),
        (b"PK no zip".to_vec(), format!("b1-{}", "00".repeat(64)), none, 0, 43, "zip archive"),
    ];
    let count = cases.len() as u128;
    for (bytes, id, compression, size, code, part) in cases {
        let tx = alice.tx(vec![install(&alice, &bytes, id, compression, size)]);
        fails(&mut chain, tx, code, part);
    }
    // The first of them makes the account an endpoint.
    assert_eq!(before - chain.balance(alice.address()), 10_000_000 * count + 5_000);
    assert_eq!(chain.query(&format!("bundles/{}", wasm_id(MODULE)), &[]).code, 103);
    let tx = alice.tx(vec![install(&alice, &gzip(MODULE), wasm_id(MODULE), zipped, size)]);
    chain.ok(tx);
}

#[test]
fn pieces_come_in_any_order_and_from_anyone() {
    let mut chain = Chain::new();
    let (mut alice, mut bob) = (alice(), bob());
    let pieces = pieces(MODULE, 20);
    let id = begun(&mut chain, &mut alice, MODULE, &pieces);
    let state = chain.json(&format!("uploads/{id}"));
    assert_eq!(state["missing"], serde_json::json!([0, 1, 2]));
    let last = alice.tx(vec![piece(&alice, &id, 2, &pieces[2])]);
    assert_eq!(response::<proto::MsgUploadChunkResponse>(&chain.ok(last)).missing, 2);
    let first = bob.tx(vec![piece(&bob, &id, 0, &pieces[0])]);
    chain.ok(first);
    assert_eq!(chain.json(&format!("uploads/{id}"))["missing"], serde_json::json!([1]));
    let middle = alice.tx(vec![piece(&alice, &id, 1, &pieces[1])]);
    let done: proto::MsgUploadChunkResponse = response(&chain.ok(middle));
    assert_eq!((done.missing, done.bundle_id), (0, wasm_id(MODULE)));
    assert_eq!(chain.json(&format!("bundles/{}", wasm_id(MODULE)))["size"], MODULE.len());
    assert_eq!(chain.query(&format!("uploads/{id}"), &[]).code, 103);
}

#[test]
fn compressed_uploads_are_unpacked() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let pieces = pieces(&gzip(MODULE), 30);
    let tx = alice.tx(vec![begin(&alice, MODULE, &pieces, proto::Compression::Gzip)]);
    let id = response::<proto::MsgBeginUploadResponse>(&chain.ok(tx)).upload_id;
    let messages =
        pieces.iter().enumerate().map(|(i, p)| piece(&alice, &id, i as u32, p)).collect();
    let tx = alice.tx(messages);
    chain.ok(tx);
    assert_eq!(chain.json(&format!("bundles/{}", wasm_id(MODULE)))["size"], MODULE.len());
}

#[test]
fn wrong_pieces_are_refused_and_the_upload_goes_on() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let pieces = pieces(MODULE, 20);
    let id = begun(&mut chain, &mut alice, MODULE, &pieces);
    let ok = alice.tx(vec![piece(&alice, &id, 0, &pieces[0])]);
    chain.ok(ok);
    let mut corrupt = pieces[1].clone();
    corrupt[3] ^= 1;
    let cases = [
        (piece(&alice, &id, 0, &pieces[0]), 48, "come already"),
        (piece(&alice, &id, 1, &corrupt), 48, "SHA-256"),
        (piece(&alice, &id, 1, &pieces[1][1..]), 48, "bytes"),
        (piece(&alice, &id, 1, &pieces[2]), 48, "bytes"),
        (piece(&alice, &id, 3, &pieces[1]), 48, "pieces 0 to 2"),
        (piece(&alice, &"00".repeat(32), 1, &pieces[1]), 45, "no upload"),
        (begin(&alice, MODULE, &pieces, proto::Compression::None), 46, "under way already"),
    ];
    for (message, code, part) in cases {
        let tx = alice.tx(vec![message]);
        fails(&mut chain, tx, code, part);
    }
    let rest = alice.tx(vec![piece(&alice, &id, 1, &pieces[1]), piece(&alice, &id, 2, &pieces[2])]);
    chain.ok(rest);
    assert_eq!(chain.query(&format!("bundles/{}", wasm_id(MODULE)), &[]).code, 0);
}

#[test]
fn a_bundle_that_turns_out_wrong_is_not_installed() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let other = [MODULE, b"?"].concat();
    let pieces = pieces(&other, 20);
    let tx = alice.tx(vec![any(&proto::MsgBeginUpload {
        submitter: alice.address().to_string(),
        bundle_id: wasm_id(MODULE),
        compression: 0,
        uncompressed_size: other.len() as u64,
        chunks: pieces
            .iter()
            .map(|p| proto::ChunkInfo { sha256: Sha256::digest(p).to_vec(), size: p.len() as u64 })
            .collect(),
    })]);
    let id = response::<proto::MsgBeginUploadResponse>(&chain.ok(tx)).upload_id;
    let messages =
        pieces.iter().enumerate().map(|(i, p)| piece(&alice, &id, i as u32, p)).collect();
    let tx = alice.tx(messages);
    fails(&mut chain, tx, 43, "does not match actual");
    assert_eq!(chain.query(&format!("bundles/{}", wasm_id(MODULE)), &[]).code, 103);
}

#[test]
fn a_bundle_is_verified_once_for_the_pieces_that_were_paid_for() {
    let mut chain = Chain::new();
    let mut alice = alice();
    // The last piece completes the bundle, and a later message fails: the piece cannot be sent again.
    for (number, is_good) in [(0, false), (1, true)] {
        let module = [MODULE, &[number]].concat();
        let pieces = pieces(&module, 20);
        let id = begun(&mut chain, &mut alice, &module, &pieces);
        let last = pieces.len() as u32 - 1;
        for (index, data) in pieces.iter().enumerate().take(last as usize) {
            let tx = alice.tx(vec![piece(&alice, &id, index as u32, data)]);
            chain.ok(tx);
        }
        let mut messages = vec![piece(&alice, &id, last, &pieces[last as usize])];
        if !is_good {
            messages.push(piece(&alice, &"ab".repeat(32), 0, b"of no upload"));
        }
        let tx = alice.tx(messages);
        let result = chain.block(&[tx]).tx_results.remove(0);
        assert_eq!(result.code == 0, is_good, "{}", result.log);
        let failed = attributes(&result.events, "upload.failed", "upload_id");
        assert_eq!(failed.len(), usize::from(!is_good));
        let again = alice.tx(vec![piece(&alice, &id, last, &pieces[last as usize])]);
        fails(&mut chain, again, 45, &id);
    }
}

#[test]
fn an_upload_is_forgotten_at_its_deadline() {
    let mut chain = Chain::with_params(|p| p.upload_deadline_blocks = 3);
    let mut alice = alice();
    let pieces = pieces(MODULE, 20);
    let id = begun(&mut chain, &mut alice, MODULE, &pieces);
    let tx = alice.tx(vec![piece(&alice, &id, 0, &pieces[0])]);
    chain.ok(tx);
    assert!(chain.block(&[]).events.is_empty());
    let events = chain.block(&[]).events;
    assert_eq!(attributes(&events, "upload.expired", "upload_id"), std::slice::from_ref(&id));
    let tx = alice.tx(vec![piece(&alice, &id, 1, &pieces[1])]);
    fails(&mut chain, tx, 45, "expired");
    // The quota is free again, and so is the name.
    assert_eq!(begun(&mut chain, &mut alice, MODULE, &pieces), id);
}

#[test]
fn uploads_have_a_quota() {
    let mut chain = Chain::with_params(|p| {
        p.max_uploads_per_account = 2;
        p.max_upload_bytes_per_account = 60;
    });
    let (mut alice, mut bob) = (alice(), bob());
    let small = |n: u8| vec![vec![n; 20]];
    begun(&mut chain, &mut alice, &[1; 20], &small(1));
    let tx = alice.tx(vec![begin(&alice, &[2; 50], &[vec![2; 50]], proto::Compression::None)]);
    fails(&mut chain, tx, 47, "max_upload_bytes_per_account");
    let second = begun(&mut chain, &mut alice, &[3; 20], &small(3));
    let tx = alice.tx(vec![begin(&alice, &[4; 20], &small(4), proto::Compression::None)]);
    fails(&mut chain, tx, 47, "max_uploads_per_account");
    // Another account has its own quota, and a completed upload frees some.
    begun(&mut chain, &mut bob, &[4; 20], &small(4));
    let tx = alice.tx(vec![piece(&alice, &second, 0, &[3; 20])]);
    chain.ok(tx);
    begun(&mut chain, &mut alice, &[4; 20], &small(4));
}

#[test]
fn a_block_has_room_for_the_bundles_that_its_last_pieces_complete() {
    let mut chain = Chain::with_params(|p| p.block_computrons = 1_600_000);
    let mut last = Vec::new();
    for (mut client, number) in [(alice(), 1), (bob(), 2)] {
        // A few bytes, and half of what a block's transactions may count once they are unpacked.
        let module = vec![number; 100_000];
        let packed = pieces(&gzip(&module), 60);
        assert!(packed.len() > 1);
        let tx = client.tx(vec![begin(&client, &module, &packed, proto::Compression::Gzip)]);
        let id = response::<proto::MsgBeginUploadResponse>(&chain.ok(tx)).upload_id;
        let end = packed.len() - 1;
        for (index, data) in packed[..end].iter().enumerate() {
            let tx = client.tx(vec![piece(&client, &id, index as u32, data)]);
            chain.ok(tx);
        }
        last.push(client.tx(vec![piece(&client, &id, end as u32, &packed[end])]));
    }
    let all: Vec<_> = last.iter().cloned().map(prost::bytes::Bytes::from).collect();
    let request =
        RequestPrepareProposal { txs: all.clone(), max_tx_bytes: 1 << 20, ..Default::default() };
    assert_eq!(chain.app.prepare_proposal(request).txs, all[..1]);
    let accepts = |chain: &Chain, txs: &[prost::bytes::Bytes]| {
        let request = RequestProcessProposal { txs: txs.to_vec(), ..Default::default() };
        chain.app.process_proposal(request).status == 1
    };
    assert!(accepts(&chain, &all[..1]) && !accepts(&chain, &all));
    chain.ok(last[0].clone());
    assert!(accepts(&chain, &all[1..]));
    chain.ok(last[1].clone());
}
