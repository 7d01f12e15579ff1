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
use runner::{Outcome, Run};
use scenario::{Scenario, stand_in};

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

/// Runs a scenario on the kernel alone: its vats do what the recording says they did.
pub fn run_recorded(folder: &Path) -> Result<Outcome> {
    let (scenario, bundles) = Scenario::load(folder, &mut |source| Ok(stand_in(source)))?;
    Run::scenario(RecordedHost::new(&scenario.expected), &scenario, bundles)
}
