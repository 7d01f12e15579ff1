//! `capstan-bench parallel [--json]`: what a second thread for vats is worth, and what more cores would be.
//!
//! The same games are played by two kernels in turn, one of which runs vats on two threads. The figures are the medians of
//! the ratios of neighbouring rounds. The serial share is the CPU time that the kernel's thread spends on other work than
//! vats, of all CPU time. What n cores would give follows by Amdahl's law from the share of a third kernel, which
//! has so many threads that its own runs hardly any vats.

mod ceiling;

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use capstan_abi::{Delivery, Syscall, SyscallResult};
use capstan_conformance::javascript::Workshop;
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    ahead::{AheadPlan, Turn},
    host::{
        Delivered, HeapImage, HostFault, Start, Syscalls, VatHost, WorkerOptions, WorkerSource,
    },
    layer::{HostLayer, SyscallsLayer},
};
use capstan_vat_host::WasmHost;
use serde_json::json;

use crate::{Bench, Clock, config, online, thread_time};

/// Pairs of vats that play at once.
const PAIRS: u64 = 64;
/// Hits of each pair in a round.
const HITS: u64 = 30;
/// Hits of the two vats that play alone.
const LONE_HITS: u64 = 1_000;
/// Rounds of each game on each kernel.
const ROUNDS: usize = 7;
/// Threads of the kernel whose serial share the model takes.
const MANY_THREADS: usize = 8;
/// Numbers of cores for the model.
const CORES: [u32; 4] = [2, 4, 16, 64];

/// Measures the time that vats take on the kernel's thread.
struct Timed {
    host: WasmHost,
    inline: Rc<Cell<Duration>>,
}

impl Timed {
    /// Notes the time of the kernel's thread that `work` takes.
    fn timed<T>(&mut self, work: impl FnOnce(&mut WasmHost) -> T) -> T {
        let began = thread_time();
        let done = work(&mut self.host);
        let spent = thread_time().saturating_sub(began);
        self.inline.set(self.inline.get() + spent);
        done
    }
}

/// Measures the time that syscalls take.
struct TimedSyscalls<'a> {
    syscalls: &'a mut dyn Syscalls,
    spent: Duration,
}

impl SyscallsLayer for TimedSyscalls<'_> {
    fn syscalls(&mut self) -> &mut dyn Syscalls {
        self.syscalls
    }

    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        let began = Instant::now();
        let result = self.syscalls.syscall(syscall);
        self.spent += began.elapsed();
        result
    }
}

impl HostLayer for Timed {
    type Host = WasmHost;

    fn host(&self) -> &WasmHost {
        &self.host
    }

    fn host_mut(&mut self) -> &mut WasmHost {
        &mut self.host
    }

    fn ahead_plan(&self) -> AheadPlan {
        self.host.ahead_plan()
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let mut syscalls = TimedSyscalls { syscalls, spent: Duration::ZERO };
        let delivered = self.timed(|host| host.deliver(vat, delivery, limit, &mut syscalls));
        self.inline.set(self.inline.get().saturating_sub(syscalls.spent));
        delivered
    }

    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        self.timed(|host| host.start(vat, source, options))
    }

    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        self.timed(|host| host.restore(vat, source, options, image, page))
    }

    fn take_prepared(&mut self, vat: VatId) -> Option<u64> {
        self.timed(|host| host.take_prepared(vat))
    }

    // At its turn a delivery that ran ahead only makes its syscalls.
    fn take_turn(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Turn {
        self.host.take_turn(vat, delivery, limit, syscalls)
    }
}

/// What a round took.
struct Round {
    wall: Duration,
    cpu: Duration,
    /// CPU time of the kernel's thread.
    thread: Duration,
    /// The part of it that was not spent on vats.
    serial: Duration,
    cranks: u64,
}

/// A kernel with 64 pairs of vats and two more.
struct Player {
    bench: Bench<Timed>,
    inline: Rc<Cell<Duration>>,
}

