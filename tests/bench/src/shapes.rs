//! `capstan-bench shapes`: what a kernel changes in its state, by family of keys, in blocks of some 5,000 changed keys.
//!
//! Real vats are created, trade, are upgraded and end; the net changes of every block are counted. The table is what the
//! store's benchmark makes its blocks of: `capstan-bench shapes > store/benches/commit/workload.tsv`.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::{Context, Result};
use capstan_conformance::javascript::Workshop;
use capstan_kernel::{KernelConfig, StaticVat, VAT_ADMIN, ids::BundleKind};
use capstan_kernel_ports::store::Read;
use serde_json::json;

use crate::{Bench, online, options};

/// Vats that trade.
const WORKERS: usize = 24;
/// Rounds before anything is counted, and counted ones.
const WARM_UP: usize = 6;
const ROUNDS: usize = 72;
/// Cranks between two commits: some 5,000 changed keys.
const CRANKS_A_BLOCK: u64 = 1_000;
/// The table's figures are of so many changed keys.
const PER: f64 = 5_000.0;

pub(crate) fn run() -> Result<()> {
    let workshop = Bench::workshop()?;
    let mut bench = Bench::start_with(&workshop, config(&workshop)?, online(200))?;
    bench.cranks_a_commit = CRANKS_A_BLOCK;
    for worker in 0..WORKERS {
        bench.call("create", &json!([format!("worker {worker}")]))?;
    }
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            bench.shapes = Some(Shapes::default());
        }
        bench.call("round", &json!([round]))?;
        let name = |round: usize| json!([format!("worker {}", round % WORKERS)]);
        match round % 12 {
            1 => drop(bench.call("upgrade", &name(round))?),
            5 => drop(bench.call("end", &name(round))?),
            9 => drop(bench.call("create", &name(round - 4))?),
            _ => {}
        }
    }
    bench.shapes.context("nothing was counted")?.print();
    Ok(())
}

/// The changes of all blocks so far.
#[derive(Default)]
pub(crate) struct Shapes {
    /// The block in which a key was last written.
    written: HashMap<Vec<u8>, u64>,
    families: BTreeMap<String, Family>,
    blocks: u64,
    changes: u64,
}

/// Counts of the changes to keys of one form.
#[derive(Default)]
struct Family {
    key_bytes: u64,
    values: u64,
    value_bytes: u64,
    new: u64,
    /// Written last in the block before, in one of the ten before, or longer ago.
    updated: [u64; 3],
    removed: [u64; 3],
}

impl Shapes {
    /// Counts the net changes of a block over `state`.
    pub(crate) fn count(
        &mut self,
        prepared: &capstan_store::Prepared,
        state: &capstan_store::StateView,
    ) -> Result<()> {
        self.blocks += 1;
        for (key, value) in prepared.changes() {
            let family = self.families.entry(form(key)).or_default();
            self.changes += 1;
            family.key_bytes += key.len() as u64;
            let age = match self.written.insert(key.to_vec(), self.blocks) {
                Some(block) if block + 1 >= self.blocks => 0,
                Some(block) if block + 10 >= self.blocks => 1,
                _ => 2,
            };
            match value {
                Some(value) => {
                    family.values += 1;
                    family.value_bytes += value.len() as u64;
                    match state.get(key)?.is_some() {
                        true => family.updated[age] += 1,
                        false => family.new += 1,
                    }
                }
                None => family.removed[age] += 1,
            }
        }
        Ok(())
    }

    fn print(&self) {
        println!(
            "# Net changes of a recorded kernel workload, made by `capstan-bench shapes`: means for a block of {PER} changed keys."
        );
        println!(
            "# {} changes in {} blocks. In a family's form N is a number, H a number in 16 hex digits, # a raw hash, * text.",
            self.changes, self.blocks
        );
        println!(
            "# Updated and removed keys by when they were last written: the block before, one of the ten before, or longer ago."
        );
        println!(
            "family\tkey_bytes\tvalue_bytes\tnew\tupdated_1\tupdated_10\tupdated_old\tremoved_1\tremoved_10\tremoved_old"
        );
        for (form, family) in &self.families {
            let mean = |sum: u64, count: u64| sum as f64 / count.max(1) as f64;
            let share = |count: u64| format!("{:.2}", count as f64 * PER / self.changes as f64);
            let count = family.values + family.removed.iter().sum::<u64>();
            let counts = [family.new].into_iter().chain(family.updated).chain(family.removed);
            println!(
                "{form}\t{:.0}\t{:.0}\t{}",
                mean(family.key_bytes, count),
                mean(family.value_bytes, family.values),
                counts.map(share).collect::<Vec<_>>().join("\t"),
            );
        }
    }
}

/// The form of a key: what varies within a family is replaced by a sign.
fn form(key: &[u8]) -> String {
    const HASHED: [&[u8]; 2] = [b"local.k.hp.", b"local.k.hc."];
    if let Some(family) = HASHED.into_iter().find(|family| key.starts_with(family)) {
        return format!("{}#", family.escape_ascii());
    }
    let text = String::from_utf8_lossy(key);
    // What a vat's collection has under a text is the vat's affair.
    let name = text.find(".vc.").and_then(|at| Some(at + text[at..].find(".s")?));
    let text = match name {
        Some(at) => format!("{}.s*", &text[..at]),
        None => text.into_owned(),
    };
    text.split('.').map(form_of_part).collect::<Vec<_>>().join(".")
}

fn form_of_part(part: &str) -> String {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if part.len() == 16 && part.chars().all(is_hex) {
        return "H".to_owned();
    }
    let digest = BundleKind::split(part).map_or(part, |(_, digest)| digest);
    if part.len() >= 32 && digest.chars().all(is_hex) {
        return "*".to_owned();
    }
    let mut form = String::new();
    for c in part.chars() {
        match c.is_ascii_digit() {
            true if form.ends_with('N') => {}
            true => form.push('N'),
            false => form.push(c),
        }
    }
    form
}

fn config(workshop: &Workshop) -> Result<KernelConfig> {
    let vats = Path::new(env!("CARGO_MANIFEST_DIR")).join("vats");
    let boot = workshop.bundle(&vats.join("vat-mixed.js"))?;
    let worker = workshop.bundle(&vats.join("vat-mixed-worker.js"))?;
    let admin = workshop.bundle(Path::new(VAT_ADMIN))?;
    Ok(KernelConfig {
        bootstrap: Some("bootstrap".to_owned()),
        pin_bootstrap_root: true,
        vats: [("bootstrap", &boot.0), (VAT_ADMIN, &admin.0)]
            .map(|(name, id)| (name.to_owned(), StaticVat::new(id)))
            .into(),
        named_bundles: BTreeMap::from([("worker".to_owned(), worker.0.clone())]),
        bundles: BTreeMap::from([boot, worker, admin]),
        ..KernelConfig::new(options())
    })
}
