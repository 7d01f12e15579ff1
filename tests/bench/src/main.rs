//! `capstan-bench [--json]`: what the kernel does in a CPU second, on a store on disk, with real vats.
//!
//! CPU time is that of this process, user and system; counts are exact. Figures of one run may be
//! compared with each other, those of different machines or runs only roughly.

mod blocks;
mod cost;
mod fleet;
mod growth;
mod numbers;
mod parallel;
mod shapes;
mod smallcaps;
mod stages;
mod sync;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use capstan_conformance::javascript::Workshop;
use capstan_kernel::{
    Kernel, KernelConfig, KernelOptions, NodeOptions, RunReport, StaticVat, VAT_ADMIN,
    capdata::KernelData,
    ids::KRef,
    policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy},
    promise::{PromiseState, ResultPolicy},
    vat::{ReapThreshold, Threshold},
    view,
};
use capstan_kernel_ports::host::VatHost;
use capstan_store::{Block, Options, Store};
use capstan_vat_host::WasmHost;
use serde_json::{Value, json};

/// That of `capstan`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
Measures the kernel with real vats, and prints tables.

Usage: capstan-bench [cost | blocks | fleet | growth | parallel | smallcaps | stages | sync] [--json]
       capstan-bench game pingpong | wasm | deposits | create | loops
       capstan-bench shapes

(none)   all games: ping-pong of JavaScript and of wasm vats, a durable map, vats created from one bundle, a loop
game     one of them, as a line of JSON
cost     what a computron of ordinary and hostile work takes, and of the dearest attacks that are known [--only PART]
blocks   empty blocks, messages to a vat with and without JSON-RPC [--only empty | straight | rpc | batches]
fleet    a thousand vats: memory, restart, first deliveries [--vats N] [--deliveries N]
growth   how costs grow with objects, vats, keys and blocks [--only AXIS] [--objects N] [--vats N] [--keys N] [--blocks N]
         [--full] [--svg FILE] [--from FILE]
parallel vats on one thread and on two, two kernels at once, and a model for more cores
smallcaps
         checking and reading a body of smallcaps, over parsing its JSON
stages   where the time goes that it takes to create a JavaScript vat and to upgrade one
sync     snapshots of the state: written beside blocks, and restored [--vats N] [--kib N]
shapes   the families of keys that real vats change, for the store's benchmark
--json   figures for programs";

/// Hits of a game of ping-pong; each is two cranks, one routing and one delivery.
const HITS: u64 = 2_000;
/// Deliveries that change an entry of a durable map.
const DEPOSITS: u64 = 2_000;
/// Turns of a loop in one delivery.
const TURNS: u64 = 1_000_000;
/// Such loops.
const LOOPS: u64 = 10;
/// Vats that are created one after the other from one bundle.
const VATS: u64 = 100;
/// Cranks between two commits.
const CRANKS_A_COMMIT: u64 = 100;

type Game = fn(&mut Bench) -> Result<Value>;

const GAMES: [(&str, Game); 5] = [
    ("pingpong", Bench::ping_pong),
    ("wasm", Bench::ping_pong_of_wasm),
    ("deposits", Bench::deposits),
    ("create", Bench::create_vats),
    ("loops", Bench::loops),
];

/// Plays a game on a kernel of its own: what one leaves behind is not the others' to collect.
fn play(game: Game) -> Result<Value> {
    game(&mut Bench::start()?)
}

