//! Damage to stored data is detected, wherever it is.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use capstan_kernel_ports::store::{Entry, Overlay};
use capstan_store::{Error, FILE, JOURNAL_FILE, Options, Store};
use common::Random;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const FLAT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("flat");
const TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree");
const BLOB: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("blob");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Returns a store of eight commits, of which the checkpoint has the first ones and the journal the others.
fn filled(dir: &Path) -> Store {
    let options = Options { journal_bytes: 150_000, background: false, ..Options::default() };
    let store = Store::open(dir, options).unwrap();
    for height in 1..=8 {
        let mut block = common::scripted_block(&store, height);
        block.set(&vec![b'k'; 400], vec![height as u8; 40]);
        store.commit(store.prepare(block).unwrap(), height).unwrap();
    }
    store
}

fn checked() -> Options {
    Options { check_integrity: true, ..Options::default() }
}

#[test]
fn an_undamaged_store_passes() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let checked_store = store.reader().check_integrity().unwrap();
    assert_eq!((checked_store.local_keys, checked_store.blobs), (1, 8));
    assert_eq!(checked_store.keys + 1, common::all(&store.reader()).len() as u64);
    drop(store);
    Store::open(dir.path(), checked()).unwrap();
}

#[test]
fn a_bit_flipped_in_any_record_is_found_by_the_deep_check() {
    let mut random = Random::seeded(11);
    let dir = tempfile::tempdir().unwrap();
    let states = states(&filled(dir.path()));
    let pristine = Pristine::read(dir.path());
    let (mut missed, mut lost) = (0, 0);
    for round in 0..200 {
        pristine.restore();
        let what = flip_in_record(dir.path(), &mut random);
        let result = Store::open(dir.path(), Options::default())
            .and_then(|store| store.reader().check_integrity().map(|_| store));
        if let Ok(store) = result {
            assert!(states.contains(&common::all(&store.reader())), "round {round}: {what}");
            match store.height() {
                // The replay of the journal overwrites this node, or a checkpoint has the commit: the damage has no effect.
                8 => missed += 1,
                // The last commit looks like one that a crash has torn. The chain makes its block again.
                _ => lost += usize::from(what.starts_with(JOURNAL_FILE)),
            }
        }
    }
    assert!(missed < 60 && lost > 0, "{missed} flips were not found, {lost} lost the last commit");
}

/// Returns the entries after the last commit of a store, and before it.
fn states(store: &Store) -> [Vec<Entry>; 2] {
    [8, 7].map(|height| common::all(&store.past().at(height).unwrap()))
}

/// The undamaged files of a store.
struct Pristine([(PathBuf, Vec<u8>); 2]);

impl Pristine {
    fn read(dir: &Path) -> Self {
        Self([FILE, JOURNAL_FILE].map(|name| (dir.join(name), fs::read(dir.join(name)).unwrap())))
    }

    fn restore(&self) {
        self.0.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    }
}

/// Flips a bit in the key or value of a random record, through redb, so that its checksums hold.
fn flip_in_record(dir: &Path, random: &mut Random) -> String {
    let kind = random.below(6);
    if kind < 2 {
        return flip_in_journal(&dir.join(JOURNAL_FILE), random);
    }
    let db = Database::open(dir.join(FILE)).unwrap();
    let transaction = db.begin_write().unwrap();
    let what = match kind {
        2 => flip(&mut transaction.open_table(TREE).unwrap(), random, b"no such key"),
        3 => flip(&mut transaction.open_table(FLAT).unwrap(), random, b"local."),
        4 => {
            let mut table = transaction.open_table(BLOB).unwrap();
            let names: Vec<_> =
                table.iter().unwrap().map(|entry| entry.unwrap().0.value()).collect();
            let name = *random.choose(&names);
            let bytes = flipped(table.get(name).unwrap().unwrap().value(), random);
            table.insert(name, bytes.as_slice()).unwrap();
            "a blob".to_owned()
        }
        _ => {
            let mut table = transaction.open_table(META).unwrap();
            let name = *random.choose(&["root", "root node", "serial", "format", "magic"]);
            let bytes = flipped(table.get(name).unwrap().unwrap().value(), random);
            table.insert(name, bytes.as_slice()).unwrap();
            format!("the record {name}")
        }
    };
    transaction.commit().unwrap();
    format!("{FILE}: {what}")
}

