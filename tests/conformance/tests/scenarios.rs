//! The recorded scenarios, as tests: on the kernel alone and on the real engine.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::path::{Path, PathBuf};

use anyhow::Result;
use capstan_conformance::{
    javascript::Workshop, run_javascript, run_recorded, runner::Outcome, scenario_folders,
};

fn differences(run: impl Fn(&Path) -> Result<Outcome>) -> Vec<String> {
    let own = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
    let folders = scenario_folders(own).unwrap();
    assert!(folders.len() >= 26, "only {} scenarios were found", folders.len());
    let difference = |folder: &PathBuf| {
        let outcome = run(folder).unwrap_or_else(|error| Outcome {
            difference: Some(format!("{error:#}")),
            ..Outcome::default()
        });
        outcome.difference.map(|difference| format!("{}: {difference}", folder.display()))
    };
    folders.iter().filter_map(difference).collect()
}

#[test]
fn the_kernel_alone_does_what_swingset_did() {
    assert_eq!(differences(run_recorded), Vec::<String>::new());
}

#[test]
fn javascript_vats_do_what_swingset_did() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workshop");
    let workshop = Workshop::new(cache).unwrap();
    assert_eq!(differences(|folder| run_javascript(folder, &workshop)), Vec::<String>::new());
}
