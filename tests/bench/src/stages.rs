//! `capstan-bench stages [--json]`: where the CPU time of the creation and of the upgrade of a JavaScript vat goes.
//!
//! A layer over the vat host measures each call: its CPU time without the syscalls that it makes, and the page faults of the
//! thread. Deliveries are told apart by their kind, and messages by their method. The rest of the time is the kernel's, which
//! is that of syscalls too, and the store's commits.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use anyhow::Result;
use capstan_abi::{Delivery, Syscall, SyscallResult};
use capstan_conformance::javascript::Workshop;
use capstan_kernel::KernelConfig;
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{
        Delivered, HeapImage, HostFault, Start, Syscalls, VatHost, WorkerOptions, WorkerSource,
    },
    layer::{HostLayer, SyscallsLayer},
};
use capstan_vat_host::WasmHost;
use serde_json::{Value, json};

use crate::{Bench, config, growth::objects, online, options};

/// Rounds before them.
const WARMING_ROUNDS: u64 = 3;

/// CPU time and page faults of this thread so far.
#[derive(Clone, Copy, Default)]
struct Spent {
    time: Duration,
    faults: u64,
}

impl Spent {
    fn now() -> Self {
        // SAFETY: both records are plain, and the calls fill them in.
        let (time, usage) = unsafe {
            let (mut time, mut usage) = std::mem::zeroed::<(libc::timespec, libc::rusage)>();
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
            libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
            (time, usage)
        };
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        let time = Duration::new(time.tv_sec.unsigned_abs(), nanoseconds);
        Self { time, faults: usage.ru_minflt.unsigned_abs() }
    }

    fn since(began: Self) -> Self {
        Self::now().without(began)
    }

    fn without(self, part: Self) -> Self {
        Self {
            time: self.time.saturating_sub(part.time),
            faults: self.faults.saturating_sub(part.faults),
        }
    }

    fn add(&mut self, other: Self) {
        self.time += other.time;
        self.faults += other.faults;
    }
}

/// What one stage took in all.
#[derive(Clone, Copy, Default)]
struct Stage {
    count: u64,
    spent: Spent,
    syscalls: u64,
    computrons: u64,
}

type Stages = Rc<RefCell<BTreeMap<String, Stage>>>;

/// Measures the calls of a host.
struct Staged {
    host: WasmHost,
    stages: Stages,
}

impl Staged {
    fn measure<T>(&mut self, name: &str, call: impl FnOnce(&mut WasmHost) -> T) -> T {
        let began = Spent::now();
        let result = call(&mut self.host);
        note(
            &self.stages,
            name,
            Stage { count: 1, spent: Spent::since(began), ..Stage::default() },
        );
        result
    }
}

fn note(stages: &Stages, name: &str, more: Stage) {
    let mut stages = stages.borrow_mut();
    let stage = stages.entry(name.to_owned()).or_default();
    stage.count += more.count;
    stage.spent.add(more.spent);
    stage.syscalls += more.syscalls;
    stage.computrons += more.computrons;
}

/// Measures the time that syscalls take, and counts them.
struct StagedSyscalls<'a> {
    syscalls: &'a mut dyn Syscalls,
    spent: Spent,
    count: u64,
}

impl SyscallsLayer for StagedSyscalls<'_> {
    fn syscalls(&mut self) -> &mut dyn Syscalls {
        self.syscalls
    }

    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        let began = Spent::now();
        let result = self.syscalls.syscall(syscall);
        self.spent.add(Spent::since(began));
        self.count += 1;
        result
    }
}

impl HostLayer for Staged {
    type Host = WasmHost;

    fn host(&self) -> &WasmHost {
        &self.host
    }

    fn host_mut(&mut self) -> &mut WasmHost {
        &mut self.host
    }

    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        self.measure("start of a worker", |host| host.start(vat, source, options))
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let mut syscalls = StagedSyscalls { syscalls, spent: Spent::default(), count: 0 };
        let began = Spent::now();
        let delivered = self.host.deliver(vat, delivery, limit, &mut syscalls);
        let spent = Spent::since(began).without(syscalls.spent);
        let computrons = delivered.as_ref().ok().and_then(|delivered| delivered.computrons);
        let computrons = computrons.unwrap_or_default().0;
        let stage = Stage { count: 1, spent, syscalls: syscalls.count, computrons };
        note(&self.stages, &title(vat, delivery), stage);
        delivered
    }

    fn stop(&mut self, vat: VatId) {
        self.measure("end of a worker", |host| host.stop(vat));
    }

    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        let image =
            self.measure("list and hash of a snapshot's pages", |host| host.heap_image(vat));
        let pages =
            image.as_ref().ok().and_then(Option::as_ref).map_or(0, |image| image.pages.len());
        let stage = Stage { count: pages as u64, ..Stage::default() };
        note(&self.stages, "(pages in a snapshot)", stage);
        image
    }

    fn heap_page(&self, vat: VatId, number: u32) -> Option<Vec<u8>> {
        let began = Spent::now();
        let page = self.host.heap_page(vat, number);
        let stage = Stage { count: 1, spent: Spent::since(began), ..Stage::default() };
        note(&self.stages, "copy of a page for the store", stage);
        page
    }

    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        self.measure("restoration of a heap", |host| {
            host.restore(vat, source, options, image, page)
        })
    }
}

/// Vats with numbers up to this are those that the benchmark begins with, and are told apart.
const FIRST_VATS: u64 = 10;

