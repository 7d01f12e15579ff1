//! A crash between any two steps of any block is repaired at the next start. Damage that cannot be repaired is
//! reported.

use std::path::Path;
use std::sync::Arc;

use capstan_test_disk::Disk;
use capstan_test_random::Random;
use prost::bytes::Bytes;
use serde_json::json;
use tendermint::Time;

use super::abci::{Abci, Shared};
use super::block_store::BlockStore;
use super::execution::Chain;
use super::{GenesisDoc, SoloError};
use crate::key::ValidatorKey;
use crate::test_app::TestApp;

/// The steps of a block, after any of which the process may end.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Step {
    Propose,
    Save,
    Finalize,
    Record,
    Commit,
}

const STEPS: [Step; 5] = [Step::Propose, Step::Save, Step::Finalize, Step::Record, Step::Commit];

/// The transactions of each block of the story. The queue changes the state also in blocks without transactions.
const STORY: [&[&str]; 6] =
    [&[], &["a=1", "fail=x"], &["queue=2"], &[], &["maxgas=50", "b=2"], &[]];

fn genesis() -> GenesisDoc {
    GenesisDoc::from_value(
        json!({"chain_id": "crash", "genesis_time": "2025-01-01T00:00:00Z", "app_state": {"x": 1}}),
    )
    .unwrap()
}

fn try_open(dir: &Path) -> Result<Chain, SoloError> {
    open_over(dir, BlockStore::open(&dir.join("blocks.redb"))?)
}

fn open_over(dir: &Path, store: BlockStore) -> Result<Chain, SoloError> {
    let app: Arc<dyn Abci> = Arc::new(Shared::new(TestApp::open(dir)));
    Chain::open(app, Arc::new(store), genesis(), ValidatorKey::from_seed([7; 32]))
}

fn open(dir: &Path) -> Chain {
    try_open(dir).unwrap()
}

/// Does the next block of the story up to and with step `last`.
fn advance(chain: &mut Chain, last: Step) {
    try_advance(chain, last).unwrap();
}

fn try_advance(chain: &mut Chain, last: Step) -> Result<(), SoloError> {
    let index = usize::try_from(chain.tip().height).unwrap();
    let txs = STORY[index].iter().map(|tx| Bytes::from_static(tx.as_bytes())).collect();
    let now = Time::from_unix_timestamp(1_750_000_000 + i64::try_from(index).unwrap(), 0).unwrap();
    let proposal = chain.propose(txs, now)?;
    if last >= Step::Save {
        chain.save(&proposal)?;
    }
    if last >= Step::Finalize {
        let results = chain.finalize(&proposal.block, &proposal.block_id())?;
        if last >= Step::Record {
            chain.record(&proposal.block, &results)?;
        }
        if last >= Step::Commit {
            chain.commit(&proposal.block, proposal.block_id(), &results)?;
        }
    }
    Ok(())
}

/// Makes a block without transactions.
fn advance_empty(chain: &mut Chain) {
    let now = Time::from_unix_timestamp(1_750_000_000 + chain.tip().height, 0).unwrap();
    let proposal = chain.propose(vec![], now).unwrap();
    chain.save(&proposal).unwrap();
    let results = chain.finalize(&proposal.block, &proposal.block_id()).unwrap();
    chain.record(&proposal.block, &results).unwrap();
    chain.commit(&proposal.block, proposal.block_id(), &results).unwrap();
}

/// App hash and block hash at every height of the story, run without a stop.
fn undisturbed() -> Vec<(Vec<u8>, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = open(dir.path());
    let mut hashes = Vec::new();
    for _ in STORY {
        advance(&mut chain, Step::Commit);
        hashes.push((chain.tip().app_hash.clone(), chain.tip().block_id.hash.clone()));
    }
    hashes
}

