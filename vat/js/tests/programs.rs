//! Random programs on the worker and on Node (`tests/fuzz/programs`): what both print is the same, and what the worker
//! prints under wasmer is what it prints under Node's own WebAssembly. `make fuzz` looks longer.
//! `CAPSTAN_TEST_SEED=N` begins with the program of another seed.

#![allow(clippy::unwrap_used)] // tests

mod common;

use std::{fs, path::Path, process::Command};

use common::Engine;
use serde_json::Value;

/// Number of programs.
const PROGRAMS: u32 = 800;

#[test]
fn random_programs_do_what_they_do_on_node() {
    let seed = std::env::var("CAPSTAN_TEST_SEED").unwrap_or_else(|_| "1".to_string());
    let folder = tempfile::tempdir().unwrap();
    let worker = folder.path().join("worker.wasm");
    fs::write(&worker, capstan_vat_js::worker()).unwrap();
    let written = folder.path().join("programs.json");
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/programs/compare.mjs");
    let output = Command::new("node")
        .args([tool.as_os_str(), worker.as_os_str()])
        .args(["--seed", &seed, "--count", &PROGRAMS.to_string(), "--write"])
        .arg(&written)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "CAPSTAN_TEST_SEED={seed}: {said}");

    let batches: Value = serde_json::from_slice(&fs::read(&written).unwrap()).unwrap();
    let mut seen = 0;
    for batch in batches.as_array().unwrap() {
        let mut engine = Engine::new();
        for script in batch["scripts"].as_array().unwrap() {
            assert_eq!(engine.boot(script.as_str().unwrap()), Ok(0), "{:?}", engine.log());
        }
        let log = engine.log();
        let printed: Vec<Value> =
            log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(Value::from(printed), batch["printed"], "CAPSTAN_TEST_SEED={seed}");
        seen += log.len();
    }
    assert_eq!(seen, PROGRAMS as usize);
}
