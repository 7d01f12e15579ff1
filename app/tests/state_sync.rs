//! State sync by ABCI: a node writes snapshots beside its blocks, another one begins with one and goes on as the first, and
//! whoever sends something else is named.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;
#[path = "common/engine.rs"]
mod engine;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use capstan_app::{App, AppOptions, FatalHandler, SyncOptions, proto, sync::Restorer};
use capstan_kernel_ports::{Hash, host::VatHost as _};
use capstan_store::{
    FILE, JOURNAL_FILE, Options, SNAPSHOT_FORMAT, SnapshotHead, Store, chunk_hash,
};
use capstan_vat_host::WasmHost;
use common::{Chain, Client, alice, any, capdata};
use engine::{genesis, host};
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::{
    RequestApplySnapshotChunk, RequestLoadSnapshotChunk, RequestOfferSnapshot,
    ResponseApplySnapshotChunk, Snapshot, response_apply_snapshot_chunk::Result as Applied,
    response_offer_snapshot::Result as Offer,
};

/// Number of blocks between two snapshots.
const INTERVAL: u64 = 4;

fn open(dir: &Path) -> App<WasmHost> {
    let store_dir = dir.join("state");
    let store = Store::open(&store_dir, Options::default()).unwrap();
    let state_sync = SyncOptions {
        dir: dir.join("snapshots"),
        interval: INTERVAL,
        keep: 2,
        store_dir,
        store: Options::default(),
        prune_blocks: true,
        evidence_blocks: 5,
        retain_heights: 3,
    };
    let options = AppOptions {
        state_sync: Some(state_sync),
        on_fatal: FatalHandler::call_back(|_| {}),
        ..AppOptions::default()
    };
    App::new(store, host(), options).unwrap()
}

/// A chain with vats whose heaps were stored, and so many blocks that there are snapshots.
fn chain(dir: &Path, vats: u64) -> (Chain<WasmHost>, Client) {
    let (chain, alice, _) = chain_with_admins(dir, vats);
    (chain, alice)
}

/// Makes the same chain. Vats that end are cleaned up in small steps. Returns the admin objects of the vats too.
fn chain_with_admins(dir: &Path, vats: u64) -> (Chain<WasmHost>, Client, Vec<String>) {
    let mut chain = Chain::of(open(dir));
    let mut genesis = genesis();
    genesis.app_state.params.cleanup.kv = 3;
    genesis.app_state.params.cleanup.transcripts = 1;
    chain.init(&genesis);
    let mut admins = Vec::new();
    (0..6).for_each(|_| drop(chain.block(&[])));
    let mut alice = alice();
    for number in 0..vats {
        let create = any(&proto::MsgCreateVat {
            owner: alice.address().to_string(),
            bundle_id: capstan_vat_system::provisioner_id().to_owned(),
            name: format!("vat-{number}"),
            parameters: Some(capdata("{\"maxComputrons\":1000000}", &[])),
            computrons: 0,
        });
        let tx = alice.tx(vec![create]);
        chain.ok(tx.clone());
        let made = chain.settled(&tx, 0);
        let root = made["created_vat"]["root"].as_str().unwrap().to_owned();
        admins.push(made["created_vat"]["admin"].as_str().unwrap().to_owned());
        for _ in 0..3 {
            let tx = alice.tx(vec![alice.send(&root, "provision", "[\"someone\"]", &[])]);
            chain.ok(tx.clone());
            assert_eq!(chain.settled(&tx, 0)["status"], "fulfilled");
        }
    }
    (chain, alice, admins)
}

/// Makes blocks until there is a snapshot of the last height, and returns it. A node leaves one out if it has not done with the
/// one before.
fn snapshot(chain: &mut Chain<WasmHost>) -> Snapshot {
    let attempts = std::iter::from_fn(|| {
        let found = snapshot_of_last(chain);
        if found.is_none() {
            chain.block(&[]);
        }
        Some(found)
    });
    attempts.take(10).flatten().next().expect("no snapshot was written")
}

