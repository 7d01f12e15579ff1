//! The recorded scenarios, as tests: on the kernel alone and on the real engine.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::path::{Path, PathBuf};

use anyhow::Result;
use capstan_conformance::{
    javascript::Workshop, run_javascript, run_recorded, runner::Outcome, scenario_folders,
};

fn differences(kind: &str, least: usize, run: impl Fn(&Path) -> Result<Outcome>) -> Vec<String> {
    let folders = scenario_folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join(kind)).unwrap();
    assert!(folders.len() >= least, "only {} scenarios were found", folders.len());
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
    assert_eq!(differences("scenarios", 26, run_recorded), Vec::<String>::new());
}

#[test]
fn vats_of_every_kind_get_from_the_kernel_what_swingset_gave_them() {
    assert_eq!(differences("kernel", 12, run_recorded), Vec::<String>::new());
    assert_eq!(differences("swarms", 13, run_recorded), Vec::<String>::new());
}

#[test]
fn javascript_vats_do_what_swingset_did() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workshop");
    let workshop = Workshop::new(cache).unwrap();
    let run = |folder: &Path| run_javascript(folder, &workshop);
    assert_eq!(differences("scenarios", 26, run), Vec::<String>::new());
    assert_eq!(differences("swarms", 13, run), Vec::<String>::new());
}
