//! The process that owns a network. It starts the nodes, keeps the links between them, and executes commands. When it
//! ends, all nodes end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::control::{self, Command, NodeStatus, Order, Reply, Status};
use crate::link::Link;
use crate::process::{Launch, NodeProcess, ProcessState};
use crate::{Consensus, NetError, NodePlan, Plan, Supervisor};

/// Time in which nodes must stop in order.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time in which the client of [`Command::Down`] must read the reply.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval at which the supervisor looks for nodes that ended by themselves.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// A function that returns the command for a node and its peers (`ID@IP:PORT`).
pub type Launcher<'a> = dyn Fn(&NodePlan, &[String]) -> Launch + 'a;

/// A network of which this process is the supervisor.
pub struct Network<'a> {
    dir: PathBuf,
    plan: Plan,
    launcher: &'a Launcher<'a>,
    processes: BTreeMap<String, NodeProcess>,
    /// Links by the names of the node that dials and of the one that is dialled.
    links: BTreeMap<(String, String), Link>,
    orders: Receiver<Order>,
    own: Sender<Order>,
}

/// Ends a [`Network`] from another thread, as a signal does.
#[derive(Clone, Debug)]
pub struct NetStopper(Sender<Order>);

impl NetStopper {
    /// Stops all nodes in order. [`Network::run`] returns then.
    pub fn stop(&self) {
        // Nobody waits for the answer, and a network that has ended needs no order.
        let _ = self.0.send(Order::without_reply(Command::Down));
    }
}

impl<'a> Network<'a> {
    /// Starts the nodes of the network in `dir`. The calling thread must live as long as the network.
    ///
    /// # Errors
    /// [`NetError`]: no plan, a supervisor that runs already, a process that cannot be started.
    pub fn start(dir: &Path, launcher: &'a Launcher) -> Result<Self, NetError> {
        let plan = Plan::load(dir)?.ok_or_else(|| NetError::NoNetwork(dir.to_owned()))?;
        if control::call(&plan, Command::Status).is_ok() {
            return Err(NetError::AlreadyRuns(dir.to_owned()));
        }
        let (own, orders) = channel();
        let mut network = Self {
            dir: dir.to_owned(),
            plan,
            launcher,
            processes: BTreeMap::new(),
            links: BTreeMap::new(),
            orders,
            own,
        };
        for node in network.plan.nodes.clone() {
            network.link(&node)?;
            network.start_node(&node)?;
        }
        let token = token()?;
        let control =
            control::listen(token.clone(), network.own.clone()).map_err(NetError::Ports)?;
        network.plan.supervisor = Some(Supervisor { pid: std::process::id(), control, token });
        network.plan.save(dir)?;
        Ok(network)
    }

    /// Returns a handle that ends the network from another thread.
    pub fn stopper(&self) -> NetStopper {
        NetStopper(self.own.clone())
    }

