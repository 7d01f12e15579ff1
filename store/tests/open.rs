//! Refusals of the store, and their messages.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use capstan_kernel_ports::store::{Overlay, StoreFault};
use capstan_store::{Error, FILE, FORMAT, JOURNAL_FILE, Options, Store};

fn open(dir: &tempfile::TempDir) -> Result<Store, Error> {
    Store::open(dir.path(), Options::default())
}

#[test]
fn a_store_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir).unwrap());
    set_meta(&dir, "format", &7u32.to_be_bytes());
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, Error::Format { found: 7, expected: FORMAT, .. }), "{error}");
    assert!(error.to_string().contains("has store format 7"), "{error}");
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    let texts: [&[u8]; 3] = [b"", b"short", &[b'x'; 10_000]];
    for text in texts {
        fs::write(&file, text).unwrap();
        let error = open(&dir).unwrap_err();
        assert!(matches!(error, Error::NotAStore { .. }), "{error}");
        assert_eq!(fs::read(&file).unwrap(), text);
    }
    fs::remove_file(&file).unwrap();
    drop(redb::Database::create(&file).unwrap());
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "another redb database: {error}");
    fs::remove_file(&file).unwrap();
    drop(open(&dir).unwrap());
    set_meta(&dir, "magic", b"something else");
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");
}

#[test]
fn a_damaged_header_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir).unwrap());
    for (name, value) in [("height", &b"x"[..]), ("root", b""), ("format", b"123")] {
        set_meta(&dir, name, value);
        let error = open(&dir).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{name}: {error}");
        fs::remove_file(dir.path().join(FILE)).unwrap();
        drop(open(&dir).unwrap());
    }
}

#[test]
fn files_of_two_stores_or_times_are_refused_together() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (dir, value) in [(&dir, b"1"), (&other, b"2")] {
        let store = open(dir).unwrap();
        common::commit_entries(&store, &[(b"a", value), (b"b", value)]);
    }
    // The stores have the same number of commits, so the journal cannot bridge the difference.
    let options = || Options { journal_bytes: 0, background: false, ..Options::default() };
    for dir in [&dir, &other] {
        let store = Store::open(dir.path(), options()).unwrap();
        common::commit_entries(&store, &[(b"local.x", b"y")]);
    }
    let old = fs::read(dir.path().join(JOURNAL_FILE)).unwrap();
    let refused = |what: &str| {
        let error = open(&dir).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{what}: {error}");
    };
    fs::copy(other.path().join(JOURNAL_FILE), dir.path().join(JOURNAL_FILE)).unwrap();
    refused("the journal of another store");
    fs::write(dir.path().join(JOURNAL_FILE), &old).unwrap();
    let old_state = fs::read(dir.path().join(FILE)).unwrap();
    for _ in 0..2 {
        let store = Store::open(dir.path(), options()).unwrap();
        let more = store.height().to_be_bytes();
        common::commit_entries(&store, &[(b"a", &more)]);
        common::commit_entries(&store, &[(b"a", b"x")]);
    }
    let (state, journal) = (dir.path().join(FILE), dir.path().join(JOURNAL_FILE));
    let (new_state, new_journal) = (fs::read(&state).unwrap(), fs::read(&journal).unwrap());
    fs::write(&state, &old_state).unwrap();
    refused("a journal ahead of what the state has");
    fs::write(&state, &new_state).unwrap();
    fs::write(&journal, &old).unwrap();
    refused("a state ahead of its journal");
    fs::remove_file(&journal).unwrap();
    refused("no journal");
    fs::write(&journal, &new_journal).unwrap();
    open(&dir).unwrap().reader().check_integrity().unwrap();
}

#[test]
fn a_second_opening_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir).unwrap();
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(first);
    open(&dir).unwrap();
}

#[test]
fn another_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(&dir).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env(OTHER_PROCESS, dir.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("refused: ") && said.contains("another process has this store open"),
        "{said}"
    );
}