/// Flips a bit of the journal where it has frames.
fn flip_in_journal(file: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(file).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let at = *random.choose(&used);
    bytes[at] ^= 1 << random.below(8);
    fs::write(file, bytes).unwrap();
    format!("{JOURNAL_FILE}: at {at}")
}

/// Returns `bytes` with one bit flipped.
fn flipped(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = random.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << random.below(8);
    bytes
}

fn flip(
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    random: &mut Random,
    except: &[u8],
) -> String {
    let mut entries: Vec<Entry> = table
        .iter()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
        .collect();
    entries.retain(|(key, _)| !key.starts_with(except));
    let (mut key, mut value) = random.choose(&entries).clone();
    table.remove(key.as_slice()).unwrap();
    let part = match value.is_empty() || random.one_in(3) {
        true => &mut key,
        false => &mut value,
    };
    let at = random.below(part.len() as u64) as usize;
    part[at] ^= 1 << random.below(8);
    table.insert(key.as_slice(), value.as_slice()).unwrap();
    format!("{} at {at}", key.escape_ascii())
}

#[test]
fn a_missing_or_additional_record_is_found_by_the_deep_check() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    // The journal is empty, since its replay would overwrite damage.
    let options = Options { journal_bytes: 0, background: false, ..Options::default() };
    let store = Store::open(dir.path(), options).unwrap();
    common::commit(&store, |_| {});
    drop(store);
    let pristine = Pristine::read(dir.path());
    for (file, table) in [(FILE, FLAT), (FILE, TREE)] {
        for remove in [true, false] {
            pristine.restore();
            let db = Database::open(dir.path().join(file)).unwrap();
            let transaction = db.begin_write().unwrap();
            {
                let mut table = transaction.open_table(table).unwrap();
                // Not the root's record, without which nothing opens.
                let (key, value) = table
                    .first()
                    .unwrap()
                    .map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
                    .unwrap();
                match remove {
                    true => drop(table.remove(key.as_slice()).unwrap()),
                    false => drop(table.insert(&b"added"[..], value.as_slice()).unwrap()),
                }
            }
            transaction.commit().unwrap();
            drop(db);
            let error = Store::open(dir.path(), Options::default())
                .and_then(|store| store.reader().check_integrity())
                .unwrap_err();
            assert!(matches!(error, Error::Damaged(_)), "{error}");
        }
    }
}

#[test]
fn a_bit_flipped_anywhere_in_the_files_is_found_by_a_checked_opening() {
    let mut random = Random::seeded(12);
    let dir = tempfile::tempdir().unwrap();
    let states = states(&filled(dir.path()));
    let pristine = Pristine::read(dir.path());
    let mut found = 0;
    for round in 0..400 {
        pristine.restore();
        let (file, bytes) = &pristine.0[round % 2];
        let mut bytes = bytes.clone();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        fs::write(file, &bytes).unwrap();
        let opened = catch_unwind(AssertUnwindSafe(|| Store::open(dir.path(), checked())));
        match opened.unwrap_or_else(|_| panic!("round {round}: a flip at {at} made it panic")) {
            Err(_) => found += 1,
            // The page is unused, or a duplicate, or the last commit looks like one that a crash has torn.
            Ok(store) => assert!(states.contains(&common::all(&store.reader())), "a flip at {at}"),
        }
    }
    println!("{found} of 400 flips were in use");
    assert!(found > 20, "only {found} flips hit anything: the file is too sparse for this test");
}

/// Guards the other tests, which open the tables by the names and types that are documented.
#[test]
fn the_tables_are_those_that_are_documented() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let db = Database::open(dir.path().join(FILE)).unwrap();
    let transaction = db.begin_read().unwrap();
    let tables = transaction.list_tables().unwrap();
    let mut names: Vec<_> =
        tables.map(|table| redb::TableHandle::name(&table).to_owned()).collect();
    names.sort();
    assert_eq!(names, ["blob", "flat", "meta", "tree"]);
    let journal = fs::read(dir.path().join(JOURNAL_FILE)).unwrap();
    assert!(journal.starts_with(b"capstan journal\n\0\0\0\x06\0") && journal[4096] == 1);
}
