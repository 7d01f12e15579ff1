//! `capstan-bench cost`: whether the computrons that a block counts foretell the CPU time that it takes.
//!
//! The rows are the work of ordinary programs, that of hostile ones, and attacks on a whole chain. Each names the CPU time for a computron and its
//! ratio to the nominal time, which is that of a loop of plain arithmetic in the same run.

mod attacks;
mod branches;
mod calls;
mod chain;
mod compilation;
mod memory;
mod operators;
mod pattern;
mod report;

use anyhow::{Result, anyhow, bail};
use capstan_genesis::Params;
use capstan_tests::Scales;
use serde_json::{Value, json};

use chain::Chain;
use pattern::Pattern;
use report::Report;

/// Measured work of one kind.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    is_hostile: bool,
    cpu_ms: f64,
    computrons: u64,
    /// Computrons below which the time is mostly that of something else.
    least_computrons: u64,
    /// Time in milliseconds and computrons of the slowest block, for work that was measured block by block.
    worst_block: Option<(f64, u64)>,
}

impl Row {
    fn new(name: impl Into<String>, is_hostile: bool, cpu_ms: f64, computrons: u64) -> Self {
        let name = name.into();
        Self { name, is_hostile, cpu_ms, computrons, least_computrons: 0, worst_block: None }
    }

    /// Returns true if there are enough computrons for their time to tell.
    fn is_telling(&self) -> bool {
        self.computrons >= self.least_computrons
    }

    fn nanoseconds(&self) -> f64 {
        self.cpu_ms * 1e6 / self.computrons.max(1) as f64
    }

    fn to_json(&self, nominal: f64) -> Value {
        json!({
            "name": self.name, "hostile": self.is_hostile, "cpu_ms": self.cpu_ms,
            "computrons": self.computrons, "ns_per_computron": self.nanoseconds(),
            "over_nominal": self.nanoseconds() / nominal, "tells": self.is_telling(),
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
    for pattern in patterns.iter().filter(|pattern| wanted(&pattern.row_name())) {
        rows.push(weigh(&mut scales, pattern)?);
    }
    rows.extend(compilation::rows(&wanted)?);
    rows.extend(attacks::rows(&wanted));
    if rows.is_empty() {
        bail!("no row has such a name");
    }
    // The machine may have changed its pace meanwhile.
    let nominal = nominal.min(scales.nominal());
    let budget = Params::default().block_computrons;
    let mut report = Report { rows, nominal, block: None, budget };
    let dearest = report.dearest().map(|row| row.name.clone()).unwrap_or_default();
    report.block = chain::full_block(&dearest, &patterns)?;
    match as_json {
        true => println!("{}", report.to_json()),
        false => report.print(),
    }
    Ok(())
}

fn weigh(scales: &mut Scales, pattern: &Pattern) -> Result<Row> {
    let module = pattern.module()?;
    let measured = match pattern.is_fresh {
        true => scales.weigh_start(&module, "work"),
        false => scales.weigh(&module, "work"),
    };
    let measured = measured.map_err(|e| anyhow!("{}: {e}", pattern.name))?;
    let cpu_ms = measured.cpu.as_secs_f64() * 1e3;
    Ok(Row::new(pattern.row_name(), true, cpu_ms, measured.computrons))
}
