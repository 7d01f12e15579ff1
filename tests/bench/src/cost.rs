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

use anyhow::{Context, Result, anyhow};
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
    let patterns: Vec<Pattern> =
        [operators::patterns(), branches::patterns(), memory::patterns()].concat();
    for pattern in patterns.iter().filter(|pattern| wanted(&pattern.name)) {
        rows.push(weigh(&mut scales, pattern)?);
    }
    // The machine may have changed its pace meanwhile.
    let nominal = nominal.min(scales.nominal());
    let dearest = rows.iter().max_by(|a, b| a.nanoseconds().total_cmp(&b.nanoseconds()));
    let dearest = dearest.with_context(|| "no row has such a name")?.clone();
    let block = chain::full_block(&dearest.name, &patterns)?;
    let known = match only {
        None => crate::dearest::rows(),
        Some(_) => Vec::new(),
    };
    let report = Report { rows, nominal, dearest, block, known };
    match as_json {
        true => println!("{}", report.to_json()),
        false => report.print(),
    }
    Ok(())
}

/// Everything that was measured.
struct Report {
    rows: Vec<Row>,
    nominal: f64,
    dearest: Row,
    /// A block full of the dearest work.
    block: Row,
    /// The dearest inputs that the adversary found.
    known: Vec<Value>,
}

impl Report {
    /// Returns the cheapest computron of an ordinary program in nanoseconds. Hostile work that is cheap harms nobody.
    fn cheapest(&self) -> f64 {
        let honest = self.rows.iter().filter(|row| !row.is_hostile);
        honest.map(Row::nanoseconds).fold(f64::MAX, f64::min)
    }

    fn spread(&self) -> f64 {
        let found = crate::dearest::most_nanoseconds(&self.known);
        self.dearest.nanoseconds().max(found) / self.cheapest()
    }

    fn block_over_nominal(&self) -> f64 {
        self.block.nanoseconds() / self.nominal
    }

    fn holds(&self) -> bool {
        self.spread() <= GOAL_SPREAD && self.block_over_nominal() <= GOAL_NOMINAL
    }

    fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| row.to_json(self.nominal)).collect();
        json!({
            "kinds": rows,
            "nominal_ns_per_computron": self.nominal,
            "dearest_over_cheapest": self.spread(),
            "dearest": self.dearest.to_json(self.nominal),
            "block": self.block.to_json(self.nominal),
            "adversary": self.known,
            "goals_hold": self.holds(),
        })
    }

    fn print(&self) {
        let cheapest = self.cheapest();
        println!(
            "{:<62} {:>9} {:>11} {:>8} {:>9} {:>8}",
            "", "CPU ms", "computrons", "ns each", "/cheapest", "/nominal"
        );
        for row in self.rows.iter().chain([&self.block]) {
            let ns = row.nanoseconds();
            println!(
                "{:<62} {:>9.1} {:>11} {:>8.2} {:>9.2} {:>8.2}",
                row.name,
                row.cpu_ms,
                row.computrons,
                ns,
                ns / cheapest,
                ns / self.nominal
            );
        }
        if !self.known.is_empty() {
            crate::dearest::print(&self.known);
        }
        println!("nominal time of a computron: {:.2} ns", self.nominal);
        println!("dearest row: {}", self.dearest.name);
        println!(
            "the dearest over the cheapest ordinary row: {:.2} (goal: {GOAL_SPREAD})",
            self.spread()
        );
        println!(
            "a block of the dearest over its nominal time: {:.2} (goal: {GOAL_NOMINAL})",
            self.block_over_nominal()
        );
        println!("the goals {}", if self.holds() { "hold" } else { "do not hold" });
    }
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
