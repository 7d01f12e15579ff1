//! `cargo bench --workspace --bench proven`: what a changed record of the proven tree costs.
//!
//! A store has 100,000 records, each also an entry of the state. Blocks change some of them at random. The same blocks
//! are made once with the proven tree and once without it, and the difference is what the tree costs. CPU times.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::collections::BTreeMap;

use capstan_kernel_ports::store::Overlay;
use capstan_store::{Options, Store};
use capstan_test_random::Random;

/// Records in the tree.
const RECORDS: u64 = 100_000;
/// Changed records of the blocks of one row, at least.
const CHANGES: u64 = 20_000;

fn main() {
    println!("CPU µs for each changed record of {RECORDS}, with the proven tree and without it");
    println!("{:>18} {:>24} {:>24}", "changes a block", "prepare, its thread", "all, all threads");
    let (mut with, mut without) = (Bench::start(true), Bench::start(false));
    for changes in [10, 100, 500, 2_000] {
        let ((prepare, all), (plain_prepare, plain_all)) =
            (with.measure(changes), without.measure(changes));
        println!("{changes:>18} {prepare:>14.1} {plain_prepare:>9.1} {all:>14.1} {plain_all:>9.1}");
    }
}

struct Bench {
    is_proven: bool,
    store: Store,
    height: u64,
    random: Random,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn start(is_proven: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store"), Options::default()).unwrap();
        let random = Random::from(16);
        let mut bench = Self { is_proven, store, height: 0, random, _folder: folder };
        for first in (0..RECORDS).step_by(10_000) {
            bench.block((first..first + 10_000).collect());
        }
        bench
    }

    /// Changes these records in a block. Returns the CPU time that the calling thread takes to prepare it, in
    /// microseconds.
    fn block(&mut self, numbers: Vec<u64>) -> f64 {
        let mut block = self.store.begin_block();
        let mut records = BTreeMap::new();
        for number in numbers {
            let value = self.random.number();
            records.insert(key(number), Some(format!("{{\"balance\":\"{value}\"}}").into_bytes()));
            block.set(&key(number), value.to_be_bytes().to_vec());
        }
        self.height += 1;
        if self.is_proven {
            block.set_proven(self.height, records);
        }
        let began = thread_us();
        let prepared = self.store.prepare(block).unwrap();
        let taken = thread_us() - began;
        self.store.commit(prepared, self.height).unwrap();
        taken
    }

    /// Returns the CPU time of a changed record, in microseconds: in `prepare`, and in all threads.
    fn measure(&mut self, changes: u64) -> (f64, f64) {
        let blocks = CHANGES.div_ceil(changes);
        let (began, mut prepare) = (process_us(), 0.0);
        for _ in 0..blocks {
            let numbers = (0..changes).map(|_| self.random.number() % RECORDS).collect();
            prepare += self.block(numbers);
        }
        let count = (blocks * changes) as f64;
        (prepare / count, (process_us() - began) / count)
    }
}

fn key(number: u64) -> Vec<u8> {
    let scattered = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("balances/capstan1{scattered:038x}").into_bytes()
}

/// Returns the CPU time of this thread. Zero where there is no procfs.
fn thread_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    first.unwrap_or(0.0) / 1e3
}

/// Returns the CPU time of all threads, user and system, in steps of 10 ms. Zero where there is no procfs.
fn process_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        fields.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok());
    ticks.sum::<f64>() * 1e4
}
