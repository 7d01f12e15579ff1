//! Eight random vats that are upgraded, ended and replaced: after every crank the kernel's counts are
//! those made from scratch. `CAPSTAN_SOAK_CRANKS` says how long (default 5,000; `make soak` runs a
//! million), `CAPSTAN_SOAK_SEED` where to begin.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_kernel::view;
use capstan_test_random::Random;
use serde_json::json;
use support::operator::{VATS, World};

/// Cranks of one kernel: its tombstones and devices keep what they have for good, so it grows.
const CRANKS_OF_ONE: u64 = 1_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// What happened in a run.
#[derive(Debug, Default)]
struct Events {
    upgrades: u64,
    terminations: u64,
    creations: u64,
}

/// Runs one kernel; returns how many cranks it made.
fn soak(seed: u64, cranks: u64, events: &mut Events) -> u64 {
    let mut world = World::new(seed);
    world.begin();
    let mut random = Random::from(seed);
    while world.cranks < cranks {
        let busy = world.crank();
        world.check();
        if !busy {
            world.stir(&mut random);
        }
        if random.below(40) == 0 {
            interfere(&mut world, &mut random, events);
        }
        if random.below(500) == 0 {
            world.kernel.evict_all();
        }
    }
    world.cranks
}

fn interfere(world: &mut World, random: &mut Random, events: &mut Events) {
    let live = world.live();
    if (live.len() as u64) < VATS {
        events.creations += 1;
        return world.tell("create", json!([]));
    }
    let vat = live[random.below(live.len() as u64) as usize];
    let generation = view::vat_state(&world.state, vat).unwrap().unwrap().incarnation;
    if random.below(4) == 0 || generation > 150 {
        events.terminations += 1;
        world.tell("terminate", json!([vat.to_string()]));
    } else {
        events.upgrades += 1;
        world.upgrade(vat);
    }
}

#[test]
fn counts_are_right_after_every_crank_of_a_long_life() {
    let cranks = number("CAPSTAN_SOAK_CRANKS", 5_000);
    let mut seed = number("CAPSTAN_SOAK_SEED", 1);
    let (mut made, mut events) = (0, Events::default());
    while made < cranks {
        println!("{made} of {cranks} cranks, {events:?}; next a kernel of seed {seed}");
        made += soak(seed, CRANKS_OF_ONE.min(cranks - made), &mut events);
        seed += 1;
    }
    println!("{made} cranks: {events:?}");
    assert!(events.upgrades * 100 > made / 40, "{events:?}");
    assert!(events.terminations > 0 && events.creations > 0, "{events:?}");
}
