//! What a block costs the store: commits of 1,000 and 10,000 keys over 500,000 and more, with fsync,
//! and reads. `cargo bench -p capstan-store --profile dev [-- --json] [--keys N] [--levels N] [--dir DIR]`
//!
//! Three kinds of keys, as in the store's design: random ones spread over the whole tree, clustered ones
//! next to each other, and kernel-like ones in 200 vats. The store lies in DIR, by default a
//! temporary directory: it should be on the disk that is to be measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use capstan_kernel_ports::store::{Overlay, Read};
use capstan_store::{Options, Store};

fn main() {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir().unwrap();
    let dir = arguments.dir.as_deref().unwrap_or(temporary.path());
    let mut report = Report::default();
    report.line("fsync of 4 KiB", &fsyncs(dir));
    for base in [Keys::Random, Keys::Kernel] {
        let dir = dir.join(base.name());
        let mut random = Random(7);
        let store = build(&dir, base, &arguments, &mut random, &mut report);
        let kinds: &[Keys] = match base {
            Keys::Kernel => &[Keys::Kernel],
            _ => &[Keys::Random, Keys::Clustered],
        };
        for keys in kinds {
            for (count, rounds) in [(1_000, 100), (10_000, 10)] {
                commits(&store, *keys, count, rounds, arguments.keys, &mut random, &mut report);
            }
        }
        report.figure(&format!("{}: resident memory", base.name()), "MB", resident_mb());
        if base == Keys::Kernel {
            reads(&store, arguments.keys, &mut random, &mut report);
            cranks(&store, arguments.keys, &mut random, &mut report);
        }
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }
    report.print(arguments.json);
}

struct Arguments {
    json: bool,
    keys: u64,
    options: Options,
    dir: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Self {
        let mut parsed =
            Self { json: false, keys: 500_000, options: Options::default(), dir: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => parsed.json = true,
                "--bench" => {} // cargo passes it
                "--keys" => parsed.keys = arguments.next().unwrap().parse().unwrap(),
                "--levels" => {
                    parsed.options.tree_levels = arguments.next().unwrap().parse().unwrap();
                }
                "--dir" => parsed.dir = Some(arguments.next().unwrap().into()),
                other => panic!(
                    "unknown argument {other}: expected --json, --keys N, --levels N, --dir DIR"
                ),
            }
        }
        parsed
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Random,
    Clustered,
    Kernel,
}

impl Keys {
    fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Clustered => "clustered",
            Self::Kernel => "kernel-like",
        }
    }

    /// The `i`th of the keys that are there from the start.
    fn existing(self, i: u64) -> Vec<u8> {
        match self {
            Self::Random | Self::Clustered => random_key(i),
            Self::Kernel => kernel_key(i % VATS, i / VATS),
        }
    }

    /// The `i`th key of a block of `count` that is the `round`th over `existing` keys.
    fn in_block(
        self,
        round: u64,
        i: u64,
        count: u64,
        existing: u64,
        random: &mut Random,
    ) -> Vec<u8> {
        match self {
            Self::Random => random_key(existing + round * count + i + (count << 32)),
            Self::Clustered => format!("v12.vs.{:09}", round * count + i + count).into_bytes(),
            // A vat's work: old entries updated, and new ones after them.
            Self::Kernel => {
                let (vat, per_vat) = (i % VATS, existing / VATS);
                match i / VATS % 5 {
                    0..3 => kernel_key(vat, random.next() % per_vat),
                    _ => kernel_key(vat, per_vat + round * count + i + (count << 32)),
                }
            }
        }
    }
}

const VATS: u64 = 200;

fn random_key(i: u64) -> Vec<u8> {
    let mut random = Random(i ^ 0xA076_1D64_78BD_642F);
    (0..4).flat_map(|_| random.next().to_be_bytes()).collect()
}

fn kernel_key(vat: u64, n: u64) -> Vec<u8> {
    match n % 4 {
        0 => format!("v{vat}.c.ko{n}"),
        1 => format!("v{vat}.vs.vom.o+d{}/{n}", n % 11),
        2 => format!("ko{}.owner", n * VATS + vat),
        _ => format!("v{vat}.vs.vc.{}.r{n:010}", n % 7),
    }
    .into_bytes()
}

/// The same bytes for the same key and salt.
fn value(salt: u64) -> Vec<u8> {
    let mut random = Random(salt);
    (0..13).flat_map(|_| random.next().to_be_bytes()).take(100).collect()
}

