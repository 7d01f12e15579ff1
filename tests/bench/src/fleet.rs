//! `capstan-bench fleet [--vats N] [--deliveries N] [--json]`: what many JavaScript vats cost, and how a node with
//! them starts again.
//!
//! All vats are of one bundle and stay in memory at first: that is the memory of idle vats. Then everything is
//! closed and opened again, as by a restart. Wall times; what is open, and nothing else, decides them.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{
    Bench, config,
    numbers::{self, Figures},
    online,
};

/// Vats that are woken after the restart.
const WOKEN: u64 = 100;

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let known = [("--vats", 1_000), ("--deliveries", 10)];
    numbers::run("fleet", arguments, known, |[vats, deliveries]| {
        measure(vats.max(WOKEN), deliveries)
    })
}

fn measure(vats: u64, deliveries: u64) -> Result<Figures> {
    let workshop = Bench::workshop()?;
    let before = memory_mb()?;
    let mut bench = Bench::start_with(&workshop, config(&workshop)?, online(vats as usize + 10))?;
    let mut made = 0;
    while made < vats {
        let batch = (vats - made).min(20);
        bench.call("enlist", &json!([batch, deliveries]))?;
        made += batch;
        eprint!("\r{made} of {vats} vats ");
    }
    eprintln!();
    let all = memory_mb()? - before;

    let Bench { kernel, store, block, height, folder, .. } = bench;
    drop((kernel, block, store));
    let start = Instant::now();
    let mut bench = Bench::open(&workshop, folder, height, online(vats as usize + 10))?;
    let empty = bench.run()?;
    let ready = start.elapsed();
    if empty > 0 {
        bail!("something was left to do");
    }
    // The bootstrap vat, which sends the messages, is woken first.
    bench.call("greet", &json!([0]))?;
    let mut woken = Vec::new();
    for number in 1..WOKEN {
        let start = Instant::now();
        bench.call("greet", &json!([number * (vats / WOKEN)]))?;
        let first = start.elapsed();
        let start = Instant::now();
        bench.call("greet", &json!([number * (vats / WOKEN)]))?;
        woken.push(first.saturating_sub(start.elapsed()));
    }
    woken.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(vec![
        (format!("{vats} vats in memory, {deliveries} deliveries each, MB"), all),
        ("of which a vat, MB".to_owned(), all / vats as f64),
        ("restart: until an empty block is committed, ms".to_owned(), ms(ready)),
        (
            "first delivery to a sleeping vat beyond one to a waking vat, median, ms".to_owned(),
            ms(woken[woken.len() / 2]),
        ),
        ("the slowest of them, ms".to_owned(), ms(woken[woken.len() - 1])),
    ])
}

/// The memory that this process has for itself: what several mappings share is counted once.
fn memory_mb() -> Result<f64> {
    let path = Path::new("/proc/self/smaps_rollup");
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line =
        text.lines().find(|line| line.starts_with("Pss:")).context("there is no line Pss")?;
    let kb: f64 = line.split_whitespace().nth(1).context("Pss has no value")?.parse()?;
    Ok(kb / 1024.0)
}