#[test]
fn a_crash_after_any_step_of_any_block_changes_no_hash() {
    let expected = undisturbed();
    assert!(
        expected.windows(2).filter(|pair| pair[0].0 != pair[1].0).count() >= 4,
        "the story changes the state"
    );
    for crash_at in 0..STORY.len() {
        for step in STEPS {
            let dir = tempfile::tempdir().unwrap();
            let mut chain = open(dir.path());
            let mut hashes = Vec::new();
            while hashes.len() < STORY.len() {
                if hashes.len() == crash_at {
                    advance(&mut chain, step);
                    drop(chain);
                    chain = open(dir.path());
                    if step >= Step::Save {
                        hashes.push((
                            chain.tip().app_hash.clone(),
                            chain.tip().block_id.hash.clone(),
                        ));
                        continue;
                    }
                }
                advance(&mut chain, Step::Commit);
                hashes.push((chain.tip().app_hash.clone(), chain.tip().block_id.hash.clone()));
            }
            assert_eq!(hashes, expected, "crash at block {} after {step:?}", crash_at + 1);
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_the_block_stores_disk_changes_no_hash() {
    let expected = undisturbed();
    let mut random = Random::seeded(0xb10c);
    let (mut points, mut lost, mut kept) = (0, 0, 0);
    for crash_at in 0..STORY.len() {
        for limit in 0.. {
            let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
            let mut chain =
                open_over(dir.path(), BlockStore::on_backend(disk.clone()).unwrap()).unwrap();
            (0..crash_at).for_each(|_| advance(&mut chain, Step::Commit));
            disk.fail_after(limit);
            let done = try_advance(&mut chain, Step::Commit);
            let unharmed = !disk.has_failed();
            let disk = disk.crash(&mut random);
            drop(chain);
            points += 1;
            let mut chain = open_over(dir.path(), BlockStore::on_backend(disk).unwrap()).unwrap();
            let height = usize::try_from(chain.tip().height).unwrap();
            match height == crash_at {
                true => lost += 1,
                false => kept += 1,
            }
            assert!(height == crash_at + 1 || (height == crash_at && done.is_err()), "{limit}");
            loop {
                let tip = chain.tip();
                let found = (tip.app_hash.clone(), tip.block_id.hash.clone());
                let height = usize::try_from(tip.height).unwrap();
                if height > 0 {
                    assert_eq!(found, expected[height - 1], "block {height}, limit {limit}");
                }
                if height == STORY.len() {
                    break;
                }
                advance(&mut chain, Step::Commit);
            }
            if done.is_ok() && unharmed {
                break;
            }
        }
    }
    println!("{points} crash points: {lost} blocks were made again, {kept} were found");
    assert!(lost > 30 && kept > 30, "{points} points: {lost} lost, {kept} kept");
}

#[test]
fn an_application_that_lost_its_state_is_brought_back_from_the_first_block() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = open(dir.path());
    for _ in STORY {
        advance(&mut chain, Step::Commit);
    }
    let before = chain.tip().clone();
    drop(chain);
    std::fs::remove_file(dir.path().join("app.json")).unwrap();
    let chain = open(dir.path());
    assert_eq!(chain.tip().app_hash, before.app_hash);
    assert_eq!(chain.tip().params, before.params);
    assert_eq!(chain.app.info().last_block_height, before.height);
}

#[test]
fn an_application_that_needs_removed_blocks_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlockStore::open(&dir.path().join("blocks.redb")).unwrap().keeping(0);
    let mut chain = open_over(dir.path(), store).unwrap();
    for _ in 0..120 {
        advance_empty(&mut chain);
    }
    drop(chain);
    assert!(try_open(dir.path()).is_ok(), "the last blocks are enough");
    std::fs::remove_file(dir.path().join("app.json")).unwrap();
    let error = try_open(dir.path()).err().unwrap();
    assert!(matches!(error, SoloError::AppBehind { app: 0, first: 21 }), "{error}");
}

#[test]
fn an_application_ahead_of_the_block_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = open(dir.path());
    advance(&mut chain, Step::Commit);
    drop(chain);
    std::fs::remove_file(dir.path().join("blocks.redb")).unwrap();
    let error = try_open(dir.path()).err().unwrap();
    assert!(matches!(error, SoloError::AppAhead { app: 1, store: 0 }), "{error}");
}

