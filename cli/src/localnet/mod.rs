//! `capstan localnet`: runs a network of nodes on this machine, which can be broken on purpose.

mod logs;
mod state_sync;
mod status;
mod up;

use std::path::{Path, PathBuf};
use std::time::Duration;

use capstan_client::Deadline;
use capstan_localnet::{self as net, Command, Consensus, NetError, NodePlan, Plan};
use capstan_node::home::Home;
use clap::Subcommand;
use serde_json::json;

use crate::Common;
use crate::failure::usage;
use crate::output::Output;
use crate::progress::Progress;

/// Arguments of `capstan localnet`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  \
    capstan localnet up --validators 4 --detach\n  \
    capstan localnet status\n  \
    capstan localnet partition node3      # its links to the others are cut\n  \
    capstan localnet kill node1           # as a crash would\n  \
    capstan localnet restart node1\n  \
    capstan localnet heal\n  \
    capstan localnet wait --height 20\n  \
    capstan localnet down\n\n\
    The directory of the network is --home. For these commands its default is $CAPSTAN_LOCALNET, or ~/.capstan-localnet. Each network has its own ports, so several \
    can run at once. Nodes reach each other through proxies of the network. Partitions cut these proxies, which needs no privileges.")]
pub(crate) struct Localnet {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a network and start it, or start one again where it stopped.
    Up(up::Up),
    /// Show the nodes: height, app hash, peers, mempool, last block, cranks.
    #[command(after_help = "Example: capstan localnet status --json")]
    Status {
        /// Show it anew every second, until Ctrl-C.
        #[arg(long, short = 'f')]
        follow: bool,
    },
    /// Print what nodes have logged.
    Logs(logs::Logs),
    /// Kill nodes, as a crash would.
    #[command(after_help = "Example: capstan localnet kill node1")]
    Kill(Nodes),
    /// Pause nodes: their processes are suspended.
    #[command(after_help = "Example: capstan localnet pause node1 node2")]
    Pause(Nodes),
    /// Resume paused nodes. Without names, all.
    #[command(after_help = "Example: capstan localnet resume")]
    Resume(SomeNodes),
    /// Stop nodes in order if they run, and start them. Without names, all.
    #[command(after_help = "Example: capstan localnet restart node1")]
    Restart(SomeNodes),
    /// Cut the links between these nodes and all others.
    #[command(after_help = "Example: capstan localnet partition node2 node3")]
    Partition(Nodes),
    /// Restore the links of these nodes. Without names, all.
    #[command(after_help = "Example: capstan localnet heal")]
    Heal(SomeNodes),
    /// Add a node that is no validator. It fetches all blocks from the others, or begins with a snapshot.
    #[command(
        after_help = "Examples:\n  capstan localnet add-node\n  capstan localnet add-node --state-sync"
    )]
    AddNode(AddNode),
    /// Wait until all nodes that run have this height.
    #[command(after_help = "Example: capstan localnet wait --height 20 --timeout 60")]
    Wait {
        /// Height that the nodes must reach.
        #[arg(long)]
        height: u64,
        /// Maximum time to wait, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout: u64,
        /// Nodes to wait for. Without names, all that run.
        #[arg(value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Stop the network in order. It can be started again.
    #[command(after_help = "Example: capstan localnet down")]
    Down,
    /// Stop the network and remove it, with its chain.
    #[command(after_help = "Example: capstan localnet reset")]
    Reset,
    /// The process that owns the nodes.
    #[command(hide = true)]
    Supervise(up::Supervise),
}

/// Arguments of `capstan localnet add-node`.
#[derive(clap::Args, Debug)]
struct AddNode {
    /// Begin with a snapshot of the state. The others write one every state_sync.interval blocks, an option of their
    /// config.toml.
    #[arg(long)]
    state_sync: bool,
}

/// One or more nodes.
#[derive(clap::Args, Debug)]
struct Nodes {
    /// Nodes: node1, or just 1.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
}

/// Any number of nodes.
#[derive(clap::Args, Debug)]
struct SomeNodes {
    /// Nodes: node1, or just 1. Without names, all.
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
}

impl Localnet {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let dir = dir(common)?;
        let tell = |command| tell(&dir, command, output);
        match self.action {
            Action::Up(up) => up.run(&dir, output),
            Action::Status { follow } => status::show(&dir, follow, output),
            Action::Logs(logs) => logs.run(&plan(&dir)?),
            Action::Kill(Nodes { nodes }) => tell(Command::Kill { nodes: names(nodes) }),
            Action::Pause(Nodes { nodes }) => tell(Command::Pause { nodes: names(nodes) }),
            Action::Resume(SomeNodes { nodes }) => tell(Command::Resume { nodes: names(nodes) }),
            Action::Restart(SomeNodes { nodes }) => tell(Command::Restart { nodes: names(nodes) }),
            Action::Partition(Nodes { nodes }) => tell(Command::Partition { nodes: names(nodes) }),
            Action::Heal(SomeNodes { nodes }) => tell(Command::Heal { nodes: names(nodes) }),
            Action::AddNode(AddNode { state_sync }) => {
                tell(Command::Add { node: up::make_node(&dir, &plan(&dir)?, state_sync)? })
            }
            Action::Wait { height, timeout, nodes } => {
                wait(&dir, height, timeout, &names(nodes), output)
            }
            Action::Down => down(&dir, output),
            Action::Reset => reset(&dir, output),
            Action::Supervise(supervise) => supervise.run(&dir),
        }
    }
}

