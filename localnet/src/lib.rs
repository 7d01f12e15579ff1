//! `net`: a network of nodes on this machine, which can be broken on purpose.
//!
//! One process, the supervisor ([`Network`]), owns all nodes, each a process on a home of its own, and the links
//! between them. It takes commands ([`Command`]) by [`call`]. What there is stands in `localnet.json` ([`Plan`]),
//! so a network can be started again where it stopped.

mod control;
mod link;
mod plan;
mod process;
mod supervisor;

use std::io;
use std::path::PathBuf;

pub use control::{Command, NodeStatus, Status, call};
pub use link::Link;
pub use plan::{Engine, NodePlan, Plan, Supervisor};
pub use process::{Launch, State};
pub use supervisor::{Launcher, NetStopper, Network};

/// Why something cannot be done with a network.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// There is no network in the directory.
    #[error("there is no local network in {}; make one by `capstan localnet up`", .0.display())]
    None(PathBuf),
    /// It runs already.
    #[error("the network in {} runs already; `capstan localnet status` shows it", .0.display())]
    Runs(PathBuf),
    /// It does not run.
    #[error("the network does not run; start it by `capstan localnet up`")]
    Down,
    /// Its plan cannot be read or written.
    #[error("the network's plan {}: {why}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It has no such node.
    #[error("there is no node {name:?}; there are {}", known.join(", "))]
    UnknownNode {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The solo engine knows no peers.
    #[error("a network on the solo engine has one node; use `--engine comet` for more")]
    SoloPeers,
    /// A node's process cannot be started.
    #[error("{node} cannot be started: {source}")]
    Spawn {
        /// The node.
        node: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The network would not do it.
    #[error("{0}")]
    Refused(String),
    /// The operating system gives no ports or threads.
    #[error("the operating system gives no ports, threads or randomness: {0}")]
    Ports(io::Error),
}
