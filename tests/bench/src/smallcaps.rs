//! `capstan-bench smallcaps`: what checking and reading a body of smallcaps costs, over parsing its JSON alone.
//!
//! The ratios are of one run on one machine, so that they may be compared with those of any other.

use std::hint::black_box;

use anyhow::{Context as _, Result};
use capstan_abi::CapData;
use capstan_passable::{Parsed, Passable, check};
use serde_json::{Value, json};

use crate::Clock;

/// Records in the body, which has about 60 kB then.
const RECORDS: u64 = 500;
/// How often a body is read in one measurement.
const REPEATS: u32 = 50;
/// Measurements, of which the least counts: what else the machine does can only add.
const ROUNDS: u32 = 7;

pub(crate) fn run(as_json: bool) -> Result<()> {
    let data = arguments().encode().context("the arguments cannot be encoded")?;
    let mut kinds: [(&str, &dyn Fn() -> bool, f64); 4] = [
        ("serde_json alone", &|| parse(&data), f64::MAX),
        ("check", &|| check(black_box(&data)).is_ok(), f64::MAX),
        ("tree of the kernel (Parsed)", &|| Parsed::new(black_box(&data)).is_some(), f64::MAX),
        ("value for programs (Passable)", &|| Passable::decode(&data).is_ok(), f64::MAX),
    ];
    for _ in 0..ROUNDS {
        for (name, work, least) in &mut kinds {
            let clock = Clock::start();
            for _ in 0..REPEATS {
                anyhow::ensure!(black_box(work()), "{name} refuses the body");
            }
            *least = least.min(clock.read().0.as_secs_f64() / f64::from(REPEATS));
        }
    }
    let base = kinds[0].2;
    let rows: Vec<Value> = kinds
        .iter()
        .map(|(name, _, s)| json!({"name": name, "cpu_us": s * 1e6, "ratio": s / base}))
        .collect();
    if as_json {
        println!("{}", json!({"body_bytes": data.body.len(), "kinds": rows}));
        return Ok(());
    }
    println!(
        "{:<44} {:>10} {:>12}",
        format!("a body of {} bytes", data.body.len()),
        "CPU µs",
        "ratio"
    );
    for row in &rows {
        let number = |name: &str| row[name].as_f64().unwrap_or_default();
        let name = row["name"].as_str().unwrap_or_default();
        println!("{name:<44} {:>10.1} {:>12.2}", number("cpu_us"), number("ratio"));
    }
    Ok(())
}

fn parse(data: &CapData<String>) -> bool {
    serde_json::from_str::<Value>(black_box(&data.body[1..])).is_ok()
}

/// Returns arguments as a busy chain has them: records with references, amounts and texts.
fn arguments() -> Passable<String> {
    let record = |n: u64| {
        Passable::record([
            ("brand", Passable::Reference(format!("ro-{}", n % 8))),
            ("value", Passable::bigint(1_000_000_007 * n)),
            ("memo", format!("payment number {n}, \"quoted\", with a line\nmore").into()),
            ("tags", Passable::from(vec!["one".into(), "!two".into(), Passable::from(true)])),
        ])
    };
    Passable::from((0..RECORDS).map(record).collect::<Vec<_>>())
}
