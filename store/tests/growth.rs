//! How the store's work grows with its size, in counts that do not depend on the machine.
//!
//! A batch of m keys goes through some m log(n / m) nodes of a tree of n keys. So work that grows with the logarithm grows
//! with each decade by the same. These tests fail if somebody makes something linear, or a root.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use capstan_kernel_ports::store::{Overlay as _, Read as _};
use capstan_store::{Counts, FILE, Options, Store};
use capstan_test_random::Random;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
/// Keys that a block changes, and blocks.
const CHANGED: u64 = 50;
const BLOCKS: u64 = 40;

/// Nodes by which an AVL tree grows at most in height with each decade: 1.44 times the binary logarithm of ten.
const DECADE: f64 = 4.8;

/// Work for each changed key at one size.
struct Work {
    visited: f64,
    hashed: f64,
    /// Records of the tree that were read.
    loaded: f64,
    journal_bytes: f64,
    /// Records of the tree that a checkpoint wrote, for each of its entries, and bytes.
    written: f64,
    written_bytes: f64,
    /// The same of an opening after a crash, for each change in the journal.
    replayed: f64,
    replay_loaded: f64,
    /// Pages of the database that a read goes through.
    pages: f64,
}

#[test]
fn work_grows_with_the_logarithm_of_the_number_of_keys() {
    // The usual caches hold the whole tree. The small ones hold a hundredth of the largest.
    for tree_nodes in [Options::default().tree_nodes, 1_000] {
        let work = SIZES.map(|size| work(size, tree_nodes));
        let rows: [(&str, fn(&Work) -> f64, f64); 9] = [
            ("nodes visited, a changed key", |work| work.visited, DECADE),
            ("nodes hashed, a changed key", |work| work.hashed, DECADE),
            // Four heights of the tree are in one record, and half of a batch's ways may need one more.
            ("records read, a changed key", |work| work.loaded, DECADE / 2.0),
            ("bytes of the journal, a changed key", |work| work.journal_bytes, 4.0),
            ("records of a checkpoint, an entry", |work| work.written, DECADE / 2.0),
            ("bytes of a checkpoint, an entry", |work| work.written_bytes, 1_500.0),
            ("nodes of an opening, a change", |work| work.replayed, DECADE),
            ("records of an opening, a change", |work| work.replay_loaded, DECADE / 2.0),
            ("pages of a read", |work| work.pages, 1.0),
        ];
        for (name, of, decade) in rows {
            let counts = work.each_ref().map(of);
            println!("{name}, {tree_nodes} nodes in memory: {counts:.1?}");
            for pair in counts.windows(2) {
                assert!(
                    pair[1] - pair[0] <= decade,
                    "{name}, {tree_nodes} nodes in memory: {counts:?} grow by more than {decade} a decade"
                );
            }
        }
    }
}

fn work(size: u64, tree_nodes: usize) -> Work {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { tree_nodes, background: false, left_bytes: 0, ..Options::default() };
    let store = Store::open(dir.path(), options.clone()).unwrap();
    let mut block = store.begin_block();
    (0..size).for_each(|number| block.set(&key(number), vec![1; 20]));
    store.commit(store.prepare(block).unwrap(), 1).unwrap();
    drop(store);

    // As much as the journal holds at most, and then a checkpoint.
    let journal_bytes = (CHANGED * BLOCKS) as usize * 1_076;
    let store = Store::open(dir.path(), Options { journal_bytes, ..options.clone() }).unwrap();
    let mut random = Random::from(size);
    let blocks = |store: &Store, random: &mut Random, count: u64| {
        (0..count).for_each(|_| change(store, random, size));
        store.counts()
    };
    let Counts { tree, journal_bytes, .. } = blocks(&store, &mut random, BLOCKS);
    let checkpoint = blocks(&store, &mut random, 2).checkpoint;
    assert!(checkpoint.entries > 0, "a checkpoint was written");
    drop(store);

    let open = || Store::open(dir.path(), Options { left_bytes: usize::MAX, ..options.clone() });
    let store = open().unwrap();
    blocks(&store, &mut random, BLOCKS);
    drop(store);
    let opening = open().unwrap().counts().tree;
    let (changes, entries) = ((CHANGED * BLOCKS) as f64, checkpoint.entries as f64);
    Work {
        visited: tree.visited as f64 / changes,
        hashed: tree.hashed as f64 / changes,
        loaded: tree.loaded as f64 / changes,
        journal_bytes: journal_bytes as f64 / changes,
        written: checkpoint.records as f64 / entries,
        written_bytes: checkpoint.bytes as f64 / entries,
        replayed: opening.visited as f64 / changes,
        replay_loaded: opening.loaded as f64 / changes,
        pages: pages(dir.path()),
    }
}

fn change(store: &Store, random: &mut Random, size: u64) {
    let mut block = store.begin_block();
    for _ in 0..CHANGED {
        let value = random.number().to_be_bytes();
        block.set(&key(random.below(size)), [&value[..], &[0; 12]].concat());
    }
    let (prepared, height) = (store.prepare(block).unwrap(), store.height() + 1);
    store.commit(prepared, height).unwrap();
}

/// Returns the height of the database's own tree of entries.
fn pages(dir: &Path) -> f64 {
    const FLAT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("flat");
    let database = Database::open(dir.join(FILE)).unwrap();
    let table = database.begin_read().unwrap().open_table(FLAT).unwrap();
    f64::from(table.stats().unwrap().tree_height())
}

fn key(number: u64) -> Vec<u8> {
    let mut random = Random::from(number ^ 0xA076_1D64_78BD_642F);
    (0..4).flat_map(|_| random.number().to_be_bytes()).collect()
}

#[test]
fn a_block_s_work_does_not_grow_with_the_number_of_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let mut before = store.counts();
    let mut works = Vec::new();
    for height in 1..=10_000_u64 {
        let mut block = store.begin_block();
        block.set(b"height", height.to_string().into_bytes());
        let value = height.to_be_bytes().to_vec();
        block.set_proven(height, [(b"last".to_vec(), Some(value))].into());
        store.commit_unsynced(store.prepare(block).unwrap(), height).unwrap();
        if [100, 1_000, 10_000].contains(&height) {
            let counts = store.counts();
            works.push((
                counts.tree.visited - before.tree.visited,
                counts.journal_bytes - before.journal_bytes,
            ));
        }
        before = store.counts();
    }
    let (first, last) = (works[0], works[works.len() - 1]);
    assert!(last.0 <= first.0 + 1, "nodes of a block: {works:?}");
    assert!(last.1 <= first.1 + 200, "bytes of a block: {works:?}");
    assert_eq!(store.reader().get(b"height").unwrap().unwrap(), b"10000");
}
