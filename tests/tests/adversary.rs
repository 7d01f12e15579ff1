//! The adversary attacks chains, and none of them stops.
//!
//! `make adversary` goes on for ADVERSARY_SECONDS seconds, one seed after the other; ADVERSARY_SEED=N repeats what a failure
//! names. ADVERSARY_BLOCKS=N makes longer chains.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use capstan_tests::adversary::{Profile, besieged, watch};

/// Seeds that are always tried, and one that was never tried before.
const SEEDS: [u64; 2] = [1, 3];
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

#[test]
fn no_chain_is_stopped() {
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    if let Some(seconds) = number("ADVERSARY_SECONDS") {
        let (begun, first) = (Instant::now(), number("ADVERSARY_SEED").unwrap_or(fresh));
        for seed in first.. {
            siege(seed);
            if begun.elapsed() > Duration::from_secs(seconds) {
                return;
            }
        }
    }
    match number("ADVERSARY_SEED") {
        Some(seed) => siege(seed),
        None => SEEDS.into_iter().chain([fresh]).for_each(siege),
    }
}

#[test]
#[ignore = "the process that the other test starts"]
fn a_siege() {
    besieged();
}