impl Player {
    fn start(workshop: &Workshop, threads: usize) -> Result<Self> {
        let inline = Rc::<Cell<Duration>>::default();
        let host = Timed { host: workshop.host_on(threads, None)?, inline: Rc::clone(&inline) };
        let vats = 2 * PAIRS as usize + 20;
        let mut bench = Bench::start_on(host, config(workshop)?, online(vats))?;
        bench.cranks_a_commit = 2_000;
        bench.call("enlist", &json!([2 * PAIRS, 3]))?;
        Ok(Self { bench, inline })
    }

    fn round(&mut self, method: &str, hits: u64, asleep: bool) -> Result<Round> {
        if asleep {
            self.bench.kernel.evict_all();
        }
        self.inline.set(Duration::ZERO);
        let thread = thread_time();
        let clock = Clock::start();
        let cranks = self.bench.call(method, &json!([hits]))?;
        let (cpu, wall) = clock.read();
        let thread = thread_time().saturating_sub(thread);
        Ok(Round { wall, cpu, thread, serial: thread.saturating_sub(self.inline.get()), cranks })
    }
}

/// One game on one thread and on two.
struct Game {
    cranks: u64,
    /// Wall time of one thread over that of two.
    speedup: f64,
    /// The same by CPU time, as on two cores that do nothing else: no thread is faster than the kernel's, and the two cores are
    /// no faster than half of all work.
    by_cpu: f64,
    /// CPU time of two threads over that of one.
    cpu: f64,
    /// CPU microseconds of a crank: on one thread, on two, and besides vats on one and on two.
    micros: [f64; 4],
    /// The serial share with two threads.
    serial: f64,
    wall: Duration,
}

/// Plays rounds of a game. Each begins with all vats asleep if `asleep` is set.
fn play(players: &mut [Player; 2], method: &str, hits: u64, asleep: bool) -> Result<Game> {
    let (mut speedups, mut cpus, mut shares, mut walls) = (vec![], vec![], vec![], vec![]);
    let (mut by_cpu, mut micros) = (vec![], [vec![], vec![], vec![], vec![]]);
    let mut cranks = 0;
    for number in 0..=ROUNDS {
        let [one, two] = players;
        let one = one.round(method, hits, asleep)?;
        let two = two.round(method, hits, asleep)?;
        ensure!(
            one.cranks == two.cranks,
            "the kernels disagree: {} cranks and {}",
            one.cranks,
            two.cranks
        );
        cranks = one.cranks;
        // The first round warms up.
        if number > 0 {
            speedups.push(one.wall.as_secs_f64() / two.wall.as_secs_f64());
            cpus.push(two.cpu.as_secs_f64() / one.cpu.as_secs_f64());
            shares.push(two.serial.as_secs_f64() / two.cpu.as_secs_f64());
            walls.push(one.wall.as_secs_f64());
            by_cpu.push(one.cpu.as_secs_f64() / two.thread.max(two.cpu / 2).as_secs_f64());
            for (all, cpu) in micros.iter_mut().zip([one.cpu, two.cpu, one.serial, two.serial]) {
                all.push(cpu.as_secs_f64() * 1e6 / cranks as f64);
            }
        }
    }
    let wall = Duration::from_secs_f64(median(walls));
    Ok(Game {
        cranks,
        speedup: median(speedups),
        by_cpu: median(by_cpu),
        cpu: median(cpus),
        micros: micros.map(median),
        serial: median(shares),
        wall,
    })
}