fn snapshot_of_last(chain: &mut Chain<WasmHost>) -> Option<Snapshot> {
    while !chain
        .app
        .info(Default::default())
        .last_block_height
        .unsigned_abs()
        .is_multiple_of(INTERVAL)
    {
        chain.block(&[]);
    }
    let height = chain.app.info(Default::default()).last_block_height.unsigned_abs();
    let began = Instant::now();
    loop {
        let found = chain.app.list_snapshots().snapshots;
        if let Some(found) = found.into_iter().find(|snapshot| snapshot.height == height) {
            return Some(found);
        }
        if began.elapsed() > Duration::from_secs(15) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn chunks(app: &App<WasmHost>, snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let load = |chunk| {
        let (height, format) = (snapshot.height, snapshot.format);
        app.load_snapshot_chunk(RequestLoadSnapshotChunk { height, format, chunk }).chunk.to_vec()
    };
    (0..snapshot.chunks).map(load).collect()
}

fn offer(app: &App<WasmHost>, snapshot: &Snapshot, app_hash: &[u8]) -> Offer {
    let app_hash = app_hash.to_vec().into();
    let request = RequestOfferSnapshot { snapshot: Some(snapshot.clone()), app_hash };
    app.offer_snapshot(request).result.try_into().unwrap()
}

fn apply(
    app: &App<WasmHost>,
    index: usize,
    chunk: &[u8],
    sender: &str,
) -> ResponseApplySnapshotChunk {
    let (chunk, sender) = (chunk.to_vec().into(), sender.to_owned());
    app.apply_snapshot_chunk(RequestApplySnapshotChunk { index: index as u32, chunk, sender })
}

fn result(response: &ResponseApplySnapshotChunk) -> Applied {
    response.result.try_into().unwrap()
}

fn accept_all(app: &App<WasmHost>, chunks: &[Vec<u8>]) {
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(result(&apply(app, index, chunk, "good")), Applied::Accept, "chunk {index}");
    }
}

/// A snapshot as a liar makes it, who offers and names whatever he sends.
fn lying(honest: &Snapshot, chunks: &[Vec<u8>]) -> (Snapshot, Vec<Vec<u8>>) {
    let head = SnapshotHead::decode(&chunks[0]).unwrap();
    let hashes = chunks[1..].iter().map(|chunk| chunk_hash(chunk)).collect();
    let head = SnapshotHead { chunks: hashes, ..head }.encode();
    let hash = chunk_hash(&head).0.to_vec().into();
    let chunks = [vec![head], chunks[1..].to_vec()].concat();
    (Snapshot { hash, ..honest.clone() }, chunks)
}

fn dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}

#[test]
fn a_node_begins_with_a_snapshot_and_goes_on_as_the_others() {
    let ((_one, one), (_two, two)) = (dir(), dir());
    let (mut chain, mut alice) = chain(&one, 8);
    let offered = snapshot(&mut chain);
    let app_hash = chain.hash();
    let all = chunks(&chain.app, &offered);
    assert!(all.len() > 2, "{} chunks", all.len());
    assert!(all.iter().all(|chunk| !chunk.is_empty()));
    // What is not there is not answered.
    let absent = |height, format, chunk| {
        let request = RequestLoadSnapshotChunk { height, format, chunk };
        chain.app.load_snapshot_chunk(request).chunk.is_empty()
    };
    let height = offered.height;
    assert!(
        absent(height + 1, SNAPSHOT_FORMAT, 0)
            && absent(height, SNAPSHOT_FORMAT + 1, 0)
            && absent(height, SNAPSHOT_FORMAT, offered.chunks)
    );

    let app = open(&two);
    assert_eq!(result(&apply(&app, 0, &all[0], "early")), Applied::Abort, "nothing was offered");
    assert_eq!(offer(&app, &offered, &app_hash), Offer::Accept);
    // Each wrong chunk is fetched again, and its sender is named.
    for (index, wrong) in [(0, &all[1]), (1, &all[0]), (1, &all[2])] {
        let response = apply(&app, index, wrong, "bad peer");
        assert_eq!(result(&response), Applied::Retry);
        assert_eq!(response.refetch_chunks, [index as u32]);
        assert_eq!(response.reject_senders, ["bad peer"]);
        if index == 0 {
            assert_eq!(result(&apply(&app, 0, &all[0], "good")), Applied::Accept);
        }
    }
    accept_all(&app, &all);
    let info = app.info(Default::default());
    assert_eq!(info.last_block_height.unsigned_abs(), height);
    assert_eq!(info.last_block_app_hash.to_vec(), app_hash);
    // CometBFT may come again, after a crash of its own.
    assert_eq!(offer(&app, &offered, &app_hash), Offer::Accept);
    accept_all(&app, &all);

    // Both execute the same blocks, with vats that return to memory.
    let mut other = Chain::of(app);
    (other.height, other.time) = (chain.height, chain.time);
    for path in ["vats", "kernel/stats", "bundles"] {
        let (one, other) = (chain.query(path, &[]), other.query(path, &[]));
        assert_eq!(one.code, other.code, "{path}");
    }
    for round in 0..6 {
        let create = alice.pay(common::bob().address(), 1000 + round);
        let lookup = alice.send("ro-50", "provision", "[\"another\"]", &[]);
        let tx = alice.tx(vec![create, lookup]);
        let (mine, theirs) =
            (chain.block(std::slice::from_ref(&tx)), other.block(std::slice::from_ref(&tx)));
        assert_eq!(mine.app_hash, theirs.app_hash, "round {round}");
        assert_eq!(mine.tx_results, theirs.tx_results);
    }
    assert_eq!(snapshot(&mut chain).height, snapshot(&mut other).height);
    assert_eq!(snapshot(&mut chain), snapshot(&mut other), "both write the same snapshots");
    // Two are kept, and CometBFT may drop what neither they nor evidence need.
    let kept = chain.app.list_snapshots().snapshots;
    assert_eq!(kept.len(), 2);
    chain.block(&[]);
    let height = chain.app.info(Default::default()).last_block_height;
    chain.finalize(&[]);
    let retained = chain.app.commit().retain_height;
    assert_eq!(retained, (kept[0].height as i64).min(height + 1 - 5));

    // The restored node has the same state after a restart.
    let app_hash = other.hash();
    drop(other);
    assert_eq!(open(&two).info(Default::default()).last_block_app_hash.to_vec(), app_hash);
}

