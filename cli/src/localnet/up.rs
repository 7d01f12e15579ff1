//! Making a network, and the process that owns it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context as _, bail};
use capstan_client::Deadline;
use capstan_consensus::comet::{self, CometHome};
use capstan_genesis::Genesis;
use capstan_localnet::{self as net, Command, Consensus, Launch, Network, NodePlan, Plan};
use capstan_node::config::StateSync;
use capstan_node::home::{GENESIS, OVERRIDES, read_genesis};
use capstan_node::network_genesis;

use super::{make_home, node_args, plan, status};
use crate::devices::Devices;
use crate::failure::{flag, usage};
use crate::init::{VALIDATOR_POWER, new_genesis};
use crate::output::Output;
use crate::process::on_signal;
use crate::progress::Progress;
use crate::state_export::copy;

/// Time in which a network must make its first block. The JavaScript engine may have to be compiled.
const FIRST_BLOCK: Duration = Duration::from_secs(180);
/// The most validators of a network on one machine.
const MAX_VALIDATORS: usize = 32;
/// Directory of the nodes' homes.
const NODES: &str = "nodes";
const SUPERVISOR_LOG: &str = "supervisor.log";
const PLAN: &str = "localnet.json";
/// The chain's id, unless it is given.
const CHAIN_ID: &str = "capstan-localnet";

/// Arguments of `capstan localnet up`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan localnet up --validators 4 --detach\n\n\
    Without --detach it shows the nodes until Ctrl-C, which stops the network. The homes of the nodes are under nodes/.")]
pub(super) struct Up {
    /// Number of validators of a new network [default: 4, or 1 with solo consensus].
    #[arg(long, value_name = "N")]
    validators: Option<usize>,
    /// Consensus of the nodes: comet (CometBFT) or solo (one validator, in the process of the node).
    #[arg(long, alias = "engine", value_name = "NAME", default_value = "comet")]
    consensus: String,
    /// Chain id of a new network.
    #[arg(long, value_name = "ID", default_value = CHAIN_ID)]
    chain_id: String,
    /// Genesis document for a new network. The nodes of the network replace its validators.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chain_id", "timer", "mailbox"])]
    genesis: Option<PathBuf>,
    #[command(flatten)]
    devices: Devices,
    /// Number of blocks between two snapshots of the state in a new network [default: 1000, as state_sync.interval].
    #[arg(long, value_name = "BLOCKS")]
    snapshot_interval: Option<u64>,
    /// Return after the first block. The network goes on.
    #[arg(long)]
    detach: bool,
}

/// Arguments of `capstan localnet supervise`.
#[derive(clap::Args, Debug)]
pub(super) struct Supervise {}

impl Up {
    pub(super) fn run(self, dir: &Path, output: Output) -> anyhow::Result<()> {
        let consensus = match self.consensus.as_str() {
            "comet" => Consensus::Comet,
            "solo" => Consensus::Solo,
            other => return Err(usage(format!("--consensus {other:?}: choose comet or solo"))),
        };
        if consensus == Consensus::Comet {
            comet::find(None)?;
        }
        let progress = Progress::new("making the nodes' homes");
        match Plan::load(dir)? {
            None => self.make(dir, consensus)?,
            Some(plan) => self.insist_same(&plan, dir)?,
        }
        progress.step("starting the network");
        let mut supervisor = spawn(dir)?;
        let started = wait_for_first_block(dir, &mut supervisor, &progress)?;
        drop(progress);
        status::print(&started, output);
        if self.detach {
            return Ok(());
        }
        let (stop, stopped) = channel::<()>();
        on_signal(move || stop.send(()).unwrap_or_default())?;
        status::follow(dir, output, &stopped)?;
        super::down(dir, output)
    }

    fn make(&self, dir: &Path, consensus: Consensus) -> anyhow::Result<()> {
        let default = if consensus == Consensus::Comet { 4 } else { 1 };
        let count = self.validators.unwrap_or(default);
        if count == 0 || count > MAX_VALIDATORS {
            return Err(usage(format!("--validators {count}: choose 1 to {MAX_VALIDATORS}")));
        }
        if consensus == Consensus::Solo && count != 1 {
            return Err(usage("solo consensus has one validator; use --consensus comet for more"));
        }
        refuse_foreign(dir)?;
        let read = |file| read_genesis(file).with_context(|| flag("--genesis", file));
        let mut genesis = match &self.genesis {
            Some(file) => Genesis { validators: Vec::new(), ..read(file)?.0 },
            None => {
                let mut genesis = new_genesis(&self.chain_id, network_genesis)?;
                self.devices.add_to(&mut genesis)?;
                genesis
            }
        };
        if genesis.app_state.from_state.is_some() {
            return Err(usage("--genesis: a network cannot begin with the state of another chain"));
        }
        let mut plan = Plan::new(&genesis.chain_id, consensus);
        for index in 0..count {
            let node = new_node(dir, &plan, index, true, &genesis)?;
            if consensus == Consensus::Comet {
                let key = CometHome { path: node.home.join("comet") }.validator_key()?;
                genesis.add_validator(&node.name, &key.public_bytes(), VALIDATOR_POWER);
            }
            plan.nodes.push(node);
        }
        for node in &plan.nodes {
            make_home(node.home.clone(), &genesis)?;
            if let Some(interval) = self.snapshot_interval {
                StateSync { interval, ..StateSync::default() }.write(&node.home)?;
            }
        }
        Ok(plan.save(dir)?)
    }

