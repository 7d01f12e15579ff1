//! Building a store and committing blocks to it.

use std::{path::Path, time::Instant};

use capstan_kernel_ports::store::Overlay;
use capstan_store::Store;
use capstan_test_random::Random;

use crate::{
    arguments::Arguments,
    measure::{Clock, Process, Spent, seconds},
    report::Report,
    workload::Change,
};

/// Returns a value of 100 bytes that depends on `salt` only.
pub(crate) fn value(salt: u64) -> Vec<u8> {
    let mut random = Random::from(salt);
    (0..13).flat_map(|_| random.number().to_be_bytes()).take(100).collect()
}

/// Builds a store of `entries`, whose values it takes.
pub(crate) fn build(
    dir: &Path,
    name: &str,
    entries: &mut [Change],
    arguments: &Arguments,
    report: &mut Report,
) -> Store {
    let store = Store::open(dir, arguments.options.clone()).unwrap();
    let (began, count) = (Instant::now(), entries.len());
    for batch in entries.chunks_mut(50_000) {
        let mut block = store.begin_block();
        for (key, value) in batch {
            block.set(key, value.take().unwrap());
        }
        let prepared = store.prepare(block).unwrap();
        store.commit_unsynced(prepared, store.height() + 1).unwrap();
    }
    commit(&store, Vec::new());
    report.figure(&format!("{name}: build {count} keys"), "s", seconds(began));
    for file in [capstan_store::FILE, capstan_store::JOURNAL_FILE] {
        let size = std::fs::metadata(dir.join(file)).unwrap().len();
        report.figure(&format!("{name}: {file}"), "MB", size as f64 / 1e6);
    }
    store
}

/// Commits a block of `changes`. Returns the times of its two halves and the number of changed keys.
pub(crate) fn commit(store: &Store, changes: Vec<Change>) -> (Spent, Spent, usize) {
    let mut block = store.begin_block();
    for (key, value) in changes {
        match value {
            Some(value) => block.set(&key, value),
            None => block.delete(&key),
        }
    }
    let began = Clock::now();
    let prepared = store.prepare(block).unwrap();
    let middle = Clock::now();
    let changed = prepared.changed_keys();
    store.commit(prepared, store.height() + 1).unwrap();
    (middle.since(&began), Clock::now().since(&middle), changed)
}

/// Commits `blocks` and reports the distribution of their times.
pub(crate) fn commits(
    store: &Store,
    name: &str,
    blocks: impl Iterator<Item = Vec<Change>>,
    report: &mut Report,
) {
    let (mut prepares, mut commits, mut whole, mut changed) = (vec![], vec![], vec![], 0);
    let before = Process::now();
    for block in blocks {
        let (prepare, commit, keys) = commit(store, block);
        changed += keys;
        whole.push(Spent {
            wall_ms: prepare.wall_ms + commit.wall_ms,
            cpu_ms: prepare.cpu_ms + commit.cpu_ms,
        });
        prepares.push(prepare);
        commits.push(commit);
    }
    let count = whole.len() as f64;
    report.line(&format!("{name}: prepare"), &prepares);
    report.line(&format!("{name}: commit"), &commits);
    report.line(&format!("{name}: both"), &whole);
    let mean = whole.iter().map(|spent| spent.wall_ms).sum::<f64>() / count;
    report.figure(&format!("{name}: both, mean"), "ms", mean);
    report.figure(&format!("{name}: changed, mean"), "keys", changed as f64 / count);
    let spent = Process::now().since(&before);
    report.figure(&format!("{name}: CPU of all threads, mean"), "ms", spent.cpu_ms / count);
    report.figure(&format!("{name}: written to disk, mean"), "MB", spent.written_mb / count);
}