#[test]
fn an_application_with_another_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = open(dir.path());
    for _ in 0..3 {
        advance(&mut chain, Step::Commit);
    }
    drop(chain);
    let path = dir.path().join("app.json");
    let state = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, state.replace(r#""a":"1""#, r#""a":"2""#)).unwrap();
    let error = try_open(dir.path()).err().unwrap();
    assert!(matches!(error, SoloError::AppHash { height: 3, .. }), "{error}");
}

#[test]
fn another_genesis_document_or_validator_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let reopen = |genesis: GenesisDoc| {
        let app: Arc<dyn Abci> = Arc::new(Shared::new(TestApp::open(dir.path())));
        let store = Arc::new(BlockStore::open(&dir.path().join("blocks.redb")).unwrap());
        Chain::open(app, store, genesis, ValidatorKey::from_seed([7; 32])).err().unwrap()
    };
    let mut document = genesis().document().clone();
    document["app_state"]["x"] = json!(2);
    assert!(matches!(
        reopen(GenesisDoc::from_value(document).unwrap()),
        SoloError::GenesisChanged { .. }
    ));

    let key = json!({"type": "tendermint/PubKeyEd25519", "value": "bNNlGls5R25wC3Sd8720F/3+7IZBhXcD22MNFtPk/v0="});
    let mut document = genesis().document().clone();
    document["validators"] = json!([{"pub_key": key, "power": "10"}]);
    let other = tempfile::tempdir().unwrap();
    let app: Arc<dyn Abci> = Arc::new(Shared::new(TestApp::open(other.path())));
    let store = Arc::new(BlockStore::open(&other.path().join("blocks.redb")).unwrap());
    let genesis = GenesisDoc::from_value(document).unwrap();
    let error = Chain::open(app, store, genesis, ValidatorKey::from_seed([7; 32])).err().unwrap();
    assert!(matches!(error, SoloError::GenesisValidators { count: 1, .. }), "{error}");
}

#[test]
fn a_store_in_use_or_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blocks.redb");
    let store = BlockStore::open(&path).unwrap();
    assert!(matches!(BlockStore::open(&path).unwrap_err(), super::BlockStoreError::InUse { .. }));
    drop(store);
    let database = redb::Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let table = redb::TableDefinition::<&str, &[u8]>::new("meta");
    write.open_table(table).unwrap().insert("format", b"2".as_slice()).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(BlockStore::open(&path).unwrap_err(), super::BlockStoreError::Format { .. }));
}

#[test]
fn block_times_are_the_clocks_and_never_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = open(dir.path());
    let mut times = Vec::new();
    for now in [
        "2025-06-01T00:00:00Z",
        "2025-06-01T00:00:01Z",
        "2025-05-01T00:00:00Z",
        "2025-06-01T00:00:02Z",
    ] {
        let proposal = chain.propose(vec![], now.parse().unwrap()).unwrap();
        chain.save(&proposal).unwrap();
        let results = chain.finalize(&proposal.block, &proposal.block_id()).unwrap();
        chain.record(&proposal.block, &results).unwrap();
        chain.commit(&proposal.block, proposal.block_id(), &results).unwrap();
        times.push(chain.tip().time.to_rfc3339());
    }
    // The first block has genesis time, as in CometBFT.
    let expected = [
        "2025-01-01T00:00:00Z",
        "2025-06-01T00:00:01Z",
        "2025-06-01T00:00:01.001Z",
        "2025-06-01T00:00:02Z",
    ];
    assert_eq!(times, expected);
}