#[test]
fn a_snapshot_in_the_middle_of_a_cleanup_leads_to_the_same_blocks() {
    let (_one, one) = dir();
    let (mut chain, mut alice, admins) = chain_with_admins(&one, 2);
    while !chain.height.unsigned_abs().is_multiple_of(INTERVAL) {
        chain.block(&[]);
    }
    let ends = admins.iter().map(|admin| {
        any(&proto::MsgTerminateVat {
            sender: alice.address().to_string(),
            admin: admin.clone(),
            ..Default::default()
        })
    });
    let tx = alice.tx(ends.collect());
    chain.ok(tx);
    // The state has vats that have just ended, then what is left of them.
    let before = chain.height;
    for _ in 0..4 {
        let offered = snapshot(&mut chain);
        let (_two, two) = dir();
        let app = open(&two);
        let all = chunks(&chain.app, &offered);
        assert_eq!(offer(&app, &offered, &chain.hash()), Offer::Accept);
        accept_all(&app, &all);
        let mut other = Chain::of(app);
        (other.height, other.time) = (chain.height, chain.time);
        for _ in 0..INTERVAL {
            let (mine, theirs) = (chain.block(&[]), other.block(&[]));
            assert_eq!(mine.app_hash, theirs.app_hash, "height {}", chain.height);
        }
        assert_eq!(snapshot(&mut chain), snapshot(&mut other));
    }
    assert!(chain.height > before + 12);
}

