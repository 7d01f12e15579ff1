//! The process of one node: `capstan start` on its home, with all that belongs to it.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde::{Deserialize, Serialize};

/// How a node's process is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where its output goes.
    pub log: PathBuf,
}

/// What a node's process is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It was paused.
    Paused,
    /// It was killed or stopped by command.
    Stopped,
    /// It ended by itself: how.
    Ended(String),
}

/// A node's process, or that there is none.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    child: Option<Child>,
    state: State,
}

impl NodeProcess {
    /// No process yet.
    pub(crate) fn none() -> Self {
        Self { child: None, state: State::Stopped }
    }

    /// Starts one. Call it from a thread that lives as long as the network: the process ends with that thread.
    pub(crate) fn start(launch: &Launch) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(&launch.log)?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        // SAFETY: between fork and exec only an async-signal-safe call is made.
        unsafe { command.pre_exec(capstan_consensus::process::die_with_parent) };
        Ok(Self { child: Some(command.spawn()?), state: State::Running })
    }

    /// What it is doing, after a look.
    pub(crate) fn state(&mut self) -> &State {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            self.child = None;
            self.state = State::Ended(describe(status));
        }
        &self.state
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends it at once, as a crash would; CometBFT dies with it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // If it cannot be killed it has ended.
            let _ = child.kill();
            let _ = child.wait();
            self.state = State::Stopped;
        }
    }

    /// Asks it to stop in order.
    pub(crate) fn ask_to_stop(&mut self) {
        self.resume();
        self.signal(libc::SIGTERM);
    }

    /// Stops it and CometBFT where they are.
    pub(crate) fn pause(&mut self) {
        if *self.state() == State::Running {
            self.signal_all(libc::SIGSTOP);
            self.state = State::Paused;
        }
    }

    /// Lets it go on.
    pub(crate) fn resume(&mut self) {
        if *self.state() == State::Paused {
            self.signal_all(libc::SIGCONT);
            self.state = State::Running;
        }
    }

    fn signal(&self, signal: i32) {
        if let Some(pid) = self.pid() {
            capstan_consensus::process::signal(pid, signal);
        }
    }

    /// The node first, so that it does not see its CometBFT stand still.
    fn signal_all(&self, signal: i32) {
        let Some(pid) = self.pid() else { return };
        capstan_consensus::process::signal(pid, signal);
        for child in capstan_consensus::process::children(pid) {
            capstan_consensus::process::signal(child, signal);
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
