//! Helpers of the tests that cross crates: a whole node in this process, bundles made from sources by the project's own
//! bundler, and an application that is driven without any engine.
//!
//! Nothing here is a stand-in: real vats under wasmer, the real store on disk, real signed transactions.
//!
//! ```no_run
//! use capstan_client::{Amount, Key};
//! use capstan_tests::Node;
//!
//! let node = Node::start(|_| {});
//! node.wallet(0).transfer(&Key::dev(1).address(), Amount(1)).unwrap();
//! assert!(node.client().status().unwrap().height > 0);
//! ```
// Helpers of tests fail loudly, at the line that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod account;
pub mod adversary;
mod bare;
mod bundles;
mod calibration;
mod hooked_host;
mod lone;
mod machine;
pub mod mixed;
mod node;
mod process;
mod raw;
pub mod sim;
mod wrong_host;

pub use account::Account;
pub use bare::BareApp;
pub use bundles::{bundle, bundle_text, example};
pub use calibration::{Measured, Scales};
pub use capstan_bundle::wasm_id;
pub use capstan_test_random::Random;
pub use hooked_host::HookedHost;
pub use lone::{Device, LoneVat, Outcome};
pub use machine::{Machine, MachineConfig};
pub use node::{Engine, Node, Options, genesis, genesis_with_timer, host};
pub use process::alone;
pub use raw::{RAW_ACCOUNTS, RAW_VATS, actor, actor_with, raw_genesis, silent, with_section};
pub use wrong_host::{Wrong, WrongHost};

use std::path::PathBuf;
use std::time::Duration;

use capstan_client::Deadline;

/// The chain id of all chains here.
pub const CHAIN_ID: &str = "capstan-test-1";

/// Returns the deadline of anything here, after which the test gives up.
pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

/// A directory of the build where artifacts may be kept from one test to the next.
pub fn cache_dir() -> PathBuf {
    // The test's own program lies in TARGET/PROFILE/deps.
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().join("tmp/capstan-engine")
}
