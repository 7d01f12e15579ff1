//! Keys: a bare store with values of 100 bytes under random keys, and a plain table of redb with the same.

use std::path::Path;

use anyhow::{Result, ensure};
use capstan_kernel_ports::store::{Overlay as _, Read as _};
use capstan_store::{Options, Store};
use capstan_test_random::Random;
use redb::{Builder, Database, TableDefinition};

use super::{Point, cpu_us, median, median_us, progress};

/// Keys of one block while the store is filled.
const BATCH: u64 = 10_000;
/// Keys that a measured block changes.
const CHANGED: u64 = 500;
/// Measured blocks: their changes fill the journal once, so that one checkpoint belongs to them.
const BLOCKS: u64 = 115;
/// Blocks in the journal of the stores that are opened, which is nearly full.
const JOURNALED: u64 = 100;
const READS: u64 = 200;

pub(super) fn measure(sizes: &[u64]) -> Result<Vec<Point>> {
    let folder = tempfile::tempdir()?;
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let (mut points, mut made) = (Vec::new(), 0);
    for size in sizes {
        let store = Store::open(&path, filled())?;
        while made < *size {
            fill(&store, made..made + BATCH)?;
            made += BATCH;
            progress("keys", made, *size);
        }
        drop(store);
        let (commit, whole) = commits(&path, all_written(), 0, made)?;
        let (small, small_whole) = commits(&path, small_caches(), BLOCKS, made)?;
        let mut costs = vec![
            ("commit of a block, a changed key", commit),
            ("the same with its checkpoint", whole),
            ("commit, small caches (a hundredth)", small),
            ("and its checkpoint, small caches", small_whole),
        ];
        costs.push(("the same in a plain table of redb", peer(folder.path(), made)?));
        let store = Store::open(&path, Options::default())?;
        let get = median_us(20, |round| read(&store, round as u64, made))?;
        let next = median_us(20, |round| walk(&store, round as u64, made))?;
        (2 * BLOCKS..2 * BLOCKS + JOURNALED).try_for_each(|round| change(&store, round, made))?;
        std::fs::create_dir_all(&copy)?;
        for file in [capstan_store::FILE, capstan_store::JOURNAL_FILE] {
            std::fs::copy(path.join(file), copy.join(file))?;
        }
        drop(store);
        let open = |path: &Path| cpu_us(|| Ok(Store::open(path, Options::default())?));
        let crashed = open(&copy)?.0;
        let mut openings = Vec::new();
        for _ in 0..3 {
            openings.push(open(&path)?.0);
        }
        costs.extend([
            ("read of a key", get / READS as f64),
            ("read of the next key", next / READS as f64),
            ("opening of the store", median(&mut openings)),
            ("opening of the store after a crash", crashed),
        ]);
        points.push(Point { size: made, costs });
    }
    Ok(points)
}

/// Returns options of a store that is written to the state's file when it is dropped.
fn all_written() -> Options {
    Options { left_bytes: 0, ..Options::default() }
}

/// Returns options with caches that hold little of any measured state. So the smaller sizes show what a state costs that is
/// a hundred times as large, beside usual caches.
fn small_caches() -> Options {
    let Options { cache_bytes, tree_nodes, .. } = Options::default();
    Options { cache_bytes: cache_bytes / 100, tree_nodes: tree_nodes / 100, ..all_written() }
}

/// Returns options of a store that is filled: it writes rarely, and everything when it is dropped.
fn filled() -> Options {
    Options { left_bytes: 0, journal_bytes: 1 << 30, ..Options::default() }
}

/// Measures blocks without a checkpoint beside them, and all blocks with the checkpoint that their journal takes.
fn commits(path: &Path, options: Options, first: u64, made: u64) -> Result<(f64, f64)> {
    let store = Store::open(path, options)?;
    let (mut times, mut all) = (Vec::new(), 0.0);
    for round in 0..BLOCKS {
        let us = cpu_us(|| change(&store, first + round, made))?.0;
        times.push(us);
        all += us;
    }
    all += cpu_us(|| {
        drop(store);
        Ok(())
    })?
    .0;
    Ok((median(&mut times) / CHANGED as f64, all / (CHANGED * BLOCKS) as f64))
}

const PEER: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peer");

/// Fills a plain table with the same keys. Changes as many of them as the measured blocks, in key order and in one
/// transaction, as a checkpoint does.
fn peer(folder: &Path, made: u64) -> Result<f64> {
    let path = folder.join("peer");
    let database = Builder::new().set_cache_size(Options::default().cache_bytes).create(&path)?;
    let mut keys: Vec<_> = (0..made).map(|number| (key(number), number)).collect();
    keys.sort();
    for keys in keys.chunks(100_000) {
        let entries = keys.iter().map(|(key, number)| (key.clone(), value(*number)));
        write_peer(&database, entries.collect())?;
    }
    drop(keys);
    let all = CHANGED * BLOCKS;
    let changes = (0..all).map(|i| (key(spread(i, made)), value(i / CHANGED + 1))).collect();
    let us = cpu_us(|| write_peer(&database, changes))?.0;
    drop(database);
    std::fs::remove_file(path)?;
    Ok(us / all as f64)
}

fn write_peer(peer: &Database, mut changes: Vec<(Vec<u8>, Vec<u8>)>) -> Result<()> {
    changes.sort();
    let transaction = peer.begin_write()?;
    {
        let mut table = transaction.open_table(PEER)?;
        for (key, value) in changes {
            table.insert(key.as_slice(), value.as_slice())?;
        }
    }
    Ok(transaction.commit()?)
}

fn fill(store: &Store, keys: std::ops::Range<u64>) -> Result<()> {
    let mut block = store.begin_block();
    for number in keys {
        block.set(&key(number), value(number));
    }
    let prepared = store.prepare(block)?;
    Ok(store.commit_unsynced(prepared, store.height() + 1)?)
}

fn change(store: &Store, round: u64, made: u64) -> Result<()> {
    let mut block = store.begin_block();
    for i in 0..CHANGED {
        block.set(&key(spread(round * CHANGED + i, made)), value(round));
    }
    let prepared = store.prepare(block)?;
    Ok(store.commit(prepared, store.height() + 1)?)
}

fn read(store: &Store, round: u64, made: u64) -> Result<()> {
    let state = store.reader();
    for i in 0..READS {
        let found = state.get(&key(spread(round * READS + i, made)))?;
        ensure!(found.is_some(), "a key is gone");
    }
    Ok(())
}

fn walk(store: &Store, round: u64, made: u64) -> Result<()> {
    let state = store.reader();
    for i in 0..READS {
        state.next_after(b"", &key(spread(round * READS + i, made)))?;
    }
    Ok(())
}

/// Returns a number below `made`, all over.
fn spread(i: u64, made: u64) -> u64 {
    Random::from(i).number() % made
}

fn key(number: u64) -> Vec<u8> {
    let mut random = Random::from(number ^ 0xA076_1D64_78BD_642F);
    (0..4).flat_map(|_| random.number().to_be_bytes()).collect()
}

fn value(salt: u64) -> Vec<u8> {
    let mut random = Random::from(salt);
    (0..13).flat_map(|_| random.number().to_be_bytes()).take(100).collect()
}
