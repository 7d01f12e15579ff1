//! The Go packages of the Cosmos SDK, as its command lines use them, against both engines.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::process::Command;

use common::{Dev, Place};

/// Runs the program in `tests/clients/go/sdk`.
fn check(dev: &Dev) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/go");
    let [grpc, chain] = ["grpc", "chain_id"].map(|name| dev.ready[name].as_str().unwrap());
    let done = Command::new("go")
        .args(["run", "./sdk", dev.url(), grpc, chain])
        .current_dir(folder)
        .output()
        .expect("Go is installed");
    let [out, err] = [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(done.status.success(), "{out}{err}");
    assert_eq!(out.lines().filter(|line| line.starts_with("ok ")).count(), 10, "{out}{err}");
}

#[test]
fn the_go_sdk_uses_the_solo_engine() {
    let place = Place::new();
    check(&place.dev());
}

#[test]
fn the_go_sdk_uses_cometbft() {
    let place = Place::new();
    assert_eq!(place.run(&["init", "--validator"]).code, 0);
    check(&place.comet_at(&place.home()));
}