#[test]
fn a_restoration_goes_on_after_a_crash_and_a_forged_snapshot_leaves_nothing() {
    let ((_one, one), (_two, two)) = (dir(), dir());
    let (mut chain, _) = chain(&one, 8);
    let offered = snapshot(&mut chain);
    let app_hash = chain.hash();
    let all = chunks(&chain.app, &offered);

    // Pages of a heap that changed places are all there, and only the host notices.
    let stream = all[1..].concat();
    let heap = heap_artifact(&stream);
    let mut swapped = stream.clone();
    for byte in 0..32 {
        swapped.swap(heap + 4 + 4 + byte, heap + 4 + 36 + 4 + byte);
    }
    let cut = |stream: &[u8]| -> Vec<Vec<u8>> {
        let chunks = stream.chunks(capstan_store::CHUNK_BYTES as usize).map(<[u8]>::to_vec);
        [all[0].clone()].into_iter().chain(chunks).collect()
    };
    let (forged, forged_chunks) = lying(&offered, &cut(&swapped));
    let app = open(&two);
    assert_eq!(offer(&app, &forged, &app_hash), Offer::Accept);
    let answers: Vec<_> = (0..forged_chunks.len())
        .map(|index| apply(&app, index, &forged_chunks[index], "liar"))
        .collect();
    let (last, before) = answers.split_last().unwrap();
    assert!(before.iter().all(|answer| result(answer) == Applied::Accept));
    assert_eq!(result(last), Applied::RejectSnapshot);
    assert_eq!(last.reject_senders, ["liar"]);
    assert_eq!(app.info(Default::default()).last_block_height, 0);
    assert_eq!(fs::read_dir(two.join("state")).unwrap().count(), 2, "only the empty store");

    // A state of another app hash is refused at its first chunk.
    assert_eq!(offer(&app, &offered, &[9; 32]), Offer::Accept);
    let response = apply(&app, 0, &all[0], "other chain");
    assert_eq!(result(&response), Applied::RejectSnapshot);
    assert_eq!(response.reject_senders, ["other chain"]);

    // A process that ends in the middle goes on with the chunks that it has.
    assert_eq!(offer(&app, &offered, &app_hash), Offer::Accept);
    accept_all(&app, &all[..2]);
    drop(app);
    let app = open(&two);
    assert_eq!(offer(&app, &offered, &app_hash), Offer::Accept);
    assert!(two.join("state/state.redb.sync").exists());
    accept_all(&app, &all);
    assert_eq!(app.info(Default::default()).last_block_app_hash.to_vec(), app_hash);
}

#[test]
fn a_crash_at_any_step_of_the_renaming_leaves_the_state_or_the_way_to_it() {
    let (_one, one) = dir();
    let (mut chain, _) = chain(&one, 1);
    let offered = snapshot(&mut chain);
    let (app_hash, all) = (chain.hash(), chunks(&chain.app, &offered));
    // What `Restored::settle` does to the files, until the process ends: the old state goes, the journal comes, the state comes.
    for steps in 0..4 {
        let (_two, two) = dir();
        drop(open(&two));
        let state = two.join("state");
        let (trusted, mut host) = (Hash(app_hash.clone().try_into().unwrap()), host());
        let mut restorer =
            Restorer::begin(&state, Options::default(), &all[0], trusted, host.engine()).unwrap();
        for (index, chunk) in all.iter().enumerate().skip(1) {
            restorer.chunk(index as u32, chunk).unwrap();
        }
        drop(restorer.finish(&mut host).unwrap());
        let file = |name: &str| state.join(name);
        if steps > 0 {
            fs::remove_file(file(FILE)).unwrap();
        }
        for name in [JOURNAL_FILE, FILE].into_iter().take(steps.max(1) - 1) {
            fs::rename(file(&format!("{name}.sync")), file(name)).unwrap();
        }
        let app = open(&two);
        let height = app.info(Default::default()).last_block_height.unsigned_abs();
        assert_eq!(height, if steps == 3 { offered.height } else { 0 }, "{steps} steps");
        assert_eq!(offer(&app, &offered, &app_hash), Offer::Accept);
        accept_all(&app, &all);
        assert_eq!(app.info(Default::default()).last_block_app_hash.to_vec(), app_hash);
        drop(app);
        let options = Options { check_integrity: true, ..Options::default() };
        let store = Store::open(&state, options).unwrap();
        assert_eq!(store.app_hash().0.to_vec(), app_hash, "{steps} steps");
        assert_eq!(fs::read_dir(&state).unwrap().count(), 2, "{steps} steps");
    }
}