fn title(vat: VatId, delivery: &Delivery) -> String {
    let what = match delivery {
        Delivery::Message { message, .. } => {
            let name =
                serde_json::from_str::<Value>(message.methargs.body.get(1..).unwrap_or_default());
            name.ok().and_then(|body| body[0].as_str().map(str::to_owned)).unwrap_or_default()
        }
        Delivery::Notify { .. } => "notify".to_owned(),
        Delivery::StartVat { .. } => "startVat".to_owned(),
        Delivery::BringOutYourDead => "bringOutYourDead".to_owned(),
        _ => "references dropped or retired".to_owned(),
    };
    match vat.0 <= FIRST_VATS {
        true => format!("{vat}: {what}"),
        false => format!("new vat: {what}"),
    }
}

/// What is measured.
struct Game {
    name: &'static str,
    /// Rounds that are measured.
    rounds: u64,
    config: fn(&Workshop) -> Result<KernelConfig>,
    prepare: fn(&mut Bench<Staged>) -> Result<()>,
    round: fn(&mut Bench<Staged>, u64) -> Result<()>,
}

const GAMES: [Game; 3] = [
    Game {
        name: "creation of a vat, and one message",
        rounds: 100,
        config,
        prepare: |_| Ok(()),
        round: |bench, _| bench.call("create", &json!([])).map(|_| ()),
    },
    Game {
        name: "upgrade of a vat",
        rounds: 100,
        config,
        prepare: |_| Ok(()),
        round: |bench, _| bench.call("renew", &json!([])).map(|_| ()),
    },
    Game {
        name: "messages to a thousand durable objects, until a snapshot is taken",
        rounds: 10,
        config: objects::config,
        prepare: |bench| bench.call("keep", &json!([0, OBJECTS, 100])).map(|_| ()),
        round: |bench, round| {
            let interval = options().snapshot_interval;
            let numbers = round * interval..(round + 1) * interval;
            numbers
                .map(|number| number * 7_919 % OBJECTS)
                .try_for_each(|number| bench.call("touch", &json!([number])).map(|_| ()))
        },
    },
];

/// Durable objects of one vat.
const OBJECTS: u64 = 1_000;

/// Plays a game, and returns its stages.
fn play(workshop: &Workshop, game: &Game) -> Result<Value> {
    let stages = Stages::default();
    let host = Staged { host: workshop.host()?, stages: Rc::clone(&stages) };
    let bench = &mut Bench::start_on(host, (game.config)(workshop)?, online(200))?;
    (game.prepare)(bench)?;
    for round in 0..WARMING_ROUNDS {
        (game.round)(bench, round)?;
    }
    stages.borrow_mut().clear();
    bench.committing = Duration::ZERO;
    let began = Spent::now();
    for round in 0..game.rounds {
        (game.round)(bench, WARMING_ROUNDS + round)?;
    }
    let all = Spent::since(began);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / game.rounds as f64;
    let mut rows = Vec::new();
    let mut rest = all.time.saturating_sub(bench.committing);
    for (name, stage) in stages.borrow().iter() {
        rest = rest.saturating_sub(stage.spent.time);
        rows.push(json!({
            "stage": name,
            "count": stage.count as f64 / game.rounds as f64,
            "cpu_us": each(stage.spent.time),
            "page_faults": stage.spent.faults as f64 / game.rounds as f64,
            "syscalls": stage.syscalls as f64 / game.rounds as f64,
            "computrons": stage.computrons as f64 / game.rounds as f64,
        }));
    }
    rows.sort_by(|a, b| {
        b["cpu_us"]
            .as_f64()
            .unwrap_or_default()
            .total_cmp(&a["cpu_us"].as_f64().unwrap_or_default())
    });
    Ok(json!({
        "name": game.name,
        "cpu_us": each(all.time),
        "page_faults": all.faults as f64 / game.rounds as f64,
        "commit_us": each(bench.committing),
        "kernel_us": each(rest),
        "stages": rows,
    }))
}

fn print(game: &Value) {
    println!(
        "{}: {:.0} µs of CPU, {:.0} page faults",
        game["name"].as_str().unwrap_or_default(),
        game["cpu_us"].as_f64().unwrap_or_default(),
        game["page_faults"].as_f64().unwrap_or_default()
    );
    println!(
        "{:<44} {:>7} {:>9} {:>8} {:>9} {:>12}",
        "", "count", "CPU µs", "faults", "syscalls", "computrons"
    );
    for row in game["stages"].as_array().into_iter().flatten() {
        let number = |name: &str| row[name].as_f64().unwrap_or_default();
        println!(
            "{:<44} {:>7.2} {:>9.0} {:>8.0} {:>9.1} {:>12.0}",
            row["stage"].as_str().unwrap_or_default(),
            number("count"),
            number("cpu_us"),
            number("page_faults"),
            number("syscalls"),
            number("computrons"),
        );
    }
    for (name, value) in [("kernel", "kernel_us"), ("commits of the store", "commit_us")] {
        println!("{name:<44} {:>7} {:>9.0}", "", game[value].as_f64().unwrap_or_default());
    }
}

pub(crate) fn run(as_json: bool) -> Result<()> {
    let workshop = Bench::workshop()?;
    let games = GAMES.iter().map(|game| play(&workshop, game)).collect::<Result<Vec<_>>>()?;
    match as_json {
        true => println!("{}", Value::Array(games)),
        false => games.iter().for_each(print),
    }
    Ok(())
}