    /// Executes commands until [`Command::Down`].
    ///
    /// # Errors
    /// [`NetError::Plan`] if the plan cannot be written at the end.
    pub fn run(mut self) -> Result<(), NetError> {
        loop {
            match self.orders.recv_timeout(WATCH_EVERY) {
                Err(RecvTimeoutError::Timeout) => self.watch(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(Order { command: Command::Down, reply, written }) => {
                    self.stop_all();
                    self.plan.supervisor = None;
                    let saved = self.plan.save(&self.dir);
                    // The client may have gone away.
                    let _ = reply.send(Reply::Done(self.status()));
                    // The answer is written by another thread, which ends with this one's process.
                    let _ = written.recv_timeout(ANSWER_TIMEOUT);
                    return saved;
                }
                Ok(Order { command, reply, .. }) => {
                    let answer = match self.execute(command) {
                        Ok(()) => Reply::Done(self.status()),
                        Err(error) => Reply::Refused(error.to_string()),
                    };
                    // The client may have gone away.
                    let _ = reply.send(answer);
                }
            }
        }
    }

    fn execute(&mut self, command: Command) -> Result<(), NetError> {
        match command {
            Command::Status | Command::Down => {}
            Command::Kill { nodes } => self.each(&nodes, NodeProcess::kill)?,
            Command::Pause { nodes } => self.each(&nodes, NodeProcess::pause)?,
            Command::Resume { nodes } => self.each(&nodes, NodeProcess::resume)?,
            Command::Restart { nodes } => {
                for node in self.named(&nodes)? {
                    self.stop_node(&node.name);
                    self.start_node(&node)?;
                }
            }
            Command::Partition { nodes } => {
                let inside = self.named(&nodes)?;
                let is_inside = |name: &str| inside.iter().any(|node| node.name == name);
                for ((from, to), link) in &self.links {
                    if is_inside(from) != is_inside(to) {
                        link.set_cut(true);
                    }
                }
            }
            Command::Heal { nodes } => {
                let healed = self.named(&nodes)?;
                for ((from, to), link) in &self.links {
                    if healed.iter().any(|node| node.name == *from || node.name == *to) {
                        link.set_cut(false);
                    }
                }
            }
            Command::Add { node } => self.add(node)?,
        }
        Ok(())
    }

    fn add(&mut self, node: NodePlan) -> Result<(), NetError> {
        if self.plan.consensus == Consensus::Solo {
            return Err(NetError::SoloPeers);
        }
        self.plan.nodes.push(node.clone());
        self.plan.save(&self.dir)?;
        self.link(&node)?;
        self.start_node(&node)
    }

    /// Makes the links by which the node dials those before it.
    fn link(&mut self, node: &NodePlan) -> Result<(), NetError> {
        for other in self.plan.nodes.iter().take_while(|other| other.name != node.name) {
            let link = Link::start(other.p2p).map_err(NetError::Ports)?;
            self.links.insert((node.name.clone(), other.name.clone()), link);
        }
        Ok(())
    }

    fn start_node(&mut self, node: &NodePlan) -> Result<(), NetError> {
        let mut peers = Vec::new();
        for other in &self.plan.nodes {
            if let Some(link) = self.links.get(&(node.name.clone(), other.name.clone())) {
                peers.push(format!("{}@{}", other.node_id, link.addr()));
            }
        }
        let launch = (self.launcher)(node, &peers);
        let process = NodeProcess::start(&launch)
            .map_err(|source| NetError::Spawn { node: node.name.clone(), source })?;
        self.processes.insert(node.name.clone(), process);
        Ok(())
    }

    /// Stops a node in order, and kills it if that takes too long.
    fn stop_node(&mut self, name: &str) {
        let Some(process) = self.processes.get_mut(name) else { return };
        process.ask_to_stop();
        wait(&mut [process]);
        process.kill();
    }

    fn stop_all(&mut self) {
        self.links.values().for_each(|link| link.set_cut(false));
        let mut all: Vec<&mut NodeProcess> = self.processes.values_mut().collect();
        all.iter_mut().for_each(|process| process.ask_to_stop());
        wait(&mut all);
        all.iter_mut().for_each(|process| process.kill());
    }

    fn each(&mut self, names: &[String], act: fn(&mut NodeProcess)) -> Result<(), NetError> {
        for node in self.named(names)? {
            act(self.processes.entry(node.name).or_insert_with(NodeProcess::none));
        }
        Ok(())
    }

    /// Returns the nodes of these names, or all if there are no names.
    fn named(&self, names: &[String]) -> Result<Vec<NodePlan>, NetError> {
        if names.is_empty() {
            return Ok(self.plan.nodes.clone());
        }
        names.iter().map(|name| self.plan.node(name).cloned()).collect()
    }

    fn status(&mut self) -> Status {
        let processes = &mut self.processes;
        let node = |plan: &NodePlan| {
            let process = processes.entry(plan.name.clone()).or_insert_with(NodeProcess::none);
            NodeStatus { plan: plan.clone(), state: process.state().clone(), pid: process.pid() }
        };
        let nodes = self.plan.nodes.iter().map(node).collect();
        let cut = self.links.iter().filter(|(_, link)| link.is_cut());
        Status { nodes, cut: cut.map(|(ends, _)| ends.clone()).collect() }
    }

    /// Logs nodes that ended by themselves.
    fn watch(&mut self) {
        for (name, process) in &mut self.processes {
            let ran = process.pid().is_some();
            if let (true, ProcessState::Ended(how)) = (ran, process.state()) {
                tracing::warn!(node = %name, %how, "a node ended by itself");
            }
        }
    }
}

impl std::fmt::Debug for Network<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Waits until all have ended, or for [`STOP_TIMEOUT`].
fn wait(processes: &mut [&mut NodeProcess]) {
    let began = Instant::now();
    let runs = |process: &mut &mut NodeProcess| *process.state() == ProcessState::Running;
    while processes.iter_mut().any(runs) && began.elapsed() < STOP_TIMEOUT {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Makes a token of 128 random bits.
fn token() -> Result<String, NetError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| NetError::Ports(std::io::Error::other(error.to_string())))?;
    Ok(hex::encode(bytes))
}