#[test]
fn what_a_node_cannot_use_is_refused_when_it_is_offered() {
    let ((_one, one), (_two, two)) = (dir(), dir());
    let (mut chain, _) = chain(&one, 0);
    let offered = snapshot(&mut chain);
    let app_hash = chain.hash();
    let app = open(&two);
    let with = |change: &dyn Fn(&mut Snapshot)| {
        let mut other = offered.clone();
        change(&mut other);
        offer(&app, &other, &app_hash)
    };
    assert_eq!(with(&|other| other.format = SNAPSHOT_FORMAT + 1), Offer::RejectFormat);
    assert_eq!(with(&|other| other.hash = vec![1].into()), Offer::Reject);
    assert_eq!(with(&|other| other.chunks = 1), Offer::Reject);
    assert_eq!(with(&|other| other.metadata = b"{".to_vec().into()), Offer::Reject);
    let engine = r#"{"chain_id":"c","app_version":1,"engines":{"00ff":"v3"}}"#;
    assert_eq!(with(&|other| other.metadata = engine.as_bytes().to_vec().into()), Offer::Reject);
    let later = r#"{"chain_id":"c","app_version":9,"engines":{}}"#;
    assert_eq!(with(&|other| other.metadata = later.as_bytes().to_vec().into()), Offer::Reject);
    assert_eq!(offer(&app, &offered, b"short"), Offer::Reject);
    let none = RequestOfferSnapshot { snapshot: None, app_hash: app_hash.clone().into() };
    assert_eq!(app.offer_snapshot(none).result, i32::from(Offer::Reject));
    // A head that names another engine than its offer is not this node's lack, which would end state sync.
    let all = chunks(&chain.app, &offered);
    let head = SnapshotHead::decode(&all[0]).unwrap();
    let head = SnapshotHead { about: engine.as_bytes().to_vec(), ..head }.encode();
    let forged = Snapshot { hash: chunk_hash(&head).0.to_vec().into(), ..offered.clone() };
    assert_eq!(offer(&app, &forged, &app_hash), Offer::Accept);
    let response = apply(&app, 0, &head, "liar");
    assert_eq!(result(&response), Applied::RejectSnapshot);
    assert_eq!(response.reject_senders, ["liar"]);
    // A chunk before the first one has no place.
    assert_eq!(offer(&app, &offered, &app_hash), Offer::Accept);
    assert_eq!(result(&apply(&app, 1, b"x", "p")), Applied::RejectSnapshot);
    // A node with blocks of its own keeps them, and says why it does not go on.
    chain.block(&[]);
    assert_eq!(app.why_state_sync_ended(), None, "what peers do wrong ends nothing");
    assert_eq!(offer(&chain.app, &offered, &app_hash), Offer::Abort);
    let why = chain.app.why_state_sync_ended().unwrap();
    assert!(why.contains("has the state of height") && why.contains("remove the dir"), "{why}");
}

#[test]
fn what_an_interrupted_writing_left_is_removed_and_damaged_snapshots_are_not_offered() {
    let (_one, one) = dir();
    let (mut chain, _) = chain(&one, 0);
    let offered = snapshot(&mut chain);
    let path = one.join("snapshots").join(offered.height.to_string());
    fs::create_dir_all(one.join("snapshots/900.partial")).unwrap();
    fs::create_dir_all(one.join("snapshots/800.removed")).unwrap();
    fs::create_dir_all(one.join("snapshots/notes")).unwrap();
    drop(chain);
    let app = open(&one);
    assert!(
        !one.join("snapshots/900.partial").exists() && !one.join("snapshots/800.removed").exists()
    );
    assert!(one.join("snapshots/notes").exists(), "what is not ours stays");
    assert!(app.list_snapshots().snapshots.contains(&offered));
    fs::write(path.join("0"), b"rubbish").unwrap();
    assert!(!app.list_snapshots().snapshots.iter().any(|found| found.height == offered.height));
    // A file that is too long for a chunk is not read into memory.
    fs::write(path.join("0"), []).unwrap();
    fs::File::options().write(true).open(path.join("1")).unwrap().set_len(1 << 40).unwrap();
    let request =
        RequestLoadSnapshotChunk { height: offered.height, format: SNAPSHOT_FORMAT, chunk: 1 };
    assert!(app.load_snapshot_chunk(request).chunk.is_empty());
}

/// Finds the first heap with two pages that differ: the place of its value in the stream.
fn heap_artifact(stream: &[u8]) -> usize {
    let number = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
    let mut at = 0;
    loop {
        let (kind, key, value) = (stream[at], number(at + 1), number(at + 5));
        let start = at + 9 + key;
        at = start + value;
        if kind != 5 || value < 100 {
            continue;
        }
        // A heap is its pages (4 and 32 bytes each), its hash, its size and its head.
        let pages = number(start);
        let head = start + 4 + pages.saturating_mul(36) + 32 + 8;
        let is_heap = pages > 1 && pages < 100_000 && head + 4 <= start + value;
        if is_heap && head + 4 + number(head) == start + value {
            let page = |index: usize| &stream[start + 4 + index * 36 + 4..][..32];
            if page(0) != page(1) {
                return start;
            }
        }
    }
}
