//! What the tests that cross crates share: a whole node in this process, bundles made from sources by the project's own
//! bundler, and an application that is driven without any engine.
//!
//! Nothing here is a stand-in: real vats under wasmer, the real store on disk, real signed transactions.
// Helpers of tests fail loudly, at the line that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bare;
mod bundles;
mod node;

pub use bare::BareApp;
pub use bundles::{bundle, bundle_text, example};
pub use node::{Node, Options, genesis, host};

use std::path::PathBuf;
use std::time::Duration;

use capstan_client::Deadline;

/// How long anything here may take before the test gives up.
pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

/// A directory of the build where artifacts may be kept from one test to the next.
pub fn cache_dir() -> PathBuf {
    // The test's own program lies in TARGET/PROFILE/deps.
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().join("tmp/capstan-engine")
}
