//! Objects: a JavaScript vat keeps durable objects in a durable map, and another vat holds them all.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, ensure};
use capstan_conformance::javascript::Workshop;
use capstan_kernel::{
    KernelConfig, StaticVat, VAT_ADMIN,
    ids::{Endpoint, KRef},
    view,
};
use serde_json::json;

use super::{Point, cpu_us, median, median_us, progress, store_work};
use crate::{Bench, online, options};

/// Objects that are made in one delivery, and deliveries that are made between two looks at the progress.
const EACH: u64 = 100;
const BATCH: u64 = 1_000;
/// Objects in the memory of a vat that is upgraded.
const UPGRADED_WITH: u64 = 50;

pub(super) fn measure(sizes: &[u64]) -> Result<Vec<Point>> {
    let workshop = Bench::workshop()?;
    let mut bench = Bench::start_with(&workshop, config(&workshop)?, online(200))?;
    let (mut points, mut made) = (Vec::new(), 0);
    for size in sizes {
        while made < *size {
            bench.call("keep", &json!([made, BATCH, EACH]))?;
            made += BATCH;
            progress("objects", made, *size);
        }
        let before = bench.store.counts();
        let (crank, snapshot) = deliveries(&mut bench, made)?;
        let counts = store_work(&bench.store, before, measured());
        let commit = commit(&mut bench, made)?;
        let query = query(&bench)?;
        let (opened, opening) = open(bench, &workshop)?;
        bench = opened;
        // Loads the bundles and replays what these vats have done since their snapshots, which is no part of an upgrade.
        let (waking, _) = cpu_us(|| bench.call("wake", &json!([made - 1])))?;
        // The first upgrade of all loads the bundle once more, for vats that have a store.
        bench.call("renew", &json!([]))?;
        for number in 0..UPGRADED_WITH {
            bench.call("touch", &json!([number * 7_919 % made]))?;
        }
        let (upgrade, _) = cpu_us(|| bench.call("renew", &json!([])))?;
        points.push(Point {
            size: made,
            costs: vec![
                ("crank", crank),
                ("commit of 20 messages", commit),
                ("snapshot of the heap, with its collection", snapshot),
                ("query of an object and its entry", query),
                ("opening, until an empty block is committed", opening),
                ("first message to each of three vats after it", waking),
                ("upgrade of the vat that keeps them", upgrade),
            ],
            counts,
        });
    }
    Ok(points)
}

/// Measures messages to objects all over the map. Returns the median of a crank, and the dearest message, in whose course a snapshot was taken.
fn deliveries(bench: &mut Bench, made: u64) -> Result<(f64, f64)> {
    let (mut cranks, mut messages) = (Vec::new(), Vec::new());
    for round in 0..measured() {
        let number = round.wrapping_mul(7_919) % made;
        let (us, count) = cpu_us(|| bench.call("touch", &json!([number])))?;
        cranks.push(us / count.max(1) as f64);
        messages.push(us);
    }
    let usual = median(&mut messages);
    let dearest = messages.last().copied().unwrap_or_default();
    Ok((median(&mut cranks), dearest - usual))
}

/// Returns the number of measured messages, more than the interval of snapshots.
fn measured() -> u64 {
    options().snapshot_interval + 10
}

/// Measures the commit of a block in which twenty objects changed.
fn commit(bench: &mut Bench, made: u64) -> Result<f64> {
    let mut times = Vec::new();
    for round in 0..20 {
        for i in 0..20 {
            let number = (round * 20 + i) * 104_729 % made;
            bench.send("bootstrap", "touch", &json!([number]))?;
        }
        let mut block = bench.block.take().context("no block")?;
        bench.kernel.run(&mut block, &mut crate::Batch { left: u64::MAX })?;
        let (us, ()) = cpu_us(|| {
            let prepared = bench.store.prepare(block)?;
            bench.height += 1;
            Ok(bench.store.commit(prepared, bench.height)?)
        })?;
        bench.block = Some(bench.store.begin_block());
        times.push(us);
    }
    Ok(median(&mut times))
}

/// Measures reads as a query makes them: the holder's entry for an object, and the object.
fn query(bench: &Bench) -> Result<f64> {
    const QUERIES: u64 = 200;
    let state = bench.store.reader();
    let holder = view::vat_by_name(&state, "holder")?.context("there is no vat holder")?;
    let read = |round: u64| {
        let after = format!("ko{}", 100 + round * 7_919 % 700);
        let entry = view::clist_after(&state, Endpoint::Vat(holder), &after)?;
        let (kref, _) = entry.context("the holder holds nothing")?;
        if let KRef::Object(number) = kref {
            view::object(&state, number)?.context("an object is gone")?;
        }
        Ok(())
    };
    // What a node reads often is in its page cache.
    (0..700).try_for_each(read)?;
    let all =
        median_us(20, |round| (0..QUERIES).try_for_each(|i| read(round as u64 * QUERIES + i)))?;
    Ok(all / QUERIES as f64)
}

/// Closes everything and opens it again.
pub(super) fn open(bench: Bench, workshop: &Workshop) -> Result<(Bench, f64)> {
    let mut bench = Some(bench);
    let mut times = Vec::new();
    for _ in 0..3 {
        let Bench { kernel, store, block, height, folder, .. } =
            bench.take().context("no bench")?;
        drop((kernel, block, store));
        let (us, opened) = cpu_us(|| {
            let mut opened = Bench::open(workshop, folder, height, online(200))?;
            ensure!(opened.run()? == 0, "something was left to do");
            Ok(opened)
        })?;
        times.push(us);
        bench = Some(opened);
    }
    Ok((bench.context("no bench")?, median(&mut times)))
}

/// Configures a kernel with the vats of the axes of objects and of vats.
pub(crate) fn config(workshop: &Workshop) -> Result<KernelConfig> {
    let vats = Path::new(env!("CARGO_MANIFEST_DIR")).join("vats");
    let grower = workshop.bundle(&vats.join("vat-grower.js"))?;
    let keeper = workshop.bundle(&vats.join("vat-keeper.js"))?;
    let player = workshop.bundle(&vats.join("vat-player.js"))?;
    let admin = workshop.bundle(Path::new(VAT_ADMIN))?;
    let wasm = wat::parse_str(include_str!("../../vats/player.wat"))?;
    let wasm = (capstan_bundle::wasm_id(&wasm).to_string(), wasm);
    let named = [("keeper", &keeper.0), ("player", &player.0)];
    let static_vats = [("bootstrap", &grower.0), ("holder", &wasm.0), (VAT_ADMIN, &admin.0)];
    Ok(KernelConfig {
        bootstrap: Some("bootstrap".to_owned()),
        pin_bootstrap_root: true,
        vats: static_vats.map(|(name, id)| (name.to_owned(), StaticVat::new(id))).into(),
        named_bundles: named.map(|(name, id)| (name.to_owned(), id.clone())).into(),
        bundles: BTreeMap::from([grower, keeper, player, wasm, admin]),
        ..KernelConfig::new(options())
    })
}
