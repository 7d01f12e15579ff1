//! Keys: a bare store with values of 100 bytes under random keys, and a plain table of redb with the same.

use std::{ops::Range, path::Path, process::Command};

use anyhow::{Result, bail, ensure};
use capstan_kernel_ports::store::{Overlay as _, Read as _};
use capstan_store::{Options, Store, TreeCounts};
use capstan_test_random::Random;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition};

use super::{Point, cpu_us, median, median_us, progress};

/// Keys of one block while the store is filled.
const BATCH: usize = 50_000;
/// Keys that a measured block changes.
const CHANGED: u64 = 500;
/// Measured blocks: their changes fill the journal once and a little more, so that one checkpoint belongs to them.
const BLOCKS: u64 = 125;
/// Blocks in the journal of a store that is opened after a crash, which is nearly full.
const JOURNALED: u64 = 100;
/// Bytes of the journal for a change: its key and value, and as much as each change counts besides.
const CHANGE_BYTES: f64 = 32.0 + 100.0 + 1_024.0;
const READS: u64 = 200;
/// Reads before those that are measured.
const WARM: u64 = 200_000;

/// Costs or counts with their names.
type Costs = Vec<(&'static str, f64)>;

/// The table of entries in the state's file.
const FLAT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("flat");

pub(super) fn measure(sizes: &[u64]) -> Result<Vec<Point>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    let (mut points, mut made) = (Vec::new(), 0);
    for size in sizes {
        fill(&path, made..*size)?;
        made = *size;
        let usual = commits(&path, all_written(), 0, made)?;
        let small = commits(&path, small_caches(), BLOCKS, made)?;
        let mut costs = vec![
            ("commit of a block, a changed key", usual.commit),
            ("the same with its checkpoint", usual.whole),
            ("commit, small caches (a hundredth)", small.commit),
            ("and its checkpoint, small caches", small.whole),
            ("the same in a plain table of redb", peer(folder.path(), made)?),
        ];
        let (reads, pages) = reads(&path, made)?;
        costs.extend(reads);
        let (openings, opened) = openings(&path, made)?;
        costs.extend(openings);
        let counts = [usual.counts, small.counts, pages, opened].concat();
        points.push(Point { size: made, costs, counts });
    }
    Ok(points)
}

/// Measures reads of a store whose page cache is as full as such reads make it, and counts the pages of one.
fn reads(path: &Path, made: u64) -> Result<(Costs, Costs)> {
    let store = Store::open(path, Options::default())?;
    let rounds = |reads: u64| reads / READS;
    (0..rounds(WARM)).try_for_each(|round| read(&store, rounds(WARM) + round, made))?;
    let get = median_us(20, |round| read(&store, round as u64, made))?;
    let next = median_us(20, |round| walk(&store, round as u64, made))?;
    let costs =
        vec![("read of a key", get / READS as f64), ("read of the next key", next / READS as f64)];
    drop(store);
    let database = Database::open(path.join(capstan_store::FILE))?;
    let table = database.begin_read()?.open_table(FLAT)?;
    let pages = f64::from(table.stats()?.tree_height());
    Ok((costs, vec![("pages of the database, a read", pages)]))
}

/// Measures openings after a crash with a journal that is nearly full, and after a clean end.
fn openings(path: &Path, made: u64) -> Result<(Costs, Costs)> {
    let number = made.to_string();
    let crash = Command::new(std::env::current_exe()?)
        .args(["growth", CRASH])
        .arg(path)
        .arg(&number)
        .status()?;
    ensure!(crash.success(), "the process that was to change the store ended with {crash}");
    let open = || cpu_us(|| Ok(Store::open(path, Options::default())?));
    let (crashed, store) = open()?;
    let after_crash = store.counts().tree;
    (3 * BLOCKS..3 * BLOCKS + JOURNALED).try_for_each(|round| change(&store, round, made))?;
    drop(store);
    let (mut clean, mut after_end) = (Vec::new(), TreeCounts::default());
    for _ in 0..3 {
        let (us, store) = open()?;
        after_end = store.counts().tree;
        clean.push(us);
    }
    let costs = vec![
        ("opening of the store", median(&mut clean)),
        ("opening of the store after a crash", crashed),
    ];
    let changes = (CHANGED * JOURNALED) as f64;
    let left = Options::default().left_bytes as f64 / CHANGE_BYTES;
    let counts = vec![
        ("nodes, an opening after a crash, a change", after_crash.visited as f64 / changes),
        ("records read, an opening after a crash, a change", after_crash.loaded as f64 / changes),
        ("nodes, an opening, a change", after_end.visited as f64 / left),
        ("records read, an opening, a change", after_end.loaded as f64 / left),
    ];
    Ok((costs, counts))
}

/// Name of the command by which the benchmark starts itself: `growth --crash PATH KEYS`.
pub(super) const CRASH: &str = "--crash";