/// Environment variable with the directory that [`other_process`] opens. The test does nothing if it is not set.
const OTHER_PROCESS: &str = "CAPSTAN_TEST_OPEN";

#[test]
fn other_process() {
    if let Ok(dir) = std::env::var(OTHER_PROCESS) {
        match Store::open(dir, Options::default()) {
            Ok(_) => println!("opened"),
            Err(error) => println!("refused: {error}"),
        }
    }
}

#[test]
fn what_an_interrupted_creation_left_behind_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    for left in [&b""[..], b"redb", &[0; 5000]] {
        fs::write(dir.path().join(format!("{FILE}.new")), left).unwrap();
        fs::write(dir.path().join(format!("{JOURNAL_FILE}.new")), left).unwrap();
        fs::write(dir.path().join(JOURNAL_FILE), left).unwrap();
        let store = open(&dir).unwrap();
        assert_eq!(store.height(), 0);
        drop(store);
        fs::remove_file(dir.path().join(FILE)).unwrap();
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = Store::open(file.join("below"), Options::default()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn misuse_is_an_error_and_changes_nothing() {
    let store = Store::in_memory().unwrap();
    let root = common::commit_entries(&store, &[(b"a", b"1")]);

    let mut block = store.begin_block();
    block.push();
    assert!(matches!(store.prepare(block), Err(Error::OpenLevels(2))));

    let mut block = store.begin_block();
    block.set(b"", vec![1]);
    assert!(matches!(store.prepare(block), Err(Error::EmptyKey)));

    let mut block = store.begin_block();
    block.set(&vec![1; 70_000], vec![1]);
    let error = store.prepare(block).unwrap_err();
    assert!(matches!(error, Error::TooLong { what: "key", size: 70_000, .. }), "{error}");

    let prepared = store.prepare(store.begin_block()).unwrap();
    let error = store.commit(prepared, 1).unwrap_err();
    assert!(matches!(error, Error::Height { wanted: 1, committed: 1 }), "{error}");

    assert_eq!((store.height(), store.root()), (1, root));
}

#[test]
fn a_block_over_an_older_state_is_refused() {
    let store = Store::in_memory().unwrap();
    let (old_block, mut old_writes) = (store.begin_block(), store.begin_block());
    old_writes.set(b"b", b"old".to_vec());
    let old_prepared = store.prepare(old_writes).unwrap();
    let root = common::commit_entries(&store, &[(b"a", b"1")]);
    let stale = Error::Stale { began: 0, committed: 1 }.to_string();
    assert_eq!(store.prepare(old_block).unwrap_err().to_string(), stale);
    assert_eq!(store.commit(old_prepared, 2).unwrap_err().to_string(), stale);
    assert_eq!((store.height(), store.root()), (1, root));
    let _: StoreFault = Error::EmptyKey.into();
}

#[test]
#[should_panic(expected = "rollback of the block's own level")]
fn the_blocks_own_level_cannot_be_rolled_back() {
    Store::in_memory().unwrap().begin_block().rollback();
}

#[test]
#[should_panic(expected = "merge of the block's own level")]
fn the_blocks_own_level_cannot_be_merged() {
    Store::in_memory().unwrap().begin_block().merge();
}

#[test]
fn stores_snapshots_and_blocks_can_go_to_other_threads() {
    fn check<T: Send>() {}
    fn check_sync<T: Sync>() {}
    check::<Store>();
    check_sync::<Store>();
    check::<capstan_store::StateView>();
    check_sync::<capstan_store::StateView>();
    check::<capstan_store::Block>();
    check::<capstan_store::Prepared>();
}

fn set_meta(dir: &tempfile::TempDir, name: &str, value: &[u8]) {
    let db = redb::Database::open(dir.path().join(FILE)).unwrap();
    let transaction = db.begin_write().unwrap();
    let table = redb::TableDefinition::<&str, &[u8]>::new("meta");
    transaction.open_table(table).unwrap().insert(name, value).unwrap();
    transaction.commit().unwrap();
}
