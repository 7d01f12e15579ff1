//! Benchmark of the store: the time of a block's commit with fsync, and of reads.
//!
//! ```text
//! cargo bench --workspace --bench commit [-- --json] [--recorded] [--keys N] [--nodes N] [--cache MIB] [--dir DIR]
//! ```
//!
//! The blocks have 5,000 changed keys in the proportions of a recorded kernel workload (`workload.tsv`), over a million
//! keys of the same families. They come back to back and with pauses. For comparison, other blocks change random keys
//! all over the tree, and keys next to each other. The store lies in DIR, by default a temporary directory. It should be
//! on the disk that is to be measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod arguments;
mod blocks;
mod measure;
mod reads;
mod report;
mod workload;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use arguments::Arguments;
use blocks::{build, commit, commits, value};
use capstan_store::Store;
use capstan_test_random::Random;
use measure::{fsyncs, resident_mb, seconds};
use reads::{cranks, reads};
use report::Report;
use workload::{Change, Workload};

fn main() {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir().unwrap();
    let dir = arguments.dir.as_deref().unwrap_or(temporary.path());
    let mut report = Report::default();
    if arguments.crash {
        crash(dir, &arguments);
    }
    report.line("fsync of 4 KiB", &fsyncs(dir));
    recorded(dir, &arguments, &mut report);
    if !arguments.recorded_only {
        synthetic(&dir.join("random"), &arguments, &mut report);
    }
    report.print(arguments.json);
}

/// Measures blocks in the recorded proportions, opening the store after them, and reads.
fn recorded(dir: &Path, arguments: &Arguments, report: &mut Report) {
    let dir = dir.join("recorded");
    let mut workload = Workload::new(Random::from(5));
    let mut entries = workload.populate(arguments.keys);
    let store = build(&dir, "recorded", &mut entries, arguments, report);
    for _ in 0..20 {
        commit(&store, workload.block(5_000)); // until the recent keys are as many as they will be
    }
    for (count, rounds) in [(5_000, 200), (500, 100)] {
        let blocks = (0..rounds).map(|_| workload.block(count));
        commits(&store, &format!("{count} recorded keys"), blocks, report);
    }
    let paced = (0..100).map(|_| {
        std::thread::sleep(PAUSE);
        workload.block(5_000)
    });
    commits(&store, "5000, with pauses", paced, report);
    report.figure("recorded: resident memory", "MB", resident_mb());
    drop(store);
    let began = Instant::now();
    let store = Store::open(&dir, arguments.options.clone()).unwrap();
    report.figure("recorded: opening again", "ms", seconds(began) * 1e3);
    drop(store);
    run_and_crash(&dir, arguments);
    let began = Instant::now();
    let store = Store::open(&dir, arguments.options.clone()).unwrap();
    report.figure("recorded: opening after a crash", "ms", seconds(began) * 1e3);
    let keys: Vec<Vec<u8>> = entries.into_iter().map(|(key, _)| key).collect();
    let mut random = Random::from(8);
    reads(&store, &keys, &mut random, report);
    cranks(&store, &keys, &mut random, report);
    drop(store);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Lets another process commit to the store in `dir` and abort.
fn run_and_crash(dir: &Path, arguments: &Arguments) {
    let keys = arguments.keys.to_string();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--crash", "--keys", &keys, "--dir"])
        .arg(dir)
        .status()
        .unwrap();
    assert!(status.code().is_none(), "the process that was to crash ended: {status}");
}

/// Commits to the store in `dir` until its journal is long, and aborts as by `kill -9`.
fn crash(dir: &Path, arguments: &Arguments) -> ! {
    let mut workload = Workload::new(Random::from(6));
    drop(workload.populate(arguments.keys));
    let store = Store::open(dir, arguments.options.clone()).unwrap();
    for _ in 0..30 {
        commit(&store, workload.block(5_000));
    }
    std::process::abort();
}

/// Pause between two blocks of a chain with little load.
const PAUSE: Duration = Duration::from_millis(200);

/// Measures random and clustered keys over half as many random ones.
fn synthetic(dir: &Path, arguments: &Arguments, report: &mut Report) {
    let existing = arguments.keys / 2;
    let mut random = Random::from(7);
    let mut entries: Vec<_> =
        (0..existing).map(|i| (random_key(i), Some(value(random.number())))).collect();
    let store = build(dir, "random", &mut entries, arguments, report);
    for clustered in [false, true] {
        for (count, rounds) in [(1_000, 50), (10_000, 10)] {
            let name = match clustered {
                true => "clustered",
                false => "random",
            };
            let blocks: Vec<Vec<Change>> = (0..rounds)
                .map(|round| {
                    let key = |i| match clustered {
                        true => format!("v12.vs.{:09}", round * count + i + count).into_bytes(),
                        false => random_key(existing + round * count + i + (count << 32)),
                    };
                    (0..count).map(|i| (key(i), Some(value(random.number())))).collect()
                })
                .collect();
            commits(&store, &format!("{count} {name} keys"), blocks.into_iter(), report);
        }
    }
    drop(store);
    std::fs::remove_dir_all(dir).unwrap();
}

fn random_key(i: u64) -> Vec<u8> {
    let mut random = Random::from(i ^ 0xA076_1D64_78BD_642F);
    (0..4).flat_map(|_| random.number().to_be_bytes()).collect()
}
