//! Runs recorded SwingSet scenarios on Capstan's kernel and compares delivery by delivery, syscall
//! by syscall.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let folder = std::path::Path::new("tests/conformance/scenarios/24-upgrade");
//! let outcome = capstan_conformance::run_recorded(folder)?;
//! assert_eq!(outcome.difference, None);
//! # Ok(())
//! # }
//! ```

pub mod compare;
pub mod deviations;
pub mod devices;
pub mod javascript;
pub mod marshal;
pub mod outside;
pub mod policy;
pub mod recorded_host;
pub mod recorder;
pub mod runner;
pub mod scenario;
pub mod script;
pub mod setup;
pub mod steps;
pub mod upstream;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use capstan_vat_host::WasmHost;
use javascript::{SpendingAsRecorded, Workshop};
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
    Run::scenario(RecordedHost::new(&scenario), &scenario, bundles)
}

/// Runs a scenario on the real JavaScript engine, one vat after the other.
pub fn run_javascript(folder: &Path, workshop: &Workshop) -> Result<Outcome> {
    run_javascript_on(workshop.host()?, folder, workshop)
}

/// Runs a scenario on the real JavaScript engine of a [`Workshop::host_on`].
pub fn run_javascript_on(host: WasmHost, folder: &Path, workshop: &Workshop) -> Result<Outcome> {
    let (mut scenario, bundles) = Scenario::load(folder, &mut |source| workshop.bundle(source))?;
    let declared = deviations::declared(folder)?;
    let host = SpendingAsRecorded::new(host, &scenario);
    // The host goes by what was recorded; what it is compared with has the declared deviations.
    let met = deviations::apply(&mut scenario.expected, &declared)?;
    let mut outcome = Run::scenario(host, &scenario, bundles)?;
    if scenario.reaps_in_vain() {
        outcome.deviations.insert(compare::LOCAL_GC.to_owned());
    }
    outcome.deviations.extend(met);
    Ok(outcome)
}
