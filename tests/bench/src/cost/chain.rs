//! Work of vats on a kernel with its store: each kind fills blocks of a chain with default parameters, commits included.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use capstan_app::block_policy;
use capstan_conformance::javascript::Workshop;
use capstan_genesis::Params;
use capstan_kernel::{KernelConfig, NodeOptions, StaticVat};
use serde_json::json;

use super::{Row, calls, pattern::Pattern};
use crate::{Bench, Clock};

/// A kind of work: its name, the vat that does it, the method, and the number of messages.
#[derive(Clone, Debug)]
struct Kind {
    name: String,
    vat: String,
    method: &'static str,
    count: u64,
    is_hostile: bool,
    /// What the vat does before: the method, and the number of messages.
    first: Option<(&'static str, u64)>,
}

/// The work of ordinary programs.
const HONEST: [(&str, &str, &str, u64); 14] = [
    ("JavaScript: empty messages", "labour", "nothing", 1_000),
    ("JavaScript: messages back and forth, promises", "labour", "ask", 60),
    ("JavaScript: arithmetic", "labour", "calculate", 40),
    ("JavaScript: texts, a pattern, JSON", "labour", "write", 60),
    ("JavaScript: records, a map, sorting", "labour", "allocate", 30),
    ("JavaScript: a durable map", "labour", "keep", 60),
    ("JavaScript: new vats", "bootstrap", "create", 20),
    ("wasm: empty messages", "wasm", "nothing", 5_000),
    ("wasm: calls", "wasm", "fibonacci", 200),
    ("wasm: arithmetic", "wasm", "loop", 50),
    ("wasm: divisions, floating point", "wasm", "divide", 50),
    ("wasm: copies of 4 MiB", "wasm", "copy", 20),
    ("wasm: the same keys again and again", "wasm", "store", 200),
    ("wasm: new keys", "wasm", "grow", 100),
];

/// Measurements of each kind, of which the least counts: what else the machine does can only add.
const ROUNDS: usize = 3;
/// CPU milliseconds above which two measurements are enough.
const LONG_MS: f64 = 150.0;

/// A kernel whose blocks are those of a chain with default parameters.
pub(super) struct Chain {
    bench: Bench,
    params: Params,
    /// What was done for the rows that need a large state.
    prepared: BTreeSet<&'static str>,
}

impl Chain {
    /// Measures all kinds whose names are `wanted`.
    pub(super) fn measure_all(wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Row>> {
        let patterns = calls::patterns()?;
        let wanted_kinds = |is_large: bool| -> Vec<Kind> {
            let of_state = |kind: &Kind| kind.first.is_some() == is_large;
            kinds(&patterns).into_iter().filter(|k| of_state(k) && wanted(&k.name)).collect()
        };
        let mut rows = Self::measure_kinds(&wanted_kinds(false), &patterns)?;
        // A chain of their own, since its state stays large.
        rows.extend(Self::measure_kinds(&wanted_kinds(true), &patterns)?);
        Ok(rows)
    }

    fn measure_kinds(kinds: &[Kind], patterns: &[Pattern]) -> Result<Vec<Row>> {
        if kinds.is_empty() {
            return Ok(vec![]);
        }
        let mut chain = Self::start(patterns)?;
        let mut rows: Vec<Row> = Vec::new();
        for round in 0..ROUNDS {
            for (i, kind) in kinds.iter().enumerate() {
                if round > 1 && rows[i].cpu_ms > LONG_MS {
                    continue;
                }
                let row = chain.measure(kind)?;
                match round {
                    0 => rows.push(row),
                    _ if row.nanoseconds() < rows[i].nanoseconds() => rows[i] = row,
                    _ => {}
                }
            }
        }
        Ok(rows)
    }

    fn start(patterns: &[Pattern]) -> Result<Self> {
        let workshop = Bench::workshop()?;
        let params = Params::default();
        let config = config(&workshop, &params, patterns)?;
        let bench = Bench::start_with(&workshop, config, NodeOptions::default())?;
        Ok(Self { bench, params, prepared: BTreeSet::new() })
    }

    fn measure(&mut self, kind: &Kind) -> Result<Row> {
        self.prepare(kind)?;
        let clock = Clock::start();
        let computrons = self.work(kind, kind.count)?;
        let cpu_ms = clock.read().0.as_secs_f64() * 1e3;
        Ok(Row::new(&kind.name, kind.is_hostile, cpu_ms, computrons))
    }

    /// Lets the state become as large as the work needs it, and warms up.
    fn prepare(&mut self, kind: &Kind) -> Result<()> {
        if let Some((method, count)) = kind.first
            && self.prepared.insert(method)
        {
            self.work(&Kind { method, ..kind.clone() }, count)?;
        }
        self.work(kind, 2).map(drop)
    }

    /// Sends `count` messages and runs blocks until they are done. Returns the computrons that the blocks counted.
    fn work(&mut self, kind: &Kind, count: u64) -> Result<u64> {
        for _ in 0..count {
            self.bench.send(&kind.vat, kind.method, &json!([]))?;
        }
        let mut computrons = 0;
        loop {
            let mut policy = block_policy(&self.params);
            let report = self.bench.block(&mut policy)?;
            computrons += policy.computrons_spent;
            if report.idle {
                return Ok(computrons);
            }
        }
    }
}

/// Fills a block with the work of a row, which may be one of `patterns` or a kind of this module. Returns the block's time and
/// computrons, or `None` if it is another row.
pub(super) fn full_block(name: &str, patterns: &[Pattern]) -> Result<Option<Row>> {
    let calls = calls::patterns()?;
    let pattern = patterns.iter().find(|pattern| name == pattern.row_name());
    let patterns = match pattern {
        Some(pattern) => std::slice::from_ref(pattern),
        None => &calls[..],
    };
    let kinds = kinds(patterns);
    let Some(kind) = kinds.iter().find(|kind| kind.name == name) else { return Ok(None) };
    let mut chain = Chain::start(patterns)?;
    chain.prepare(kind)?;
    // What one message counts says how many fill a block.
    let each = chain.work(kind, 2)? / 2;
    let count = chain.params.block_computrons / each.max(1) + 1;
    for _ in 0..count {
        chain.bench.send(&kind.vat, kind.method, &json!([]))?;
    }
    let mut policy = block_policy(&chain.params);
    let clock = Clock::start();
    chain.bench.block(&mut policy)?;
    let cpu_ms = clock.read().0.as_secs_f64() * 1e3;
    Ok(Some(Row::new("a block of the dearest program", true, cpu_ms, policy.computrons_spent)))
}

fn kinds(patterns: &[Pattern]) -> Vec<Kind> {
    let honest = HONEST.into_iter().map(|(name, vat, method, count)| Kind {
        name: name.to_owned(),
        vat: vat.to_owned(),
        method,
        count,
        is_hostile: false,
        first: None,
    });
    let scripts = HOSTILE_SCRIPTS.into_iter().map(|(name, method, count)| Kind {
        name: format!("hostile: JavaScript: {name}"),
        vat: "hostile".to_owned(),
        method,
        count,
        is_hostile: true,
        first: None,
    });
    let large = LARGE_STATE.into_iter().map(|(name, method, count, first)| Kind {
        name: format!("hostile: wasm: {name}"),
        vat: "wasm".to_owned(),
        method,
        count,
        is_hostile: true,
        first: Some(first),
    });
    let calls = patterns.iter().map(|pattern| Kind {
        name: pattern.row_name(),
        vat: pattern.name.clone(),
        method: "work",
        count: 5,
        is_hostile: true,
        first: None,
    });
    honest.chain(scripts).chain(calls).chain(large).collect()
}

/// What hostile JavaScript does, by methods of `vat-hostile.js`: the name, the method, and the number of messages.
const HOSTILE_SCRIPTS: [(&str, &str, u64); 12] = [
    ("reads all over 64 MiB", "walk", 2),
    ("objects all over the heap", "chase", 2),
    ("console lines of 4 KiB", "print", 2),
    ("short console lines", "mutter", 2),
    ("objects of many shapes", "shapes", 2),
    ("products of subnormal numbers", "underflow", 2),
    ("products of large numbers", "multiply", 1),
    ("a pattern that goes back", "match", 1),
    ("nested JSON", "nest", 1),
    ("arrays of holes", "holes", 1),
    ("short-lived objects", "litter", 1),
    ("texts that are joined and cut", "join", 1),
];

/// What a vat with a large state does to it: the name, the method, the number of messages, and what it does before.
const LARGE_STATE: [(&str, &str, u64, (&str, u64)); 3] = [
    ("reads all over a million keys", "view", 200, ("hoard", 500)),
    ("writes all over a million keys", "mix", 200, ("hoard", 500)),
    ("mentions of any of 300,000 promises", "recall", 40, ("promise", 600)),
];

/// The vats of every benchmark, those that work here, and a chain's default parameters.
fn config(workshop: &Workshop, params: &Params, patterns: &[Pattern]) -> Result<KernelConfig> {
    let vats = Path::new(env!("CARGO_MANIFEST_DIR")).join("vats");
    let mut all = vec![
        ("labour".to_owned(), workshop.bundle(&vats.join("vat-labour.js"))?),
        ("hostile".to_owned(), workshop.bundle(&vats.join("vat-hostile.js"))?),
        ("wasm".to_owned(), wasm(wat::parse_str(include_str!("../../vats/labour.wat"))?)),
    ];
    for pattern in patterns {
        all.push((pattern.name.clone(), wasm(pattern.module()?)));
    }
    let mut config = crate::config(workshop)?;
    for (name, (id, bundle)) in all {
        config.vats.insert(name, StaticVat::new(&id));
        config.bundles.insert(id, bundle);
    }
    config.options.snapshot_initial = params.snapshot_initial;
    config.options.snapshot_interval = params.snapshot_interval;
    config.options.snapshot_debt = params.snapshot_debt;
    config.options.crank_limit = params.crank_computrons;
    Ok(config)
}

fn wasm(module: Vec<u8>) -> (String, Vec<u8>) {
    (capstan_bundle::wasm_id(&module).to_string(), module)
}
