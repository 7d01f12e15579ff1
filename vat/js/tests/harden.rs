//! Tests that the native `harden` equals SES's own, for random graphs of objects: the same errors,
//! the same frozen objects, the same traps in the same order. `CAPSTAN_TEST_SEED=N` repeats one
//! graph.

#![allow(clippy::unwrap_used)] // tests

mod common;

use common::Engine;

/// Number of graphs.
const GRAPHS: u64 = 1_000;

/// An engine after lockdown, with the native `harden`, or without: then SES installs its own.
fn locked_down(native: bool) -> Engine {
    let mut engine = Engine::with_shims();
    engine.eval("globalThis.nativeHarden = harden");
    if !native {
        assert_eq!(engine.eval("delete globalThis.harden"), "true");
    }
    let (_, lockdown) = capstan_vat_js::boot_scripts()[1];
    assert_eq!(engine.boot(std::str::from_utf8(lockdown).unwrap()), Ok(0), "{:?}", engine.log());
    assert_eq!(engine.boot(include_str!("harden.js")), Ok(0), "{:?}", engine.log());
    engine
}

/// Returns the observable result of hardening a graph.
fn observed(engine: &mut Engine, seed: u64) -> String {
    engine.eval(&format!("runHarden({seed})"))
}

#[test]
fn the_native_harden_cannot_be_told_from_that_of_ses() {
    let (mut native, mut ses) = (locked_down(true), locked_down(false));
    // Each engine is of the expected kind.
    let is_native = "typeof harden === 'function' && harden === nativeHarden";
    assert_eq!([native.eval(is_native), ses.eval(is_native)], ["true", "false"]);
    let seeds = match std::env::var("CAPSTAN_TEST_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 1..GRAPHS + 1,
    };
    let is_one = seeds.clone().count() == 1;
    let (mut traps, mut thrown, mut hardened) = (0, 0, 0);
    for seed in seeds {
        let (found, expected) = (observed(&mut native, seed), observed(&mut ses, seed));
        let differs = found.lines().zip(expected.lines()).position(|(a, b)| a != b);
        if found != expected {
            let at = differs.unwrap_or(found.lines().count().min(expected.lines().count()));
            let near = |text: &str| {
                let lines = text.lines().skip(at.saturating_sub(5)).take(8);
                lines.collect::<Vec<_>>().join("\n")
            };
            panic!(
                "seed {seed}, line {at}\nnative:\n{}\n\nSES:\n{}",
                near(&found),
                near(&expected)
            );
        }
        assert!(!found.contains("etter ran"), "seed {seed}: harden runs no accessors\n{found}");
        traps += found.lines().filter(|line| line.contains('.')).count();
        thrown += found
            .lines()
            .filter(|line| line.starts_with("harden") && line.contains("threw"))
            .count();
        hardened += found
            .lines()
            .filter(|line| line.starts_with("harden") && line.ends_with("true"))
            .count();
    }
    println!("{traps} traps, {hardened} hardened, {thrown} thrown");
    assert!(
        is_one || (traps > 1_000 && thrown > 50 && hardened > 500),
        "{traps} {thrown} {hardened}"
    );
}