fn main() -> ExitCode {
    // As `capstan` does.
    capstan_vat_host::disable_huge_pages();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without the places in this program, which say nothing about a wrong argument.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let as_json = match arguments[..] {
        [] => false,
        ["--json"] => true,
        ["cost"] => return cost::run(false, None),
        ["cost", "--json"] => return cost::run(true, None),
        ["cost", "--only", part] => return cost::run(false, Some(part)),
        ["blocks"] => return blocks::run(false, None),
        ["blocks", "--json"] => return blocks::run(true, None),
        ["blocks", "--only", part] => return blocks::run(false, Some(part)),
        ["blocks", "--only", part, "--json"] => return blocks::run(true, Some(part)),
        ["fleet", ..] => return fleet::run(&arguments[1..]),
        ["growth", ..] => return growth::run(&arguments[1..]),
        ["parallel"] => return parallel::run(false),
        ["parallel", "--json"] => return parallel::run(true),
        ["parallel", "player", threads] => return parallel::player(threads),
        ["sync", "restore", snapshots, height, vats] => {
            return sync::restore(snapshots, height, vats);
        }
        ["sync", ..] => return sync::run(&arguments[1..]),
        ["smallcaps"] => return smallcaps::run(false),
        ["smallcaps", "--json"] => return smallcaps::run(true),
        ["stages"] => return stages::run(false),
        ["stages", "--json"] => return stages::run(true),
        ["game", name] => {
            let game = GAMES.iter().find(|(game, _)| *game == name);
            let (_, game) = game.with_context(|| format!("unknown game {name}\n\n{HELP}"))?;
            println!("{}", play(*game)?);
            return Ok(());
        }
        ["shapes"] => return shapes::run(),
        ["--help" | "-h"] => {
            println!("{HELP}");
            return Ok(());
        }
        [other, ..] => bail!("unknown argument {other}\n\n{HELP}"),
    };
    let rows = GAMES.iter().map(|(_, game)| play(*game)).collect::<Result<Vec<_>>>()?;
    if as_json {
        println!("{}", Value::Array(rows));
        return Ok(());
    }
    println!("{:<44} {:>10} {:>12} {:>12} {:>14}", "", "count", "CPU s", "wall s", "per CPU s");
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap_or_default();
        println!(
            "{:<44} {:>10} {:>12.2} {:>12.2} {:>14.1}",
            row["name"].as_str().unwrap_or_default(),
            row["count"],
            number("cpu_s"),
            number("wall_s"),
            number("per_cpu_s"),
        );
        if row["cpu_ms_each"].is_number() {
            println!("{:<44} {:>10.2} ms of CPU each", "", number("cpu_ms_each"));
        }
    }
    Ok(())
}

/// A kernel on a store on disk.
struct Bench<H = WasmHost> {
    kernel: Kernel<H>,
    store: Store,
    block: Option<Block>,
    height: u64,
    cranks_a_commit: u64,
    /// CPU time of this thread for commits.
    committing: Duration,
    /// Counts what every block changes.
    shapes: Option<shapes::Shapes>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn start() -> Result<Self> {
        let workshop = Self::workshop()?;
        Self::start_with(&workshop, config(&workshop)?, online(200))
    }

    fn workshop() -> Result<Workshop> {
        let home = std::env::var_os("HOME").context("HOME is not set")?;
        Workshop::new(PathBuf::from(home).join(".cache/capstan/conformance"))
    }

    fn start_with(workshop: &Workshop, config: KernelConfig, options: NodeOptions) -> Result<Self> {
        Self::start_on(workshop.host()?, config, options)
    }

    /// A kernel on what the folder holds.
    fn open(
        workshop: &Workshop,
        folder: tempfile::TempDir,
        height: u64,
        options: NodeOptions,
    ) -> Result<Self> {
        Self::open_on(workshop.host()?, folder, height, options)
    }

    fn deposits(&mut self) -> Result<Value> {
        self.call("deposit", &json!([100]))?;
        let clock = Clock::start();
        self.call("deposit", &json!([DEPOSITS]))?;
        let (cpu, wall) = clock.read();
        Ok(row("messages that change a durable map", DEPOSITS, cpu, wall))
    }

    fn loops(&mut self) -> Result<Value> {
        self.call("calculate", &json!([1_000]))?;
        let clock = Clock::start();
        for _ in 0..LOOPS {
            self.call("calculate", &json!([TURNS]))?;
        }
        let (cpu, wall) = clock.read();
        let mut row = row("loops of a million turns", LOOPS, cpu, wall);
        row["cpu_ms_each"] = json!(cpu.as_secs_f64() * 1e3 / LOOPS as f64);
        Ok(row)
    }