/// Changes a store until its journal is nearly full, and ends without closing it.
pub(super) fn crash(arguments: &[&str]) -> Result<()> {
    let [path, made] = arguments else { bail!("{CRASH} needs a path and a number of keys") };
    let (store, made) = (Store::open(path, Options::default())?, made.parse()?);
    (2 * BLOCKS..2 * BLOCKS + JOURNALED).try_for_each(|round| change(&store, round, made))?;
    std::process::exit(0)
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
    Options { left_bytes: 0, journal_bytes: 512 << 20, ..Options::default() }
}

/// What changes of a store cost, a changed key.
struct Commits {
    /// The median of blocks.
    commit: f64,
    /// All blocks with the checkpoint that their journal takes.
    whole: f64,
    counts: Costs,
}

/// Measures blocks, and all blocks with their checkpoint.
fn commits(path: &Path, options: Options, first: u64, made: u64) -> Result<Commits> {
    let is_small = options.tree_nodes < Options::default().tree_nodes;
    let store = Store::open(path, Options { background: false, ..options })?;
    let (mut times, mut all) = (Vec::new(), 0.0);
    let before = store.counts().tree;
    for round in 0..BLOCKS {
        let us = cpu_us(|| change(&store, first + round, made))?.0;
        times.push(us);
        all += us;
    }
    let counts = store.counts();
    all += cpu_us(|| {
        drop(store);
        Ok(())
    })?
    .0;
    let changes = (CHANGED * BLOCKS) as f64;
    let per = |count: u64| count as f64 / changes;
    let written = |count: u64| count as f64 / counts.checkpoint.entries.max(1) as f64;
    let loaded = per(counts.tree.loaded - before.loaded);
    let counts = match is_small {
        true => vec![("records read, a changed key, small caches", loaded)],
        false => vec![
            ("nodes visited, a changed key", per(counts.tree.visited - before.visited)),
            ("nodes hashed, a changed key", per(counts.tree.hashed - before.hashed)),
            ("records read, a changed key", loaded),
            ("KiB of the journal, a changed key", per(counts.journal_bytes) / 1024.0),
            ("records written, an entry of a checkpoint", written(counts.checkpoint.records)),
            ("KiB of a checkpoint, an entry", written(counts.checkpoint.bytes) / 1024.0),
        ],
    };
    Ok(Commits { commit: median(&mut times) / CHANGED as f64, whole: all / changes, counts })
}

const PEER: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peer");

/// Fills a plain table with the same keys. Changes as many of them as the measured blocks, in key order and in one
/// transaction, as a checkpoint does.
fn peer(folder: &Path, made: u64) -> Result<f64> {
    let path = folder.join("peer");
    let database = Builder::new().set_cache_size(Options::default().cache_bytes).create(&path)?;
    for keys in in_order(0..made).chunks(100_000) {
        let entries = keys.iter().map(|(key, number)| (key.to_vec(), value(*number)));
        write_peer(&database, entries.collect())?;
    }
    let all = CHANGED * BLOCKS;
    let changes =
        (0..all).map(|i| (key(spread(i, made)).to_vec(), value(i / CHANGED + 1))).collect();
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

/// Adds keys to a store, in their order: what it holds then is the same, and it is made sooner.
fn fill(path: &Path, numbers: Range<u64>) -> Result<()> {
    let (of, mut made) = (numbers.end, numbers.start);
    let store = Store::open(path, filled())?;
    for keys in in_order(numbers).chunks(BATCH) {
        let mut block = store.begin_block();
        keys.iter().for_each(|(key, number)| block.set(key, value(*number)));
        let prepared = store.prepare(block)?;
        store.commit_unsynced(prepared, store.height() + 1)?;
        made += keys.len() as u64;
        progress("keys", made, of);
    }
    Ok(())
}

/// Returns the keys of these numbers in their order, each with its number.
fn in_order(numbers: Range<u64>) -> Vec<([u8; 32], u64)> {
    let mut keys: Vec<_> = numbers.map(|number| (key(number), number)).collect();
    keys.sort_unstable();
    keys
}

fn change(store: &Store, round: u64, made: u64) -> Result<()> {
    let mut block = store.begin_block();
    for i in 0..CHANGED {
        // Another value than at other sizes, where some of the keys are the same.
        block.set(&key(spread(round * CHANGED + i, made)), value(round ^ (made << 20)));
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

fn key(number: u64) -> [u8; 32] {
    let mut random = Random::from(number ^ 0xA076_1D64_78BD_642F);
    let mut key = [0; 32];
    key.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random.number().to_be_bytes()));
    key
}

fn value(salt: u64) -> Vec<u8> {
    let mut random = Random::from(salt);
    (0..13).flat_map(|_| random.number().to_be_bytes()).take(100).collect()
}
