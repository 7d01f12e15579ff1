//! Damage to what is stored is found, whatever it hits.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use capstan_kernel_ports::store::{Entry, Overlay};
use capstan_store::{Error, FILE, Options, Store};
use common::Random;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const FLAT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("flat");
const TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree");
const BLOB: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("blob");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

fn filled(dir: &Path) -> Store {
    let store = Store::open(dir, Options::default()).unwrap();
    for height in 1..=8 {
        let mut block = common::scripted_block(&store, height);
        block.set(&vec![b'k'; 400], vec![height as u8; 40]);
        store.commit(store.prepare(block).unwrap(), height).unwrap();
    }
    store
}

fn checked() -> Options {
    Options { check: true, ..Options::default() }
}

#[test]
fn an_undamaged_store_passes() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let checked_store = store.reader().deep_check().unwrap();
    assert_eq!((checked_store.local_keys, checked_store.blobs), (1, 8));
    assert_eq!(checked_store.keys + 1, common::all(&store.reader()).len() as u64);
    drop(store);
    Store::open(dir.path(), checked()).unwrap();
}

#[test]
fn a_bit_flipped_in_any_record_is_found_by_the_deep_check() {
    let mut random = Random::seeded(11);
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let file = dir.path().join(FILE);
    let pristine = fs::read(&file).unwrap();
    for round in 0..150 {
        fs::write(&file, &pristine).unwrap();
        let what = flip_in_record(&file, &mut random);
        let result = Store::open(dir.path(), Options::default())
            .and_then(|store| store.reader().deep_check());
        assert!(result.is_err(), "round {round}: a flip in {what} was not found");
    }
}

/// Flips a bit in the key or value of some record, as if it had been written so.
fn flip_in_record(file: &Path, random: &mut Random) -> String {
    let db = Database::open(file).unwrap();
    let transaction = db.begin_write().unwrap();
    let what = match random.below(4) {
        0 => flip(&mut transaction.open_table(FLAT).unwrap(), random, b"local."),
        1 => flip(&mut transaction.open_table(TREE).unwrap(), random, b"no such key"),
        2 => {
            let mut table = transaction.open_table(BLOB).unwrap();
            let names: Vec<_> =
                table.iter().unwrap().map(|entry| entry.unwrap().0.value()).collect();
            let name = *random.pick(&names);
            let mut bytes = table.get(name).unwrap().unwrap().value().to_vec();
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            table.insert(name, bytes.as_slice()).unwrap();
            format!("a blob at {at}")
        }
        _ => {
            let mut table = transaction.open_table(META).unwrap();
            let name = *random.pick(&["root", "root node", "format", "magic"]);
            let mut bytes = table.get(name).unwrap().unwrap().value().to_vec();
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            table.insert(name, bytes.as_slice()).unwrap();
            format!("the record {name} at {at}")
        }
    };
    transaction.commit().unwrap();
    what
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
    let (mut key, mut value) = random.pick(&entries).clone();
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
    let file = dir.path().join(FILE);
    let pristine = fs::read(&file).unwrap();
    for table in [FLAT, TREE] {
        for remove in [true, false] {
            fs::write(&file, &pristine).unwrap();
            let db = Database::open(&file).unwrap();
            let transaction = db.begin_write().unwrap();
            {
                let mut table = transaction.open_table(table).unwrap();
                let (key, value) = table.get(&b"height"[..]).unwrap().map_or_else(
                    || panic!("the scripts write this key"),
                    |value| (b"height".to_vec(), value.value().to_vec()),
                );
                match remove {
                    true => drop(table.remove(key.as_slice()).unwrap()),
                    false => drop(table.insert(&b"added"[..], value.as_slice()).unwrap()),
                }
            }
            transaction.commit().unwrap();
            drop(db);
            let store = Store::open(dir.path(), Options::default()).unwrap();
            let error = store.reader().deep_check().unwrap_err();
            assert!(matches!(error, Error::Damaged(_)), "{error}");
        }
    }
}

#[test]
fn a_bit_flipped_anywhere_in_the_file_is_found_by_a_checked_opening() {
    let mut random = Random::seeded(12);
    let dir = tempfile::tempdir().unwrap();
    let entries = common::all(&filled(dir.path()).reader());
    let file = dir.path().join(FILE);
    let pristine = fs::read(&file).unwrap();
    let mut found = 0;
    for round in 0..200 {
        let mut bytes = pristine.clone();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        fs::write(&file, &bytes).unwrap();
        let opened = catch_unwind(AssertUnwindSafe(|| Store::open(dir.path(), checked())));
        match opened.unwrap_or_else(|_| panic!("round {round}: a flip at {at} made it panic")) {
            Err(_) => found += 1,
            // A page that is not in use, or a copy of what stands elsewhere too.
            Ok(store) => assert_eq!(common::all(&store.reader()), entries, "a flip at {at}"),
        }
    }
    println!("{found} of 200 flips were in use");
    assert!(found > 10, "only {found} flips hit anything: the file is too sparse for this test");
}

/// Without it the file's tables would have to be trusted to be what this test takes them for.
#[test]
fn the_tables_are_those_that_are_documented() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let db = Database::open(dir.path().join(FILE)).unwrap();
    let transaction = db.begin_read().unwrap();
    let mut names: Vec<_> = transaction
        .list_tables()
        .unwrap()
        .map(|table| redb::TableHandle::name(&table).to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["blob", "flat", "meta", "tree"]);
}
