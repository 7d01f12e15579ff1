//! `capstan-bench cost`: whether the computrons that a block counts foretell the CPU time that it takes.
//!
//! One kind of work after the other fills blocks, each kind in a vat of its own on a chain's default
//! parameters; the figure is the CPU time for a million computrons of the block's budget, commit
//! included. The dearest kind over the cheapest is how far the prediction can be off.

use std::path::Path;

use anyhow::Result;
use capstan_app::block_policy;
use capstan_conformance::javascript::Workshop;
use capstan_genesis::Params;
use capstan_kernel::{KernelConfig, NodeOptions, StaticVat};
use serde_json::{Value, json};

use crate::{Bench, Clock};

/// A kind of work: its name, the vat that does it, the method, and the number of messages.
type Kind = (&'static str, &'static str, &'static str, u64);

/// The work of ordinary programs.
const KINDS: [Kind; 14] = [
    ("JavaScript: empty messages", "labour", "nothing", 1_000),
    ("JavaScript: messages back and forth, promises", "labour", "ask", 60),
    ("JavaScript: arithmetic", "labour", "calculate", 40),
    ("JavaScript: texts, a pattern, JSON", "labour", "write", 60),
    ("JavaScript: records, a map, sorting", "labour", "allocate", 30),
    ("JavaScript: a durable map", "labour", "keep", 60),
    ("JavaScript: new vats", "bootstrap", "create", 20),
    ("wasm: empty messages", "wasm", "nothing", 5_000),
    ("wasm: calls", "wasm", "fibonacci", 200),
    ("wasm: arithmetic", "wasm", "loop", 100),
    ("wasm: divisions, floating point", "wasm", "divide", 100),
    ("wasm: copies of 4 MiB", "wasm", "copy", 20),
    ("wasm: the same keys again and again", "wasm", "store", 200),
    ("wasm: new keys", "wasm", "grow", 100),
];

/// Work that no price of an operator foretells: a read costs a hundred times as much if its address is in no
/// cache.
const APART: Kind = ("apart: wasm: reads all over 16 MiB", "wasm", "walk", 50);

pub(crate) fn run(as_json: bool) -> Result<()> {
    let mut chain = Chain::start()?;
    // The least of five: what else the machine does can only add.
    let mut rows = Vec::new();
    for round in 0..5 {
        for (i, kind) in KINDS.iter().chain([&APART]).enumerate() {
            let row = chain.measure(kind)?;
            match round {
                0 => rows.push(row),
                _ if per_million(&row) < per_million(&rows[i]) => rows[i] = row,
                _ => {}
            }
        }
    }
    let figures = rows[..KINDS.len()].iter().map(per_million);
    let (cheapest, dearest) = figures
        .fold((f64::MAX, 0.0_f64), |(least, most), figure| (least.min(figure), most.max(figure)));
    let known = crate::dearest::rows();
    if as_json {
        println!(
            "{}",
            json!({"kinds": rows, "dearest_over_cheapest": dearest / cheapest, "dearest": known})
        );
        return Ok(());
    }
    println!(
        "{:<48} {:>9} {:>16} {:>8} {:>15}",
        "", "CPU ms", "computrons", "blocks", "ms per million"
    );
    for row in &rows {
        let number = |name: &str| row[name].as_f64().unwrap_or_default();
        println!(
            "{:<48} {:>9.0} {:>16} {:>8} {:>15.2}",
            row["name"].as_str().unwrap_or_default(),
            number("cpu_ms"),
            row["computrons"].as_u64().unwrap_or_default(),
            row["blocks"].as_u64().unwrap_or_default(),
            number("cpu_ms_per_million"),
        );
    }
    println!("{:<48} {:>51.2}", "the dearest over the cheapest", dearest / cheapest);
    crate::dearest::print(&known);
    Ok(())
}

fn per_million(row: &Value) -> f64 {
    row["cpu_ms_per_million"].as_f64().unwrap_or_default()
}

/// A kernel whose blocks are those of a chain with default parameters.
struct Chain {
    bench: Bench,
    params: Params,
}

impl Chain {
    fn start() -> Result<Self> {
        let workshop = Bench::workshop()?;
        let params = Params::default();
        let config = config(&workshop, &params)?;
        let bench = Bench::start_with(&workshop, config, NodeOptions::default())?;
        Ok(Self { bench, params })
    }

    fn measure(&mut self, (name, vat, method, count): &Kind) -> Result<Value> {
        self.work(vat, method, 2)?;
        let clock = Clock::start();
        let (computrons, blocks) = self.work(vat, method, *count)?;
        let cpu_ms = clock.read().0.as_secs_f64() * 1e3;
        Ok(json!({
            "name": name, "cpu_ms": cpu_ms, "computrons": computrons, "blocks": blocks,
            "cpu_ms_per_million": cpu_ms / computrons as f64 * 1e6,
        }))
    }

    /// Sends `count` messages and runs blocks until they are done. Returns the computrons that the blocks
    /// counted, and how many there were.
    fn work(&mut self, vat: &str, method: &str, count: u64) -> Result<(u64, u64)> {
        for _ in 0..count {
            self.bench.send(vat, method, &json!([]))?;
        }
        let (mut computrons, mut blocks) = (0, 0);
        loop {
            let mut policy = block_policy(&self.params);
            let report = self.bench.block(&mut policy)?;
            computrons += policy.computrons_spent;
            blocks += 1;
            if report.idle {
                return Ok((computrons, blocks));
            }
        }
    }
}

/// The vats of every benchmark, those that work here, and a chain's default parameters.
fn config(workshop: &Workshop, params: &Params) -> Result<KernelConfig> {
    let vats = Path::new(env!("CARGO_MANIFEST_DIR")).join("vats");
    let labour = workshop.bundle(&vats.join("vat-labour.js"))?;
    let wasm = wat::parse_str(include_str!("../vats/labour.wat"))?;
    let wasm = (capstan_bundle::wasm_id(&wasm).to_string(), wasm);
    let mut config = crate::config(workshop)?;
    for (name, (id, bundle)) in [("labour", labour), ("wasm", wasm)] {
        config.vats.insert(name.to_owned(), StaticVat::new(&id));
        config.bundles.insert(id, bundle);
    }
    config.options.snapshot_initial = params.snapshot_initial;
    config.options.snapshot_interval = params.snapshot_interval;
    config.options.snapshot_debt = params.snapshot_debt;
    config.options.crank_limit = params.crank_computrons;
    Ok(config)
}