/// Returns the share of CPU time that pairs of vats leave to the kernel's thread if its own runs no vats, and the
/// microseconds of a crank.
fn serial(workshop: &Workshop) -> Result<(f64, f64)> {
    let mut player = Player::start(workshop, MANY_THREADS)?;
    let (mut shares, mut micros) = (vec![], vec![]);
    for number in 0..=ROUNDS {
        let Round { cpu, serial, cranks, .. } = player.round("games", HITS, false)?;
        if number > 0 {
            shares.push(serial.as_secs_f64() / cpu.as_secs_f64());
            micros.push(serial.as_secs_f64() * 1e6 / cranks as f64);
        }
    }
    Ok((median(shares), median(micros)))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Amdahl's law.
fn with_cores(serial: f64, cores: u32) -> f64 {
    1.0 / (serial + (1.0 - serial) / f64::from(cores))
}

/// Plays rounds of pairs on so many threads, one for each line of the input.
pub(crate) fn player(threads: &str) -> Result<()> {
    ceiling::player(threads.parse().context("the number of threads")?)
}

pub(crate) fn run(as_json: bool) -> Result<()> {
    let workshop = Bench::workshop()?;
    let mut players = [Player::start(&workshop, 1)?, Player::start(&workshop, 2)?];
    let pairs = play(&mut players, "games", HITS, false)?;
    let lone = play(&mut players, "play", LONE_HITS, false)?;
    let wasm = play(&mut players, "serve", 0, false)?;
    let usage = players[1].bench.kernel.host().host.usage();
    let [begun, counted, awaited, lost] =
        [usage.ahead_begun(), usage.ahead_counted(), usage.ahead_awaited(), usage.ahead_lost()];
    let (chained, snapshots) = (usage.ahead_chained(), usage.ahead_snapshots());
    let asleep = play(&mut players, "games", 1, true)?;
    let back = [usage.prepared_begun(), usage.prepared_counted(), usage.prepared_awaited()];
    drop(players);
    let (share, micros) = serial(&workshop)?;
    let ceilings = [ceiling::of_processes()?, ceiling::of_threads()?];
    if as_json {
        let game = |game: &Game| {
            json!({
                "cranks": game.cranks,
                "wall_s": game.wall.as_secs_f64(),
                "speedup": game.speedup,
                "by_cpu": game.by_cpu,
                "cpu": game.cpu,
                "cpu_us_a_crank": game.micros,
                "serial": game.serial,
            })
        };
        let model = CORES.map(|cores| json!([cores, with_cores(share, cores)]));
        println!(
            "{}",
            json!({
                "pairs": game(&pairs),
                "lone": game(&lone),
                "wasm": game(&wasm),
                "asleep": game(&asleep),
                "back": back,
                "model": model,
                "model_serial": share,
                "model_serial_us": micros,
                "ceiling": ceilings.map(|it| json!({"wall": it.wall, "cpu": it.cpu})),
                "ahead": {"begun": begun, "counted": counted, "awaited": awaited, "lost": lost, "chained": chained, "snapshots": snapshots},
            })
        );
        return Ok(());
    }
    println!(
        "{:<40} {:>8} {:>8} {:>8} {:>8} {:>8}   CPU us a crank: one, two; besides vats",
        "two threads over one", "cranks", "wall", "by CPU", "CPU", "serial"
    );
    for (name, game) in [
        ("64 pairs of JavaScript vats", &pairs),
        ("ping-pong of two JavaScript vats", &lone),
        ("ping-pong of two wasm vats", &wasm),
        ("64 pairs that sleep, one hit each", &asleep),
    ] {
        println!(
            "{name:<40} {:>8} {:>7.2}x {:>7.2}x {:>7.2}x {:>6.1} %   {:.0}, {:.0}; {:.0}, {:.0}",
            game.cranks,
            game.speedup,
            game.by_cpu,
            game.cpu,
            100.0 * game.serial,
            game.micros[0],
            game.micros[1],
            game.micros[2],
            game.micros[3],
        );
    }
    println!(
        "\n{:<49} {:>8} {:>17}",
        "two kernels at once over one alone, 64 pairs each", "wall", "CPU"
    );
    for (name, ceiling) in ["in two processes", "on two threads of a process"].iter().zip(ceilings)
    {
        println!("{name:<49} {:>7.2}x {:>16.2}x", ceiling.wall, ceiling.cpu);
    }
    println!(
        "\n64 pairs by Amdahl's law, with the serial share of {MANY_THREADS} threads, {:.1} % ({micros:.0} us a crank):",
        100.0 * share
    );
    for cores in CORES {
        println!("{:<56} {:>32.1}x", format!("{cores} cores"), with_cores(share, cores));
    }
    let [prepared, taken, waited] = back;
    println!("\nbrought back: {prepared}, taken over {taken}, waited for {waited}");
    println!(
        "run ahead: {begun}, counted {counted}, of which {chained} behind others, waited for {awaited}, lost {lost}; {snapshots} of them before snapshots"
    );
    Ok(())
}
