//! CosmJS, as wallets and scripts use it, against both engines.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::process::Command;

use common::{Dev, Place};

/// Runs the checks of a program in `tests/clients`.
fn check(dev: &Dev, program: &str, checks: usize) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients");
    let mut command = Command::new("node");
    let done = command.arg(program).current_dir(folder).env("RPC", dev.url()).output().unwrap();
    let [out, err] = [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(done.status.success(), "{out}{err}");
    assert_eq!(out.lines().filter(|line| line.starts_with("ok ")).count(), checks, "{out}{err}");
}

/// Runs all programs that use CosmJS.
fn check_all(dev: &Dev) {
    check(dev, "cosmjs.mjs", 9);
    check(dev, "proofs.mjs", 15);
}

#[test]
fn cosmjs_uses_the_solo_engine() {
    let place = Place::new();
    check_all(&place.dev());
}

#[test]
fn cosmjs_uses_cometbft() {
    let place = Place::new();
    assert_eq!(place.run(&["init", "--validator"]).code, 0);
    check_all(&place.comet_at(&place.home()));
}