    fn create_vats(&mut self) -> Result<Value> {
        self.call("create", &json!([]))?;
        let clock = Clock::start();
        for _ in 0..VATS {
            self.call("create", &json!([]))?;
        }
        let (cpu, wall) = clock.read();
        let mut row = row("vats created from one bundle, and one message", VATS, cpu, wall);
        row["cpu_ms_each"] = json!(cpu.as_secs_f64() * 1e3 / VATS as f64);
        Ok(row)
    }
}

impl<H: VatHost> Bench<H> {
    fn start_on(host: H, config: KernelConfig, options: NodeOptions) -> Result<Self> {
        let mut bench = Self::open_on(host, tempfile::tempdir()?, 0, options)?;
        let mut block = bench.block.take().context("no block")?;
        bench.kernel.initialize(&mut block, &config)?;
        // Messages come to them from outside, and a root that no vat holds may go.
        for name in config.vats.keys() {
            bench.kernel.pin_vat_root(&mut block, name)?;
        }
        bench.block = Some(block);
        bench.run()?;
        Ok(bench)
    }

    fn open_on(
        host: H,
        folder: tempfile::TempDir,
        height: u64,
        options: NodeOptions,
    ) -> Result<Self> {
        let store = Store::open(folder.path().join("store"), Options::default())?;
        let kernel = Kernel::new(host, options);
        let block = Some(store.begin_block());
        let cranks_a_commit = CRANKS_A_COMMIT;
        let (committing, shapes) = (Duration::ZERO, None);
        Ok(Self { kernel, store, block, height, cranks_a_commit, committing, shapes, folder })
    }

    /// Runs until nothing is left, with a durable commit every [`CRANKS_A_COMMIT`] cranks. Returns
    /// the number of cranks.
    fn run(&mut self) -> Result<u64> {
        let mut cranks = 0;
        loop {
            let report = self.block(&mut Batch { left: self.cranks_a_commit })?;
            cranks += report.cranks;
            if report.idle {
                return Ok(cranks);
            }
        }
    }

    /// Runs and commits a block.
    fn block(&mut self, policy: &mut dyn RunPolicy) -> Result<RunReport> {
        let mut block = self.block.take().context("no block")?;
        let report = self.kernel.run(&mut block, policy)?;
        let began = thread_time();
        let prepared = self.store.prepare(block)?;
        if let Some(shapes) = &mut self.shapes {
            shapes.count(&prepared, &self.store.reader())?;
        }
        self.height += 1;
        self.store.commit(prepared, self.height)?;
        self.committing += thread_time().saturating_sub(began);
        self.block = Some(self.store.begin_block());
        Ok(report)
    }

    /// Sends a message to a vat's root; the promise for its result.
    fn send(&mut self, vat: &str, method: &str, args: &Value) -> Result<KRef> {
        let methargs = methargs(method, args);
        let block = self.block.as_mut().context("no block")?;
        let sent = self.kernel.queue_to_vat_root(block, vat, methargs, ResultPolicy::Ignore)?;
        sent.with_context(|| format!("there is no vat {vat}"))
    }

    fn call(&mut self, method: &str, args: &Value) -> Result<u64> {
        let KRef::Promise(number) = self.send("bootstrap", method, args)? else {
            bail!("the result of a message is no promise");
        };
        let cranks = self.run()?;
        let block = self.block.as_ref().context("no block")?;
        match view::promise(block, number)?.context("the result is gone")?.state {
            PromiseState::Fulfilled(_) => Ok(cranks),
            PromiseState::Rejected(reason)
            | PromiseState::RejectedByKernel { data: reason, .. } => {
                bail!("{method} was rejected: {}", reason.body)
            }
            PromiseState::Unresolved(_) => bail!("{method} was not answered"),
        }
    }

    fn ping_pong(&mut self) -> Result<Value> {
        self.call("play", &json!([100]))?;
        let clock = Clock::start();
        let cranks = self.call("play", &json!([HITS]))?;
        let (cpu, wall) = clock.read();
        Ok(row("ping-pong of two JavaScript vats, cranks", cranks, cpu, wall))
    }

