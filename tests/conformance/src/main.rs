//! `conformance [DIRECTORY]`: one line a scenario.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use capstan_conformance::runner::Outcome;

fn main() -> Result<ExitCode> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let directory = std::env::args().nth(1).map_or_else(|| PathBuf::from(own), PathBuf::from);
    let mut failed = false;
    for folder in capstan_conformance::scenario_folders(&directory)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let outcome = capstan_conformance::run_recorded(&folder);
        let outcome = outcome.unwrap_or_else(|error| Outcome {
            difference: Some(format!("{error:#}")),
            ..Outcome::default()
        });
        for deviation in &outcome.deviations {
            println!("deviation {name}: {deviation}");
        }
        match outcome.difference {
            None => println!("ok {name}"),
            Some(difference) => {
                failed = true;
                println!("FAIL {name}: {difference}");
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