fn build(
    dir: &Path,
    keys: Keys,
    arguments: &Arguments,
    random: &mut Random,
    report: &mut Report,
) -> Store {
    let count = arguments.keys;
    let store = Store::open(dir, arguments.options.clone()).unwrap();
    let began = Instant::now();
    let batch = 50_000;
    for first in (0..count).step_by(batch as usize) {
        let mut block = store.begin_block();
        for i in first..count.min(first + batch) {
            block.set(&keys.existing(i), value(random.next()));
        }
        let prepared = store.prepare(block).unwrap();
        store.commit_unsynced(prepared, store.height() + 1).unwrap();
    }
    let prepared = store.prepare(store.begin_block()).unwrap();
    store.commit(prepared, store.height() + 1).unwrap();
    let size = std::fs::metadata(dir.join(capstan_store::FILE)).unwrap().len();
    report.figure(&format!("{}: build {count} keys", keys.name()), "s", seconds(began));
    report.figure(&format!("{}: file", keys.name()), "MB", size as f64 / 1e6);
    store
}

fn commits(
    store: &Store,
    keys: Keys,
    count: u64,
    rounds: u64,
    existing: u64,
    random: &mut Random,
    report: &mut Report,
) {
    let (mut prepare, mut commit, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut block = store.begin_block();
        for i in 0..count {
            let key = keys.in_block(round, i, count, existing, random);
            block.set(&key, value(random.next()));
        }
        let began = Clock::now();
        let prepared = store.prepare(block).unwrap();
        let middle = Clock::now();
        store.commit(prepared, store.height() + 1).unwrap();
        let end = Clock::now();
        prepare.push(middle.since(&began));
        commit.push(end.since(&middle));
        whole.push(end.since(&began));
    }
    let name = format!("{count} {} keys", keys.name());
    report.line(&format!("{name}: prepare"), &prepare);
    report.line(&format!("{name}: commit"), &commit);
    report.line(&format!("{name}: both"), &whole);
}

fn reads(store: &Store, existing: u64, random: &mut Random, report: &mut Report) {
    const TIMES: u64 = 200_000;
    let snapshot = store.reader();
    let mut block = store.begin_block();
    for i in 0..10_000 {
        block.set(&kernel_key(i % VATS, existing + i), value(i));
    }
    block.push();
    for i in 0..50 {
        block.set(&kernel_key(i % VATS, 2 * existing + i), value(i));
    }
    block.push();
    let wanted: Vec<_> =
        (0..TIMES).map(|_| Keys::Kernel.existing(random.next() % existing)).collect();
    report.figure(
        "get, committed state, CPU",
        "µs",
        each(&wanted, |key| snapshot.get(key).unwrap().is_some()),
    );
    report.figure(
        "get, block, first time, CPU",
        "µs",
        each(&wanted, |key| block.get(key).unwrap().is_some()),
    );
    report.figure(
        "get, block, again, CPU",
        "µs",
        each(&wanted, |key| block.get(key).unwrap().is_some()),
    );
    report.figure(
        "next after, committed state, CPU",
        "µs",
        each(&wanted, |key| snapshot.next_after(b"", key).unwrap().is_some()),
    );
    report.figure(
        "next after, block, CPU",
        "µs",
        each(&wanted, |key| block.next_after(b"", key).unwrap().is_some()),
    );
    let began = Clock::now();
    let mut entries = 0;
    let mut after = b"v1".to_vec();
    while let Some((key, _)) = block.next_after(b"v1", &after).unwrap() {
        after = key;
        entries += 1;
    }
    let spent = Clock::now().since(&began);
    report.figure(
        "next after, block, in order, CPU",
        "µs",
        spent.cpu_ms * 1e3 / f64::from(entries),
    );
}

/// What the store costs a crank of the kernel: a level of its own, 40 reads of which half were read
/// before in the block, 12 writes, 2 steps of an iteration, the visit of its writes, the merge.
fn cranks(store: &Store, existing: u64, random: &mut Random, report: &mut Report) {
    const CRANKS: u64 = 20_000;
    let mut block = store.begin_block();
    let began = Clock::now();
    let mut bytes = 0;
    for crank in 0..CRANKS {
        let vat = crank % 20;
        block.push();
        for i in 0..40 {
            let n = match i % 2 {
                0 => i,
                _ => random.next() % (existing / VATS),
            };
            bytes += block.get(&kernel_key(vat, n)).unwrap().map_or(0, |value| value.len());
        }
        for i in 0..12 {
            let n = match i % 3 {
                0 => i,
                1 => random.next() % (existing / VATS),
                _ => existing + crank,
            };
            block.set(&kernel_key(vat, n), vec![7; 100]);
        }
        let mut after = kernel_key(vat, random.next() % (existing / VATS));
        for _ in 0..2 {
            match block.next_after(b"v", &after).unwrap() {
                Some((key, _)) => after = key,
                None => break,
            }
        }
        block.top_writes(&mut |key, _| bytes += key.len());
        block.merge();
    }
    assert!(bytes > 0, "the cranks found nothing");
    let spent = Clock::now().since(&began);
    report.figure("a crank's overlay work, CPU", "µs", spent.cpu_ms * 1e3 / CRANKS as f64);
}

