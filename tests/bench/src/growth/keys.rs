//! Keys: a bare store with values of 100 bytes under random keys.

use anyhow::{Result, ensure};
use capstan_kernel_ports::store::{Overlay as _, Read as _};
use capstan_store::{Options, Store};
use capstan_test_random::Random;

use super::{Point, cpu_us, median, median_us, progress};

/// Keys of one block while the store is filled.
const BATCH: u64 = 10_000;
/// Keys that a measured block changes.
const CHANGED: u64 = 500;
const READS: u64 = 200;

pub(super) fn measure(sizes: &[u64]) -> Result<Vec<Point>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    let mut store = Store::open(&path, Options::default())?;
    let (mut points, mut made) = (Vec::new(), 0);
    for size in sizes {
        while made < *size {
            fill(&store, made..made + BATCH)?;
            made += BATCH;
            progress("keys", made, *size);
        }
        let mut times = Vec::new();
        for round in 0..30 {
            times.push(cpu_us(|| change(&store, round, made))?.0);
        }
        let get = median_us(20, |round| read(&store, round as u64, made))?;
        let next = median_us(20, |round| walk(&store, round as u64, made))?;
        let mut openings = Vec::new();
        for _ in 0..3 {
            drop(store);
            let (us, opened) = cpu_us(|| Ok(Store::open(&path, Options::default())?))?;
            store = opened;
            openings.push(us);
        }
        points.push(Point {
            size: made,
            costs: vec![
                ("commit of a block, a changed key", median(&mut times) / CHANGED as f64),
                ("read of a key", get / READS as f64),
                ("read of the next key", next / READS as f64),
                ("opening of the store", median(&mut openings)),
            ],
        });
    }
    Ok(points)
}

fn fill(store: &Store, keys: std::ops::Range<u64>) -> Result<()> {
    let mut block = store.begin_block();
    for number in keys {
        block.set(&key(number), value(number));
    }
    let prepared = store.prepare(block)?;
    Ok(store.commit_unsynced(prepared, store.height() + 1)?)
}

fn change(store: &Store, round: u64, made: u64) -> Result<()> {
    let mut block = store.begin_block();
    for i in 0..CHANGED {
        block.set(&key(spread(round * CHANGED + i, made)), value(round));
    }
    let prepared = store.prepare(block)?;
    Ok(store.commit(prepared, store.height() + 1)?)
}

fn read(store: &Store, round: u64, made: u64) -> Result<()> {
    let state = store.reader();
    for i in 0..READS {
        let found = state.get(&key(spread(round * READS + i, made)))?;
        ensure!(found.is_some(), "a key is gone");
    }
    Ok(())
}

fn walk(store: &Store, round: u64, made: u64) -> Result<()> {
    let state = store.reader();
    for i in 0..READS {
        state.next_after(b"", &key(spread(round * READS + i, made)))?;
    }
    Ok(())
}

/// Returns a number below `made`, all over.
fn spread(i: u64, made: u64) -> u64 {
    Random::from(i).number() % made
}

fn key(number: u64) -> Vec<u8> {
    let mut random = Random::from(number ^ 0xA076_1D64_78BD_642F);
    (0..4).flat_map(|_| random.number().to_be_bytes()).collect()
}

fn value(salt: u64) -> Vec<u8> {
    let mut random = Random::from(salt);
    (0..13).flat_map(|_| random.number().to_be_bytes()).take(100).collect()
}
