//! The adversary attacks chains, and none of them stops. It weighs the dearest inputs that are known, and none exceeds its
//! bounds.
//!
//! These tests run the same seeds and the same inputs each time. `make adversary` takes new seeds, and searches for dearer
//! inputs, for ADVERSARY_SECONDS seconds each. ADVERSARY_SEED=N repeats what a failure names. ADVERSARY_BLOCKS=N makes longer
//! chains. A search writes the dearest inputs to ADVERSARY_DIR, where the next one begins. ADVERSARY_INPUT=FILE weighs the
//! inputs of a file, one a line.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use capstan_tests::adversary::costs::{Excess, Input, Scales, dearest, weigh_file, weigh_known};
use capstan_tests::adversary::{Profile, besieged, watch, watch_search};
use capstan_tests::{alone, cache_dir};

/// The seeds that every run tries.
const SEEDS: [u64; 3] = [1, 3, 6];
/// Blocks of each chain.
const BLOCKS: u64 = 40;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// One seed in four attacks a chain with the usual parameters.
fn profile(seed: u64) -> Profile {
    if seed % 4 == 3 { Profile::Usual } else { Profile::Small }
}

fn siege(seed: u64) {
    println!("ADVERSARY_SEED={seed}, {:?}", profile(seed));
    watch("a_siege", seed, profile(seed), number("ADVERSARY_BLOCKS").unwrap_or(BLOCKS));
}

/// Returns a new seed.
fn fresh() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[test]
fn no_chain_is_stopped() {
    let Some(seconds) = number("ADVERSARY_SECONDS") else {
        return match number("ADVERSARY_SEED") {
            Some(seed) => siege(seed),
            None => SEEDS.into_iter().for_each(siege),
        };
    };
    let begun = Instant::now();
    for seed in number("ADVERSARY_SEED").unwrap_or_else(fresh).. {
        siege(seed);
        if begun.elapsed() > Duration::from_secs(seconds) {
            return;
        }
    }
}

#[test]
fn no_input_exceeds_its_bounds() {
    if let Some(file) = std::env::var_os("ADVERSARY_INPUT") {
        return weigh_file(&PathBuf::from(file));
    }
    let Some(seconds) = number("ADVERSARY_SECONDS") else {
        return alone(module_path!(), "no_input_exceeds_its_bounds", weigh_known);
    };
    let folder = std::env::var_os("ADVERSARY_DIR")
        .map_or_else(|| cache_dir().with_file_name("adversary"), PathBuf::from);
    let seed = number("ADVERSARY_SEED").unwrap_or_else(fresh);
    watch_search("a_siege", seed, seconds.max(1), &folder);
}

/// Heaps that are read again and hardly counted: the kind of mistake that the bounds are for.
#[test]
fn work_that_is_not_counted_exceeds_its_bounds() {
    alone(module_path!(), "work_that_is_not_counted_exceeds_its_bounds", || {
        let free = Scales::without_javascript(|params| params.page_computrons = 1);
        let name = "wasm: vats that are not in memory, with heaps of 30 MB";
        let input: Input = dearest().into_iter().find(|input| input.name == name).unwrap();
        let found = free.confirm(&input);
        assert!(found.iter().any(|(excess, _)| *excess == Excess::Time), "{found:?}");
    });
}

#[test]
#[ignore = "the process that the other test starts"]
fn a_siege() {
    besieged();
}
