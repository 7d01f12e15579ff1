//! `capstan-bench cost`: whether the computrons that a block counts foretell the CPU time that it takes.
//!
//! The rows are the work of ordinary programs and that of hostile ones. Each names the CPU time for a computron and its
//! ratio to the nominal time, which is that of a loop of plain arithmetic in the same run.

mod branches;
mod calls;
mod chain;
mod memory;
mod operators;
mod pattern;

use anyhow::{Result, anyhow};
use capstan_tests::Scales;
use serde_json::{Value, json};

use chain::Chain;
use pattern::Pattern;

/// Largest goal for the dearest computron over the cheapest.
const GOAL_SPREAD: f64 = 4.0;
/// Largest goal for the time of a block over the nominal time.
const GOAL_NOMINAL: f64 = 3.0;

/// Measured work of one kind.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    is_hostile: bool,
    cpu_ms: f64,
    computrons: u64,
}

impl Row {
    fn nanoseconds(&self) -> f64 {
        self.cpu_ms * 1e6 / self.computrons.max(1) as f64
    }

    fn to_json(&self, nominal: f64) -> Value {
        json!({
            "name": self.name, "hostile": self.is_hostile, "cpu_ms": self.cpu_ms,
            "computrons": self.computrons, "ns_per_computron": self.nanoseconds(),
            "over_nominal": self.nanoseconds() / nominal,
        })
    }
}

pub(crate) fn run(as_json: bool, only: Option<&str>) -> Result<()> {
    let mut scales = Scales::default();
    let nominal = scales.nominal();
    let wanted = |name: &str| only.is_none_or(|part| name.contains(part));
    let mut rows = Chain::measure_all(&wanted)?;
    for pattern in operators::patterns().iter().chain(&branches::patterns()).chain(&memory::patterns()) {
        if wanted(&pattern.name) {
            rows.push(weigh(&mut scales, pattern)?);
        }
    }
    // The machine may have changed its pace meanwhile.
    let nominal = nominal.min(scales.nominal());
    let figures: Vec<f64> = rows.iter().map(Row::nanoseconds).collect();
    let cheapest = figures.iter().copied().fold(f64::MAX, f64::min);
    let dearest = figures.iter().copied().fold(0.0, f64::max);
    let (spread, over_nominal) = (dearest / cheapest, dearest / nominal);
    let holds = spread <= GOAL_SPREAD && over_nominal <= GOAL_NOMINAL;
    if as_json {
        let rows: Vec<Value> = rows.iter().map(|row| row.to_json(nominal)).collect();
        let figures = json!({
            "kinds": rows, "nominal_ns_per_computron": nominal, "dearest_over_cheapest": spread,
            "dearest_over_nominal": over_nominal, "goal_holds": holds,
        });
        println!("{figures}");
        return Ok(());
    }
    println!("{:<52} {:>9} {:>12} {:>13} {:>9} {:>9}", "", "CPU ms", "computrons", "ns/computron", "/cheapest", "/nominal");
    for row in &rows {
        let ns = row.nanoseconds();
        println!(
            "{:<52} {:>9.1} {:>12} {:>13.2} {:>9.2} {:>9.2}",
            row.name, row.cpu_ms, row.computrons, ns, ns / cheapest, ns / nominal
        );
    }
    println!("nominal: {nominal:.2} ns per computron");
    println!("the dearest over the cheapest: {spread:.2} (goal: {GOAL_SPREAD})");
    println!("the dearest over the nominal: {over_nominal:.2} (goal: {GOAL_NOMINAL})");
    println!("the goals {}", if holds { "hold" } else { "do not hold" });
    Ok(())
}

fn weigh(scales: &mut Scales, pattern: &Pattern) -> Result<Row> {
    let module = pattern.module()?;
    let measured = match pattern.is_fresh {
        true => scales.weigh_start(&module, "work"),
        false => scales.weigh(&module, "work"),
    };
    let measured = measured.map_err(|e| anyhow!("{}: {e}", pattern.name))?;
    Ok(Row {
        name: format!("hostile: {}", pattern.name),
        is_hostile: true,
        cpu_ms: measured.cpu.as_secs_f64() * 1e3,
        computrons: measured.computrons,
    })
}
