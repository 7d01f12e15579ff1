//! Runs recorded SwingSet scenarios on Capstan's kernel and compares delivery by delivery, syscall
//! by syscall.

pub mod compare;
pub mod memory;
pub mod recorded_host;
pub mod recorder;
pub mod runner;
pub mod scenario;

use std::{fs, path::{Path, PathBuf}};

use anyhow::{Context, Result};

use recorded_host::RecordedHost;
use runner::Run;
use scenario::{Bundles, Scenario, stand_in_id};

/// The scenario folders in a directory, in the order of their names.
pub fn scenario_folders(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("cannot read the scenarios in {}", directory.display()))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("scenario.json").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Runs a scenario on the kernel alone: its vats do what the recording says they did. The first
/// difference, if there is one.
pub fn run_recorded(folder: &Path) -> Result<Option<String>> {
    let scenario = Scenario::load(folder, &|name| Some(stand_in_id(name)))?;
    let names = scenario.sources().into_keys().chain(["vatAdmin".to_owned()]);
    let bundles: Bundles =
        names.map(|name| (name.clone(), (stand_in_id(&name), name.into_bytes()))).collect();
    Run::scenario(RecordedHost::new(&scenario.expected), &scenario, bundles)
}
