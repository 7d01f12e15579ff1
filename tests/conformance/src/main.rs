//! `conformance [--kernel-only] [DIRECTORY]`: runs the scenarios in a directory, one line a scenario.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use capstan_conformance::runner::Outcome;
use capstan_conformance::{javascript::Workshop, run_javascript, run_recorded, scenario_folders};

const HELP: &str = "\
Runs recorded SwingSet scenarios on Capstan and prints one line a scenario:
`ok NAME` or `FAIL NAME: first difference`, and `deviation NAME: …` where Capstan does otherwise
on purpose.

Usage: capstan-conformance [--kernel-only] [DIRECTORY]

DIRECTORY      holds scenario folders; by default the project's own
--kernel-only  vats do what the recording says they did: tests the kernel without an engine
--only NAME    runs the scenarios whose name contains NAME
Environment: CONFORMANCE_CACHE keeps bundles and compiled code (default: ~/.cache/capstan/conformance)";

fn main() -> Result<ExitCode> {
    let mut directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
    let (mut kernel_only, mut only) = (false, String::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--kernel-only" => kernel_only = true,
            "--only" => only = args.next().context("--only needs a name")?,
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            flag if flag.starts_with('-') => bail!("unknown flag {flag}\n\n{HELP}"),
            path => directory = PathBuf::from(path),
        }
    }
    let workshop = Workshop::new(cache_directory()?)?;
    let mut failed = false;
    for folder in scenario_folders(&directory)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        let outcome = match kernel_only {
            true => run_recorded(&folder),
            false => run_javascript(&folder, &workshop),
        };
        failed |= !report(&name, outcome);
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints what came of a scenario; true if it is as recorded.
fn report(name: &str, outcome: Result<Outcome>) -> bool {
    let outcome = outcome.unwrap_or_else(|error| Outcome {
        difference: Some(format!("{error:#}")),
        ..Outcome::default()
    });
    for deviation in &outcome.deviations {
        println!("deviation {name}: {deviation}");
    }
    match &outcome.difference {
        None => println!("ok {name}"),
        Some(difference) => println!("FAIL {name}: {difference}"),
    }
    outcome.difference.is_none()
}

fn cache_directory() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("CONFORMANCE_CACHE") {
        return Ok(cache.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set: set CONFORMANCE_CACHE")?;
    Ok(PathBuf::from(home).join(".cache/capstan/conformance"))
}
