//! `capstan-bench sync [--vats N] [--kib N] [--json]`: what snapshots of the state cost: writing one beside blocks, and
//! restoring one until the first block of the new node.
//!
//! A process of its own restores it, as a new node does, so that its memory is its own too.
//!
//! Each vat keeps bytes of its own, so that hardly any pages of heaps are equal. The figures are wall times.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use capstan_app::sync::{Restorer, Snapshot, Snapshots};
use capstan_conformance::javascript::Workshop;
use capstan_kernel::{Kernel, KernelConfig, StaticVat, VAT_ADMIN};
use capstan_kernel_ports::host::VatHost as _;
use capstan_store::Options;
use serde_json::json;

use crate::{
    Batch, Bench,
    numbers::{self, Figures},
    online, options,
};

/// Vats in memory, on both nodes.
const ONLINE: usize = 50;
/// Blocks that are measured without a snapshot, before it and after it.
const BLOCKS: usize = 300;

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let known = [("--vats", 50), ("--kib", 1_024)];
    numbers::run("sync", arguments, known, |[vats, kib]| measure(vats.max(10), kib))
}

fn measure(vats: u64, kib: u64) -> Result<Figures> {
    let workshop = Bench::workshop()?;
    let mut bench = Bench::start_with(&workshop, config(&workshop)?, online(ONLINE))?;
    let mut made = 0;
    while made < vats {
        let batch = (vats - made).min(20);
        bench.call("enlist", &json!([batch, kib << 10]))?;
        made += batch;
        eprint!("\r{made} of {vats} vats ");
    }
    eprintln!();
    // The vats that are asked return to memory first.
    blocks(&mut bench, vats, |done| done < BLOCKS / 5)?;
    let mut alone = blocks(&mut bench, vats, |done| done < BLOCKS)?;
    let dir = tempfile::tempdir()?;
    let place = dir.path().join("snapshots");
    let snapshots = Snapshots::new(&place);
    let (snapshot, wrote, beside) = write_beside_blocks(&mut bench, vats, &snapshots)?;
    // Before and after: what else the machine does may change meanwhile.
    alone.extend(blocks(&mut bench, vats, |done| done < BLOCKS)?);
    let named = |figures: Vec<(&str, f64)>| -> Figures {
        figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let mut figures = named(vec![
        ("vats", vats as f64),
        ("snapshot, MB", snapshot.head.bytes as f64 / 1e6),
        ("snapshot: chunks", f64::from(snapshot.head.chunk_count())),
        ("writing it beside blocks, s", wrote.as_secs_f64()),
        ("a block without, p50, ms", percentile(&alone, 50)),
        ("a block without, p99, ms", percentile(&alone, 99)),
        ("a block beside the writing, p50, ms", percentile(&beside, 50)),
        ("a block beside the writing, p99, ms", percentile(&beside, 99)),
        ("ratio of the p99", percentile(&beside, 99) / percentile(&alone, 99)),
        ("blocks beside the writing", beside.len() as f64),
    ]);
    drop(bench);
    figures.extend(restore_elsewhere(&place, snapshot.head.height, vats)?);
    Ok(figures)
}

/// Restores a snapshot in a process of its own. Returns the figures that it prints.
fn restore_elsewhere(snapshots: &Path, height: u64, vats: u64) -> Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["sync", "restore"]).arg(snapshots);
    command.args([height.to_string(), vats.to_string()]);
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the restoration failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Makes blocks of one message each, as long as `go_on` says, which gets their number. Returns their times.
fn blocks(bench: &mut Bench, vats: u64, go_on: impl Fn(usize) -> bool) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while go_on(times.len()) {
        // Always the same few vats: what returns to memory is not what is measured.
        let number = times.len() as u64 % vats.min(10);
        bench.send("bootstrap", "greet", &json!([number]))?;
        loop {
            let began = Instant::now();
            let report = bench.block(&mut Batch { left: bench.cranks_a_commit })?;
            times.push(began.elapsed());
            if report.idle {
                break;
            }
        }
    }
    Ok(times)
}

