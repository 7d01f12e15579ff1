//! Vats: of one JavaScript bundle, each with some deliveries behind it and a snapshot. Most of them sleep.

use anyhow::{Context, Result};
use capstan_kernel::view;
use capstan_kernel_ports::VatId;
use serde_json::json;

use super::{
    Point, cpu_us, median, median_us,
    objects::{config, open},
    progress, store_work,
};
use crate::{Bench, online};

/// Deliveries of each vat. With its start it has three then, so that it has a snapshot.
const DELIVERIES: u64 = 3;
const BATCH: u64 = 10;
const ROUNDS: usize = 30;

pub(super) fn measure(sizes: &[u64]) -> Result<Vec<Point>> {
    let workshop = Bench::workshop()?;
    let mut bench = Bench::start_with(&workshop, config(&workshop)?, online(200))?;
    let (mut points, mut made) = (Vec::new(), 0);
    for size in sizes {
        while made < *size {
            bench.call("enlist", &json!([BATCH, DELIVERIES]))?;
            made += BATCH;
            progress("vats", made, *size);
        }
        let far = |round: usize| (round as u64).wrapping_mul(7_919) % made;
        bench.call("greet", &json!([0]))?;
        let awake = median_of_cranks(&mut bench, |_| 0)?;
        let (opened, opening) = open(bench, &workshop)?;
        bench = opened;
        // The vat that sends is woken first.
        bench.call("greet", &json!([made - 1]))?;
        let few = ROUNDS.min(made as usize - 1);
        let before = bench.store.counts();
        let waking = median_us(few, |round| bench.call("greet", &json!([round])).map(drop))?;
        let counts = store_work(&bench.store, before, few as u64);
        let upgrade = median_us(10, |round| bench.call("replace", &json!([far(round)])).map(drop))?;
        let creation = median_us(10, |_| bench.call("enlist", &json!([1, DELIVERIES])).map(drop))?;
        let query = query(&bench, made)?;
        points.push(Point {
            size: made,
            costs: vec![
                ("crank of a vat in memory", awake),
                ("message to a sleeping vat", waking),
                ("opening, until an empty block is committed", opening),
                ("upgrade of a vat", upgrade),
                ("creation of a vat, with its snapshot", creation),
                ("query of a vat's records", query),
            ],
            counts,
        });
        made += 10;
    }
    Ok(points)
}

fn median_of_cranks(bench: &mut Bench, vat: impl Fn(usize) -> u64) -> Result<f64> {
    let mut times = Vec::new();
    for round in 0..200 {
        let (us, cranks) = cpu_us(|| bench.call("greet", &json!([vat(round)])))?;
        times.push(us / cranks.max(1) as f64);
    }
    Ok(median(&mut times))
}

/// Measures reads as a query makes them: a vat's configuration and its record.
fn query(bench: &Bench, made: u64) -> Result<f64> {
    const QUERIES: u64 = 200;
    let state = bench.store.reader();
    let read = |round: u64| -> Result<()> {
        // The static vats come first.
        let vat = VatId(5 + round.wrapping_mul(7_919) % made);
        view::vat_config(&state, vat)?.with_context(|| format!("there is no {vat}"))?;
        view::vat_state(&state, vat)?.with_context(|| format!("there is no {vat}"))?;
        Ok(())
    };
    // What a node reads often is in its page cache.
    (0..made).try_for_each(read)?;
    let all =
        median_us(20, |round| (0..QUERIES).try_for_each(|i| read(round as u64 * QUERIES + i)))?;
    Ok(all / QUERIES as f64)
}
