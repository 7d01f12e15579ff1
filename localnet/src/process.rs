//! The process of one node: `capstan start` or `capstan dev` on its home, and its children.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use capstan_consensus::process::{self, Signal, spawn_bound};
use serde::{Deserialize, Serialize};

/// The command that starts the node of a [`NodePlan`](crate::NodePlan).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Path of the program.
    pub program: PathBuf,
    /// Arguments of the program.
    pub args: Vec<String>,
    /// File to which its output is appended.
    pub log: PathBuf,
}

/// The state of a node's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// The process runs.
    Running,
    /// The process was suspended.
    Paused,
    /// The process was killed or stopped by a command.
    Stopped,
    /// The process ended by itself. The text says how.
    Ended(String),
}

/// The process of a node, if it runs.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    child: Option<Child>,
    state: ProcessState,
}

impl NodeProcess {
    /// Makes a node that does not run.
    pub(crate) fn none() -> Self {
        Self { child: None, state: ProcessState::Stopped }
    }

    /// Starts the process. It ends with the calling thread, which must live as long as the network.
    pub(crate) fn start(launch: &Launch) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(&launch.log)?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        Ok(Self { child: Some(spawn_bound(&mut command)?), state: ProcessState::Running })
    }

    /// Looks at the process and returns its state.
    pub(crate) fn state(&mut self) -> &ProcessState {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            self.child = None;
            self.state = ProcessState::Ended(describe(status));
        }
        &self.state
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills the process, as a crash would. CometBFT dies with it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // If it cannot be killed it has ended.
            let _ = child.kill();
            let _ = child.wait();
            self.state = ProcessState::Stopped;
        }
    }

    /// Asks the process to stop in order.
    pub(crate) fn ask_to_stop(&mut self) {
        self.resume();
        self.signal(Signal::Term);
    }

    /// Suspends the process and CometBFT.
    pub(crate) fn pause(&mut self) {
        if *self.state() == ProcessState::Running {
            self.signal_all(Signal::Stop);
            self.state = ProcessState::Paused;
        }
    }

    /// Resumes the process and CometBFT.
    pub(crate) fn resume(&mut self) {
        if *self.state() == ProcessState::Paused {
            self.signal_all(Signal::Cont);
            self.state = ProcessState::Running;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            process::signal(pid, signal);
        }
    }

    /// Signals the node first, so that it does not see its CometBFT stand still.
    fn signal_all(&self, signal: Signal) {
        let Some(pid) = self.pid() else { return };
        process::signal(pid, signal);
        for child in process::children(pid) {
            process::signal(child, signal);
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}