/// The directory of the network.
fn dir(common: &Common) -> anyhow::Result<PathBuf> {
    let named = common.home.clone();
    let from_env = || std::env::var_os("CAPSTAN_LOCALNET").map(PathBuf::from);
    let user = || std::env::home_dir().map(|dir| dir.join(".capstan-localnet"));
    let path = named.or_else(from_env).filter(|path| !path.as_os_str().is_empty()).or_else(user);
    let path = path.ok_or_else(|| usage("there is no home directory; name one with --home DIR"))?;
    Ok(std::path::absolute(path)?)
}

fn plan(dir: &Path) -> Result<Plan, NetError> {
    Plan::load(dir)?.ok_or_else(|| NetError::NoNetwork(dir.to_owned()))
}

/// Completes the names of nodes: `1` is `node1`.
fn names(nodes: Vec<String>) -> Vec<String> {
    let name = |text: String| match text.bytes().all(|b| b.is_ascii_digit()) {
        true => format!("node{text}"),
        false => text,
    };
    nodes.into_iter().map(name).collect()
}

fn tell(dir: &Path, command: Command, output: Output) -> anyhow::Result<()> {
    let status = net::call(&plan(dir)?, command)?;
    status::print(&status::collect(&status), output);
    Ok(())
}

fn wait(
    dir: &Path,
    height: u64,
    timeout: u64,
    nodes: &[String],
    output: Output,
) -> anyhow::Result<()> {
    let progress = Progress::new(format!("waiting for height {height}"));
    let deadline = Deadline::after(Duration::from_secs(timeout));
    let plan = plan(dir)?;
    nodes.iter().try_for_each(|name| plan.node(name).map(drop))?;
    let what = format!("height {height} on all nodes (an idle chain makes no blocks)");
    let reached = deadline.poll(&what, || {
        let status = status::collect(&net::call(&plan, Command::Status)?);
        let meant = |node: &&status::Node| match nodes.is_empty() {
            true => node.is_running(),
            false => nodes.contains(&node.name),
        };
        let reached = status.nodes.iter().filter(meant).all(|node| node.height >= Some(height));
        anyhow::Ok(reached.then_some(status))
    })?;
    drop(progress);
    status::print(&reached, output);
    Ok(())
}

fn down(dir: &Path, output: Output) -> anyhow::Result<()> {
    let progress = Progress::new("stopping the nodes");
    let status = net::call(&plan(dir)?, Command::Down)?;
    drop(progress);
    let text =
        format!("Stopped {} nodes. `capstan localnet up` starts them again.", status.nodes.len());
    output.either(&json!({"stopped": status.nodes.len()}), &text);
    Ok(())
}

fn reset(dir: &Path, output: Output) -> anyhow::Result<()> {
    let known = plan(dir)?;
    match net::call(&known, Command::Down) {
        Ok(_) | Err(NetError::NotRunning) => {}
        Err(error) => return Err(error.into()),
    }
    up::remove(dir)?;
    let text = format!("Removed the network in {}.", dir.display());
    output.either(&json!({"removed": dir, "nodes": known.nodes.len()}), &text);
    Ok(())
}

/// The arguments of a node's process.
fn node_args(node: &NodePlan, consensus: Consensus, peers: &[String]) -> Vec<String> {
    let mut args = vec![match consensus {
        Consensus::Comet => "start".to_owned(),
        Consensus::Solo => "dev".to_owned(),
    }];
    args.extend(["--json".to_owned(), "--home".to_owned(), node.home.display().to_string()]);
    args.extend(["--rpc".to_owned(), node.rpc.to_string()]);
    args.extend(["--grpc".to_owned(), node.grpc.to_string()]);
    args.extend(["--rest".to_owned(), node.rest.to_string()]);
    if consensus == Consensus::Comet {
        args.extend(["--p2p".to_owned(), node.p2p.to_string()]);
        args.extend(["--moniker".to_owned(), node.name.clone()]);
        args.extend(["--peers".to_owned(), peers.join(",")]);
    }
    args
}

/// A home for a node.
fn make_home(path: PathBuf, genesis: &capstan_genesis::Genesis) -> anyhow::Result<()> {
    Home::make_from(path, genesis, None)?;
    Ok(())
}
