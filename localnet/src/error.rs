use std::io;
use std::path::PathBuf;

/// Reason why a network cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// There is no network in the directory.
    #[error("there is no local network in {}; make one by `capstan localnet up`", .0.display())]
    NoNetwork(PathBuf),
    /// The network runs already.
    #[error("the network in {} runs already; `capstan localnet status` shows it", .0.display())]
    AlreadyRuns(PathBuf),
    /// The network does not run.
    #[error("the network does not run; start it by `capstan localnet up`")]
    NotRunning,
    /// The plan cannot be read or written.
    #[error("the network's plan {}: {why}", path.display())]
    Plan {
        /// Path of the file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The network has no such node.
    #[error("there is no node {name:?}; there are {}", known.join(", "))]
    UnknownNode {
        /// The name that was asked for.
        name: String,
        /// Names of the network's nodes.
        known: Vec<String>,
    },
    /// Solo consensus knows no peers.
    #[error("a network with solo consensus has one node; use `--consensus comet` for more")]
    SoloPeers,
    /// A node's process cannot be started.
    #[error("{node} cannot be started: {source}")]
    Spawn {
        /// Name of the node.
        node: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The network refused the command.
    #[error("{0}")]
    Refused(String),
    /// The operating system gives no ports or threads.
    #[error("the operating system gives no ports, threads or randomness: {0}")]
    Ports(io::Error),
}
