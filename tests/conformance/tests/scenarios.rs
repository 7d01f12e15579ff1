//! One test for each recorded scenario, by its name: `cargo test --workspace --test scenarios 24-upgrade` runs those whose
//! names contain `24-upgrade`.
//!
//! A scenario runs on the kernel alone, where vats do what the recording says they did (`kernel::NAME`), and on the real
//! engine (`javascript::NAME`). Swarms run once more with vats on several threads (`ahead::NAME`). The folders are `scenarios`, `swarms`, `peer`, `raw` and `kernel`. Those of `upstream`, whose
//! vats come from npm packages, run on the kernel alone.
#![allow(clippy::unwrap_used)] // tests

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use capstan_conformance::{
    javascript::Workshop, run_javascript, run_javascript_on, run_recorded, runner::Outcome,
    scenario_folders,
};
use libtest_mimic::{Arguments, Failed, Trial};

/// The folders of scenarios, how many each has at least, and whether its vats run on the real engine too.
const KINDS: [(&str, usize, bool); 6] = [
    ("scenarios", 26, true),
    ("swarms", 13, true),
    ("peer", 12, true),
    ("raw", 5, true),
    ("kernel", 12, true),
    ("upstream", 2, false),
];

fn main() -> ExitCode {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workshop");
    let workshop = Arc::new(Workshop::new(cache).unwrap());
    let mut trials = Vec::new();
    for (kind, least, on_engine) in KINDS {
        let folders = scenario_folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join(kind)).unwrap();
        assert!(folders.len() >= least, "only {} scenarios were found in {kind}", folders.len());
        for folder in folders {
            if on_engine {
                let (folder, workshop) = (folder.clone(), Arc::clone(&workshop));
                trials.push(trial("javascript", folder, move |folder| {
                    run_javascript(folder, &workshop)
                }));
            }
            if kind == "swarms" {
                let (folder, workshop) = (folder.clone(), Arc::clone(&workshop));
                trials.push(trial("ahead", folder, move |folder| run_ahead(folder, &workshop)));
            }
            trials.push(trial("kernel", folder, run_recorded));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Runs a scenario whose vats run before their turn, late, reordered and partly in vain: on two threads or on seven, as its
/// number is even or odd.
fn run_ahead(folder: &Path, workshop: &Workshop) -> Result<Outcome> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let number: u64 = name.split('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let threads = if number.is_multiple_of(2) { 2 } else { 7 };
    run_javascript_on(workshop.host_on(threads, Some(number))?, folder, workshop)
}

/// A test that fails with the first difference from the recording.
fn trial(
    way: &str,
    folder: PathBuf,
    run: impl Fn(&Path) -> Result<Outcome> + Send + 'static,
) -> Trial {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    Trial::test(format!("{way}::{name}"), move || {
        let outcome = run(&folder).map_err(|error| Failed::from(format!("{error:#}")))?;
        outcome.difference.map_or(Ok(()), |difference| Err(Failed::from(difference)))
    })
}
