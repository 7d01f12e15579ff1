//! What a block costs the store, with fsync, and reads.
//! `cargo bench -p capstan-store --profile dev [-- --json] [--recorded] [--keys N] [--nodes N] [--cache MIB] [--dir DIR]`
//!
//! Blocks of 5,000 changed keys in the proportions of a recorded kernel workload (`workload.tsv`) over a million keys of the
//! same families, back to back and with pauses; and for comparison random keys spread over the whole tree, and clustered ones next to each
//! other. The store lies in DIR, by default a temporary directory: it should be on the disk that is to be measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod workload;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use capstan_kernel_ports::store::{Overlay, Read};
use capstan_store::{Options, Store};
use capstan_test_random::Random;
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

/// Blocks as recorded, the opening after them, and reads.
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

/// Has another process commit to the store in `dir` and end in the middle of it.
fn run_and_crash(dir: &Path, arguments: &Arguments) {
    let keys = arguments.keys.to_string();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--crash", "--keys", &keys, "--dir"])
        .arg(dir)
        .status()
        .unwrap();
    assert!(status.code().is_none(), "the process that was to crash ended: {status}");
}

/// Commits to the store in `dir` until much of its journal is not in the state's file, and ends as by kill -9.
fn crash(dir: &Path, arguments: &Arguments) -> ! {
    let mut workload = Workload::new(Random::from(6));
    drop(workload.populate(arguments.keys));
    let store = Store::open(dir, arguments.options.clone()).unwrap();
    for _ in 0..30 {
        commit(&store, workload.block(5_000));
    }
    std::process::abort();
}

/// Between two blocks of a chain that is not in a hurry.
const PAUSE: Duration = Duration::from_millis(200);

/// Random and clustered keys over half as many random ones.
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

struct Arguments {
    json: bool,
    recorded_only: bool,
    /// Do nothing but commit and crash.
    crash: bool,
    keys: u64,
    options: Options,
    dir: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Self {
        let mut parsed = Self {
            json: false,
            recorded_only: false,
            crash: false,
            keys: 1_000_000,
            options: Options::default(),
            dir: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => parsed.json = true,
                "--recorded" => parsed.recorded_only = true,
                "--crash" => parsed.crash = true,
                "--bench" => {} // cargo passes it
                "--keys" => parsed.keys = arguments.next().unwrap().parse().unwrap(),
                "--nodes" => {
                    parsed.options.tree_nodes = arguments.next().unwrap().parse().unwrap();
                }
                "--cache" => {
                    let mib: usize = arguments.next().unwrap().parse().unwrap();
                    parsed.options.cache_bytes = mib << 20;
                }
                "--dir" => parsed.dir = Some(arguments.next().unwrap().into()),
                other => panic!(
                    "unknown argument {other}: expected --json, --recorded, --keys N, --nodes N, --cache MIB, --dir DIR"
                ),
            }
        }
        parsed
    }
}

fn random_key(i: u64) -> Vec<u8> {
    let mut random = Random::from(i ^ 0xA076_1D64_78BD_642F);
    (0..4).flat_map(|_| random.number().to_be_bytes()).collect()
}

/// The same bytes for the same key and salt.
fn value(salt: u64) -> Vec<u8> {
    let mut random = Random::from(salt);
    (0..13).flat_map(|_| random.number().to_be_bytes()).take(100).collect()
}

/// A store of these entries, which lose their values.
fn build(
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

/// Commits a block of these changes: the times of its two halves, and how many keys had changed.
fn commit(store: &Store, changes: Vec<Change>) -> (Spent, Spent, usize) {
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

fn commits(
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

fn reads(store: &Store, keys: &[Vec<u8>], random: &mut Random, report: &mut Report) {
    const TIMES: u64 = 200_000;
    let state = store.reader();
    let mut block = store.begin_block();
    let mut pick = |_| keys[random.number() as usize % keys.len()].clone();
    for key in (0..10_000).map(&mut pick) {
        block.set(&key, value(key.len() as u64));
    }
    block.push();
    for key in (0..50).map(&mut pick) {
        block.set(&key, value(key.len() as u64));
    }
    block.push();
    let wanted: Vec<_> = (0..TIMES).map(&mut pick).collect();
    let mut each = |name: &str, call: &mut dyn FnMut(&Vec<u8>) -> bool| {
        report.figure(&format!("{name}, CPU"), "µs", each(&wanted, call));
    };
    each("get, committed state", &mut |key| state.get(key).unwrap().is_some());
    each("get, block, first time", &mut |key| block.get(key).unwrap().is_some());
    each("get, block, again", &mut |key| block.get(key).unwrap().is_some());
    each("next after, committed state", &mut |key| state.next_after(b"", key).unwrap().is_some());
    each("next after, block", &mut |key| block.next_after(b"", key).unwrap().is_some());
    let began = Clock::now();
    let mut entries = 0;
    let mut after = b"k.c.v1".to_vec();
    while let Some((key, _)) = block.next_after(b"k.c.v1", &after).unwrap() {
        after = key;
        entries += 1;
    }
    let spent = Clock::now().since(&began);
    let each = spent.cpu_ms * 1e3 / f64::from(entries);
    report.figure("next after, block, in order, CPU", "µs", each);
}

/// What the store costs a crank of the kernel: a level of its own, 40 reads of which half were read
/// before in the block, 12 writes, 2 steps of an iteration, the visit of its writes, the merge.
fn cranks(store: &Store, keys: &[Vec<u8>], random: &mut Random, report: &mut Report) {
    const CRANKS: usize = 20_000;
    let mut block = store.begin_block();
    let began = Clock::now();
    let mut bytes = 0;
    let mut any = || keys[random.number() as usize % keys.len()].as_slice();
    for crank in 0..CRANKS {
        block.push();
        for i in 0..40 {
            let key = match i % 2 {
                0 => keys[i + crank % 20 * 40].as_slice(),
                _ => any(),
            };
            bytes += block.get(key).unwrap().map_or(0, |value| value.len());
        }
        for i in 0..12 {
            let key = match i % 3 {
                0 => keys[i + crank % 20 * 40].to_vec(),
                1 => any().to_vec(),
                _ => [any(), b".new"].concat(),
            };
            block.set(&key, vec![7; 100]);
        }
        let mut after = any().to_vec();
        for _ in 0..2 {
            match block.next_after(b"", &after).unwrap() {
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
fn each<T>(items: &[T], call: &mut dyn FnMut(&T) -> bool) -> f64 {
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

/// What the process has taken so far, in all threads: what a block takes does not depend on what else the machine does.
struct Process {
    cpu_ms: f64,
    written_mb: f64,
}

impl Process {
    fn now() -> Self {
        // Zero where there is no procfs.
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        let written = line.and_then(|line| line.parse::<f64>().ok()).unwrap_or(0.0);
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // User and system time, fields 14 and 15 of `proc_pid_stat(5)`, in ticks of 10 ms, counted from behind the name.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum();
        Self { cpu_ms: ticks * 10.0, written_mb: written / 1e6 }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms - earlier.cpu_ms,
            written_mb: self.written_mb - earlier.written_mb,
        }
    }
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
