//! Tests of the cycle collector with two generations (`build/seams.rs`). No reachable object is
//! freed. Unreachable objects survive until the next full collection only if old objects refer to
//! them. `CAPSTAN_TEST_SEED=N` repeats one graph.

#![allow(clippy::unwrap_used)] // tests

mod common;

use common::Engine;
use serde_json::{Value, json};

/// Number of graphs.
const GRAPHS: u64 = 40;
/// Number of collections after which the engine visits old objects too: `FULL_COLLECTION_INTERVAL`
/// in `globals.c`.
const FULL_COLLECTION_INTERVAL: u64 = 16;

fn engine() -> Engine {
    let mut engine = Engine::with_shims();
    assert_eq!(engine.boot(include_str!("collector.js")), Ok(0), "{:?}", engine.log());
    engine
}

fn command(engine: &mut Engine, command: Value) -> Value {
    let mut replies = engine.deliver(&command.to_string()).unwrap();
    assert_eq!(replies.len(), 1, "{command}: {replies:?} {:?}", engine.log());
    serde_json::from_str(&replies.remove(0)).unwrap()
}

#[derive(Debug, Default)]
struct Seen {
    ended: u64,
    /// Number of objects that old ones kept beyond a collection, counted once for each collection.
    late: u64,
}

/// Makes the graph of `seed` and changes it, with a collection after every few changes; ages it once or twice.
fn run(engine: &mut Engine, seed: u64, collections: &mut u64, seen: &mut Seen) {
    let mut ended = 0;
    command(engine, json!(["graph", seed]));
    for round in 0..48 {
        command(engine, json!(["change", 12 + seed % 9]));
        if round == 5 || (round == 29 && seed.is_multiple_of(2)) {
            command(engine, json!(["age"]));
            *collections += 1;
        }
        command(engine, json!(["gc"]));
        *collections += 1;
        let is_full = collections.is_multiple_of(FULL_COLLECTION_INTERVAL);
        let state = command(engine, json!(["check", is_full]));
        assert_eq!(state["problems"], json!([]), "seed {seed}, round {round}, full: {is_full}");
        seen.late += state["late"].as_u64().unwrap();
        ended = state["ended"].as_u64().unwrap();
    }
    seen.ended += ended;
}

#[test]
fn what_is_reached_lives_and_the_rest_ends() {
    let seeds = match std::env::var("CAPSTAN_TEST_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 1..GRAPHS + 1,
    };
    let is_one = seeds.clone().count() == 1;
    let mut seen = Seen::default();
    for seed in seeds {
        run(&mut engine(), seed, &mut 0, &mut seen);
    }
    // Else the test would show nothing.
    assert!(is_one || (seen.ended > 2_000 && seen.late > 20), "{seen:?}");
}
