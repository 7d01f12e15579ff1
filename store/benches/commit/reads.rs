//! Reads, and the work of a crank.

use capstan_kernel_ports::store::{Overlay, Read};
use capstan_store::Store;
use capstan_test_random::Random;

use crate::{blocks::value, measure::Clock, report::Report};

/// Measures single reads and iteration, of committed state and through a block.
pub(crate) fn reads(store: &Store, keys: &[Vec<u8>], random: &mut Random, report: &mut Report) {
    const TIMES: u64 = 200_000;
    let state = store.reader();
    let mut block = store.begin_block();
    let mut pick = |_| keys[random.number() as usize % keys.len()].clone();
    for key in (0..10_000).map(&mut pick) {
        block.set(&key, value(key.len() as u64));
    }
    block.push();
    for key in (0..50).map(&mut pick) {
        block.set(&key, value(key.len() as u64));
    }
    block.push();
    let wanted: Vec<_> = (0..TIMES).map(&mut pick).collect();
    let mut each = |name: &str, call: &mut dyn FnMut(&Vec<u8>) -> bool| {
        report.figure(&format!("{name}, CPU"), "µs", each(&wanted, call));
    };
    each("get, committed state", &mut |key| state.get(key).unwrap().is_some());
    each("get, block, first time", &mut |key| block.get(key).unwrap().is_some());
    each("get, block, again", &mut |key| block.get(key).unwrap().is_some());
    each("next after, committed state", &mut |key| state.next_after(b"", key).unwrap().is_some());
    each("next after, block", &mut |key| block.next_after(b"", key).unwrap().is_some());
    let began = Clock::now();
    let mut entries = 0;
    let mut after = b"k.c.v1".to_vec();
    while let Some((key, _)) = block.next_after(b"k.c.v1", &after).unwrap() {
        after = key;
        entries += 1;
    }
    let spent = Clock::now().since(&began);
    let each = spent.cpu_ms * 1e3 / f64::from(entries);
    report.figure("next after, block, in order, CPU", "µs", each);
}

/// Measures the work of the store in a crank of the kernel.
///
/// A crank opens a level, reads 40 keys of which half were read before in the block, writes 12, takes 2 steps of an
/// iteration, visits its writes and merges the level.
pub(crate) fn cranks(store: &Store, keys: &[Vec<u8>], random: &mut Random, report: &mut Report) {
    const CRANKS: usize = 20_000;
    let mut block = store.begin_block();
    let began = Clock::now();
    let mut bytes = 0;
    let mut any = || keys[random.number() as usize % keys.len()].as_slice();
    for crank in 0..CRANKS {
        block.push();
        for i in 0..40 {
            let key = match i % 2 {
                0 => keys[i + crank % 20 * 40].as_slice(),
                _ => any(),
            };
            bytes += block.get(key).unwrap().map_or(0, |value| value.len());
        }
        for i in 0..12 {
            let key = match i % 3 {
                0 => keys[i + crank % 20 * 40].to_vec(),
                1 => any().to_vec(),
                _ => [any(), b".new"].concat(),
            };
            block.set(&key, vec![7; 100]);
        }
        let mut after = any().to_vec();
        for _ in 0..2 {
            match block.next_after(b"", &after).unwrap() {
                Some((key, _)) => after = key,
                None => break,
            }
        }
        block.top_writes(&mut |key, _| bytes += key.len());
        block.merge();
    }
    assert!(bytes > 0, "the cranks found nothing");
    let spent = Clock::now().since(&began);
    report.figure("a crank's overlay work, CPU", "µs", spent.cpu_ms * 1e3 / CRANKS as f64);
}

/// Returns the CPU microseconds that `call` takes on average.
fn each<T>(items: &[T], call: &mut dyn FnMut(&T) -> bool) -> f64 {
    let began = Clock::now();
    let hits = items.iter().filter(|item| call(item)).count();
    assert!(hits > items.len() / 2, "the benchmark misses its keys");
    Clock::now().since(&began).cpu_ms * 1e3 / items.len() as f64
}