    fn insist_same(&self, plan: &Plan, dir: &Path) -> anyhow::Result<()> {
        let validators = plan.nodes.iter().filter(|node| node.validator).count();
        if let Some(asked) = self.validators.filter(|asked| *asked != validators) {
            bail!(
                "the network in {} has {validators} validators, not {asked}; `capstan localnet reset` removes it",
                dir.display()
            );
        }
        if let Some(first) = plan.nodes.first() {
            self.devices.insist(&read_genesis(&first.home.join(GENESIS))?.0, dir)?;
        }
        if net::call(plan, Command::Status).is_ok() {
            bail!(
                "the network in {} runs already; `capstan localnet status` shows it, --home DIR makes another",
                dir.display()
            );
        }
        Ok(())
    }
}

/// Makes the home of one more node, no validator, for the network in `dir`. With `state_sync` it begins with a snapshot.
pub(super) fn make_node(dir: &Path, plan: &Plan, state_sync: bool) -> anyhow::Result<NodePlan> {
    let first = plan.nodes.first().context("the network has no nodes")?;
    // Asked before anything is made.
    let trusted = state_sync.then(|| super::state_sync::section(plan)).transpose()?;
    let genesis = Genesis::from_json(&fs::read(first.home.join("genesis.json"))?)?;
    let node = new_node(dir, plan, plan.nodes.len(), false, &genesis)?;
    make_home(node.home.clone(), &genesis)?;
    // It executes all blocks: those that the others executed differently too.
    copy(&first.home, &node.home, Path::new(OVERRIDES))?;
    if let Some(section) = trusted {
        section.write(&node.home)?;
    }
    Ok(node)
}

/// Makes the plan and the keys of a node. Its home is not complete yet.
fn new_node(
    dir: &Path,
    plan: &Plan,
    index: usize,
    validator: bool,
    genesis: &Genesis,
) -> anyhow::Result<NodePlan> {
    let name = format!("node{index}");
    let home = dir.join(NODES).join(&name);
    let node_id = match plan.consensus {
        Consensus::Comet => {
            CometHome::make(&home, genesis.app_state.params.max_tx_bytes)?.node_id()?
        }
        Consensus::Solo => String::new(),
    };
    let [rpc, p2p, grpc, rest] = plan.free_addrs()?;
    Ok(NodePlan { name, home, validator, node_id, rpc, p2p, grpc, rest })
}

/// Refuses a directory that holds other files, and removes what an interrupted start left.
fn refuse_foreign(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let name = entry?.file_name();
        if ![NODES, SUPERVISOR_LOG].iter().any(|known| name == *known) {
            bail!(
                "{} is no local network but has {} in it; choose an empty directory with --home",
                dir.display(),
                name.display()
            );
        }
    }
    remove(dir)
}

/// Removes what a network consists of, and nothing else.
pub(super) fn remove(dir: &Path) -> anyhow::Result<()> {
    let gone = |path: PathBuf, result: std::io::Result<()>| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    };
    // The plan goes first: without it the rest is what an interrupted start leaves.
    for file in [PLAN, SUPERVISOR_LOG] {
        gone(dir.join(file), fs::remove_file(dir.join(file)))?;
    }
    gone(dir.join(NODES), fs::remove_dir_all(dir.join(NODES)))
}

/// Starts the supervisor in a process group of its own: Ctrl-C is not for it.
fn spawn(dir: &Path) -> anyhow::Result<Child> {
    let log = dir.join(SUPERVISOR_LOG);
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let program = std::env::current_exe()?;
    let mut command = std::process::Command::new(&program);
    command
        .args(["localnet", "supervise", "--home"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

fn wait_for_first_block(
    dir: &Path,
    supervisor: &mut Child,
    progress: &Progress,
) -> anyhow::Result<status::Status> {
    let mut told = false;
    Deadline::after(FIRST_BLOCK).poll("the first block on all nodes", || {
        if let Some(status) = supervisor.try_wait()? {
            let log = fs::read_to_string(dir.join(SUPERVISOR_LOG)).unwrap_or_default();
            bail!("the network ended ({status}): {}", log.trim());
        }
        let Ok(found) = net::call(&plan(dir)?, Command::Status) else { return Ok(None) };
        if let Some(node) =
            found.nodes.iter().find(|node| matches!(node.state, net::ProcessState::Ended(_)))
        {
            let log = super::logs::tail(&super::logs::own(&node.plan), 12);
            // The others are of no use without it.
            let _ = net::call(&plan(dir)?, Command::Down);
            bail!("{} ended by itself:\n{log}", node.plan.name);
        }
        if !told {
            progress.step("waiting for the first block");
            told = true;
        }
        let status = status::collect(&found);
        // CometBFT tells a height before the application has committed it.
        let ready = |node: &status::Node| node.height >= Some(1) && node.cranks.is_some();
        Ok(status.nodes.iter().all(ready).then_some(status))
    })
}

impl Supervise {
    pub(super) fn run(self, dir: &Path) -> anyhow::Result<()> {
        let program = std::env::current_exe()?;
        let consensus = plan(dir)?.consensus;
        let launcher = |node: &NodePlan, peers: &[String]| Launch {
            program: program.clone(),
            args: node_args(node, consensus, peers),
            log: super::logs::own(node),
        };
        let network = Network::start(dir, &launcher)?;
        let stopper = network.stopper();
        on_signal(move || stopper.stop())?;
        Ok(network.run()?)
    }
}