fn write_beside_blocks(
    bench: &mut Bench,
    vats: u64,
    snapshots: &Snapshots,
) -> Result<(Snapshot, Duration, Vec<Duration>)> {
    let (state, done) = (bench.store.reader(), AtomicBool::new(false));
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let began = Instant::now();
            let written = snapshots.create(&state, &|_| true);
            done.store(true, Ordering::Relaxed);
            written.map(|written| (written, began.elapsed()))
        });
        let times = blocks(bench, vats, |_| !done.load(Ordering::Relaxed))?;
        let (written, took) = writing.join().map_err(|_| anyhow!("the writer panicked"))??;
        Ok((written, took, times))
    })
}

/// Restores the snapshot of a height as a new node does, until its first block is committed. Prints the figures as JSON.
pub(crate) fn restore(snapshots: &str, height: &str, vats: &str) -> Result<()> {
    let snapshot = Snapshots::new(snapshots).open(height.parse()?)?;
    let figures = measure_restoration(&Bench::workshop()?, &snapshot, vats.parse()?)?;
    println!("{}", json!(figures));
    Ok(())
}

fn measure_restoration(
    workshop: &Workshop,
    snapshot: &Snapshot,
    vats: u64,
) -> Result<Vec<(&'static str, f64)>> {
    let mut host = workshop.host()?;
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("store");
    // What is in memory at most from now on.
    fs::write("/proc/self/clear_refs", "5").context("cannot reset the greatest memory")?;
    let before = status_mb("VmRSS:")?;
    let began = Instant::now();
    let (head, app_hash) = (snapshot.chunk(0)?, snapshot.head.app_hash());
    let mut restorer = Restorer::begin(&dir, Options::default(), &head, app_hash, host.engine())?;
    for index in 1..snapshot.head.chunk_count() {
        restorer.chunk(index, &snapshot.chunk(index)?)?;
    }
    let (taken, greatest) = (began.elapsed(), status_mb("VmHWM:")?);
    let restored = restorer.finish(&mut host)?;
    let (checked, checked_greatest) = (began.elapsed(), status_mb("VmHWM:")?);
    let store = restored.settle()?;
    ensure!(store.app_hash() == app_hash, "another state was restored");
    let height = store.height();
    let kernel = Kernel::new(host, online(ONLINE));
    let block = Some(store.begin_block());
    let cranks_a_commit = crate::CRANKS_A_COMMIT;
    let (committing, shapes) = (Duration::ZERO, None);
    let mut bench =
        Bench { kernel, store, block, height, cranks_a_commit, committing, shapes, folder };
    bench.call("greet", &json!([vats - 1]))?;
    let running = began.elapsed();
    Ok(vec![
        ("restoring: all chunks taken, s", taken.as_secs_f64()),
        ("restoring: everything checked, s", checked.as_secs_f64()),
        ("restoring: until the first answer of a vat, s", running.as_secs_f64()),
        ("restoring: memory while chunks come, beyond before, MB", greatest - before),
        ("restoring: memory until all is checked, beyond before, MB", checked_greatest - before),
    ])
}

fn config(workshop: &Workshop) -> Result<KernelConfig> {
    let vats = Path::new(env!("CARGO_MANIFEST_DIR")).join("vats");
    let boot = workshop.bundle(&vats.join("vat-sync.js"))?;
    let hoard = workshop.bundle(&vats.join("vat-hoard.js"))?;
    let admin = workshop.bundle(Path::new(VAT_ADMIN))?;
    let static_vats = [("bootstrap", &boot.0), (VAT_ADMIN, &admin.0)];
    Ok(KernelConfig {
        bootstrap: Some("bootstrap".to_owned()),
        pin_bootstrap_root: true,
        vats: static_vats.map(|(name, id)| (name.to_owned(), StaticVat::new(id))).into(),
        named_bundles: BTreeMap::from([("hoard".to_owned(), hoard.0.clone())]),
        bundles: BTreeMap::from([boot, hoard, admin]),
        ..KernelConfig::new(options())
    })
}

fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// Reads a size of this process, in MB.
fn status_mb(name: &str) -> Result<f64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kb = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    Ok(kb.with_context(|| format!("there is no {name}"))?.trim().parse::<f64>()? / 1024.0)
}