    fn ping_pong_of_wasm(&mut self) -> Result<Value> {
        self.call("serve", &json!([]))?;
        let clock = Clock::start();
        let cranks = self.call("serve", &json!([]))?;
        let (cpu, wall) = clock.read();
        Ok(row("ping-pong of two wasm vats, cranks", cranks, cpu, wall))
    }
}

fn online(vats: usize) -> NodeOptions {
    NodeOptions { max_vats_online: vats, ..NodeOptions::default() }
}

/// A message with arguments that are JSON and no more.
fn methargs(method: &str, args: &Value) -> KernelData {
    KernelData { body: format!("#{}", json!([method, args])), slots: vec![] }
}

fn row(name: &str, count: u64, cpu: Duration, wall: Duration) -> Value {
    json!({
        "name": name,
        "count": count,
        "cpu_s": cpu.as_secs_f64(),
        "wall_s": wall.as_secs_f64(),
        "per_cpu_s": count as f64 / cpu.as_secs_f64(),
    })
}

/// Stops after a number of cranks.
struct Batch {
    left: u64,
}

impl RunPolicy for Batch {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::uniform(100))
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, _: &KernelWork) -> bool {
        self.left -= 1;
        self.left > 0
    }
}

fn config(workshop: &Workshop) -> Result<KernelConfig> {
    let vats = Path::new(env!("CARGO_MANIFEST_DIR")).join("vats");
    let boot = workshop.bundle(&vats.join("vat-bootstrap.js"))?;
    let player = workshop.bundle(&vats.join("vat-player.js"))?;
    let ledger = workshop.bundle(&vats.join("vat-ledger.js"))?;
    let admin = workshop.bundle(Path::new(VAT_ADMIN))?;
    let wasm = wat::parse_str(include_str!("../vats/player.wat"))?;
    let wasm = (capstan_bundle::wasm_id(&wasm).to_string(), wasm);
    let static_vats = [
        ("bootstrap", &boot.0),
        ("left", &player.0),
        ("right", &player.0),
        ("ledger", &ledger.0),
        ("wasm-left", &wasm.0),
        ("wasm-right", &wasm.0),
        (VAT_ADMIN, &admin.0),
    ];
    Ok(KernelConfig {
        bootstrap: Some("bootstrap".to_owned()),
        pin_bootstrap_root: true,
        vats: static_vats.map(|(name, id)| (name.to_owned(), StaticVat::new(id))).into(),
        named_bundles: BTreeMap::from([("player".to_owned(), player.0.clone())]),
        bundles: BTreeMap::from([boot, player, ledger, wasm, admin]),
        ..KernelConfig::new(options())
    })
}

fn options() -> KernelOptions {
    KernelOptions {
        // As Agoric's chain: each thousand deliveries.
        reap: ReapThreshold { deliveries: Threshold::At(1_000), ..ReapThreshold::default() },
        relax_durability_rules: false,
        snapshot_initial: 3,
        snapshot_interval: 200,
        snapshot_debt: 100_000_000,
        collect_leaks: true,
        crank_limit: 1_000_000_000,
        guard: capstan_kernel::limits::SystemGuard::NONE,
        billing: capstan_kernel::billing::Billing::SWINGSET,
    }
}

/// Measures CPU and wall time.
struct Clock {
    cpu: Duration,
    wall: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { cpu: cpu_time(), wall: Instant::now() }
    }

    fn read(&self) -> (Duration, Duration) {
        (cpu_time().saturating_sub(self.cpu), self.wall.elapsed())
    }
}

/// The CPU time of this process so far, user and system.
fn cpu_time() -> Duration {
    cpu_time_of(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The CPU time of this thread so far, user and system.
fn thread_time() -> Duration {
    cpu_time_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The reading of a clock of CPU time. Unlike what `getrusage` says, it has all of what runs at the moment.
fn cpu_time_of(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a plain record that the call fills in. Both clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