/// CPU microseconds that `call` takes for each of `items`.
fn each<T>(items: &[T], mut call: impl FnMut(&T) -> bool) -> f64 {
    let began = Clock::now();
    let hits = items.iter().filter(|item| call(item)).count();
    assert!(hits > items.len() / 2, "the benchmark misses its keys");
    Clock::now().since(&began).cpu_ms * 1e3 / items.len() as f64
}

/// Milliseconds that each of some small durable writes takes: what the disk adds to every commit.
fn fsyncs(dir: &Path) -> Vec<Spent> {
    use std::io::Write;
    std::fs::create_dir_all(dir).unwrap();
    let path = dir.join("fsync");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut times = Vec::new();
    for _ in 0..50 {
        file.write_all(&[7; 4096]).unwrap();
        let began = Clock::now();
        file.sync_data().unwrap();
        times.push(Clock::now().since(&began));
    }
    std::fs::remove_file(path).unwrap();
    times
}

/// The memory of this process, in megabytes; zero where there is no procfs.
fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1e3
}

/// A point in time, and what this thread had computed by then.
struct Clock {
    wall: Instant,
    cpu_ms: f64,
}

/// Milliseconds that passed, and those that this thread was running: the rest is the disk, or other
/// programs on the machine.
#[derive(Clone, Copy)]
struct Spent {
    wall_ms: f64,
    cpu_ms: f64,
}

impl Clock {
    fn now() -> Self {
        // Zero where there is no procfs.
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds =
            text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
        Self { wall: Instant::now(), cpu_ms: nanoseconds.unwrap_or(0.0) / 1e6 }
    }

    fn since(&self, earlier: &Self) -> Spent {
        Spent {
            wall_ms: (self.wall - earlier.wall).as_secs_f64() * 1e3,
            cpu_ms: self.cpu_ms - earlier.cpu_ms,
        }
    }
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[derive(Default)]
struct Report {
    distributions: Vec<Distribution>,
    /// Name, unit, figure.
    figures: Vec<(String, &'static str, f64)>,
}

struct Distribution {
    name: String,
    p50_ms: f64,
    p99_ms: f64,
    cpu_p50_ms: f64,
}

impl Report {
    fn line(&mut self, name: &str, times: &[Spent]) {
        let at = |part: fn(&Spent) -> f64, share: usize| {
            let mut sorted: Vec<f64> = times.iter().map(part).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]
        };
        self.distributions.push(Distribution {
            name: name.to_owned(),
            p50_ms: at(|spent| spent.wall_ms, 50),
            p99_ms: at(|spent| spent.wall_ms, 99),
            cpu_p50_ms: at(|spent| spent.cpu_ms, 50),
        });
    }

    fn figure(&mut self, name: &str, unit: &'static str, figure: f64) {
        self.figures.push((name.to_owned(), unit, figure));
    }

    fn print(&self, json: bool) {
        if json {
            return self.print_json();
        }
        println!("{:<40} {:>10} {:>10} {:>10}", "milliseconds", "p50", "p99", "CPU p50");
        for Distribution { name, p50_ms, p99_ms, cpu_p50_ms } in &self.distributions {
            println!("{name:<40} {p50_ms:>10.2} {p99_ms:>10.2} {cpu_p50_ms:>10.2}");
        }
        println!();
        for (name, unit, figure) in &self.figures {
            println!("{name:<40} {figure:>10.2} {unit}");
        }
    }

    /// The names hold nothing that JSON would escape.
    fn print_json(&self) {
        let distributions = self.distributions.iter().map(|line| {
            let Distribution { name, p50_ms, p99_ms, cpu_p50_ms } = line;
            format!(
                r#"{{"name":"{name}","unit":"ms","p50":{p50_ms:.3},"p99":{p99_ms:.3},"cpu_p50":{cpu_p50_ms:.3}}}"#
            )
        });
        let figures = self.figures.iter().map(|(name, unit, figure)| {
            format!(r#"{{"name":"{name}","unit":"{unit}","value":{figure:.3}}}"#)
        });
        let all: Vec<String> = distributions.chain(figures).collect();
        println!("[{}]", all.join(",\n "));
    }
}
