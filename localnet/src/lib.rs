//! Networks of nodes on one machine, and what breaks them.
//!
//! One process, the supervisor ([`Network`]), owns all nodes and the links between them. Each node is a process with a
//! home of its own. The supervisor takes a [`Command`] by [`call`]. The file `localnet.json` ([`Plan`]) describes the
//! network, so that it can be started again where it stopped.
//!
//! ```no_run
//! use capstan_localnet::{Command, Plan, call};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan = Plan::load("network".as_ref())?.ok_or("there is no network")?;
//! let status = call(&plan, Command::Partition { nodes: vec!["node3".to_owned()] })?;
//! println!("{} links are cut", status.cut.len());
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod control;
mod error;
mod link;
mod plan;
mod ports;
mod process;
mod supervisor;

pub use control::{Command, NodeStatus, Status, call};
pub use error::NetError;
pub use link::Link;
pub use plan::{Consensus, NodePlan, Plan, Supervisor};
pub use ports::free_addrs;
pub use process::{Launch, ProcessState};
pub use supervisor::{Launcher, NetStopper, Network};
