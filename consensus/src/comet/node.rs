//! One node of a network: an ABCI server in this process, and CometBFT in a child process.

use std::fs;
use std::io::{self, PipeWriter};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tendermint_abci::Application;

use crate::process::{self, Signal, spawn_bound};

use super::home::CometHome;
use super::server::AbciServer;
use super::socket::{self, AbciAddr};
use super::watch::{Failure, LogWatch};

/// Environment variable of CometBFT's option `rpc.cors_allowed_origins`.
const CORS_VARIABLE: &str = "CMT_RPC_CORS_ALLOWED_ORIGINS";
/// Directory of the application's socket, in the home of CometBFT.
const SOCKET_DIR: &str = "run";
/// Time in which CometBFT must stop by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval at which a process that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Interval at which the log is checked for a failure of CometBFT's consensus.
const LOOK_AT_LOG_EVERY: Duration = Duration::from_millis(500);
/// Number of lines of CometBFT's log in an error.
const SHOWN_LINES: usize = 8;

/// The configuration of a [`CometNode`].
#[derive(Clone, Debug)]
pub struct CometConfig {
    /// The `cometbft` program, as [`super::find`] returns it.
    pub program: PathBuf,
    /// The files of CometBFT.
    pub home: CometHome,
    /// Name that the node tells its peers.
    pub moniker: String,
    /// Address of CometBFT's JSON-RPC.
    pub rpc: SocketAddr,
    /// Address for peers.
    pub p2p: SocketAddr,
    /// The peers that it keeps connections to, as `ID@IP:PORT`.
    pub peers: Vec<String>,
    /// Whether web pages of any origin may call the JSON-RPC, besides those of `cors_allowed_origins` in `config.toml`.
    pub cors: bool,
    /// Time after which an idle chain makes an empty block, if this node is the proposer. With `None` it makes none.
    pub empty_interval: Option<Duration>,
    /// How a node without blocks begins with a snapshot of its peers. With `None` it begins with the first block.
    pub state_sync: Option<CometStateSync>,
}

/// What CometBFT needs to begin with a snapshot of its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CometStateSync {
    /// JSON-RPC of at least two other nodes, from which it takes headers.
    pub rpc_servers: Vec<String>,
    /// Height of a block that is trusted.
    pub trust_height: u64,
    /// Hash of that block, in hexadecimal digits.
    pub trust_hash: String,
    /// Time for which a block is trusted.
    pub trust_period: Duration,
    /// Time for which peers are asked for snapshots.
    pub discovery: Duration,
}

impl CometStateSync {
    /// Returns the environment variables of CometBFT's options. Chunks wait in the directory `temp`.
    fn variables(&self, temp: &Path) -> [(&'static str, String); 7] {
        [
            ("CMT_STATESYNC_ENABLE", "true".to_owned()),
            ("CMT_STATESYNC_RPC_SERVERS", self.rpc_servers.join(",")),
            ("CMT_STATESYNC_TRUST_HEIGHT", self.trust_height.to_string()),
            ("CMT_STATESYNC_TRUST_HASH", self.trust_hash.clone()),
            ("CMT_STATESYNC_TRUST_PERIOD", format!("{}s", self.trust_period.as_secs())),
            ("CMT_STATESYNC_DISCOVERY_TIME", format!("{}s", self.discovery.as_secs())),
            ("CMT_STATESYNC_TEMP_DIR", temp.display().to_string()),
        ]
    }
}

/// Reason why a [`CometNode`] does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum CometError {
    /// The ABCI server cannot listen.
    #[error("the ABCI server cannot listen on a socket in {}: {source}", home.display())]
    Listen {
        /// Home of CometBFT.
        home: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// CometBFT cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// Path of the program.
        program: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// CometBFT ended by itself.
    #[error("cometbft ended by itself ({status}); the end of {}:\n{tail}{}", log.display(), hint(tail))]
    Ended {
        /// Its exit status.
        status: ExitStatus,
        /// Path of its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The consensus of CometBFT failed. CometBFT goes on without taking part, so it was stopped.
    #[error("cometbft takes no part in consensus any more and was stopped; it says, in {}:\n{said}{}", log.display(), hint(said))]
    Failed {
        /// Path of its log.
        log: PathBuf,
        /// The line that says so.
        said: String,
    },
    /// State sync ended without a state. CometBFT goes on without a height, so it was stopped.
    #[error("state sync ended without a state, and cometbft was stopped; it says, in {}:\n{said}", log.display())]
    StateSync {
        /// Path of its log.
        log: PathBuf,
        /// The line that says so.
        said: String,
    },
}

/// Returns an explanation of what CometBFT logged at its end, if there is one.
fn hint(tail: &str) -> &'static str {
    const HASH: &str = "\nThis node's app hash is not the one that the others agreed on: its state or its program differs from theirs. \
        Do not restart it as it is; `capstan debug bisect THIS_HOME OTHER_HOME` finds the first crank that differs.";
    const PORT: &str = "\nAnother program has one of its ports: choose others.";
    match tail {
        _ if tail.contains("AppHash") => HASH,
        _ if tail.contains("address already in use") => PORT,
        _ => "",
    }
}

/// A running node under CometBFT. Dropping it stops CometBFT.
#[derive(Debug)]
pub struct CometNode {
    child: Arc<Mutex<Child>>,
    server: AbciServer,
    config: CometConfig,
    watch: LogWatch,
}

/// Stops a [`CometNode`] from another thread.
#[derive(Clone, Debug)]
pub struct CometStopper(Arc<Mutex<Child>>);

impl CometNode {
    /// Starts serving `app` on a socket that nobody else can reach, and CometBFT on it.
    ///
    /// # Errors
    /// [`CometError::Listen`], [`CometError::Spawn`].
    pub fn start(app: impl Application, config: CometConfig) -> Result<Self, CometError> {
        let server = socket::private_addr(&config.home.path, SOCKET_DIR)
            .and_then(|addr| AbciServer::start(app, &addr))
            .map_err(|source| CometError::Listen { home: config.home.path.clone(), source })?;
        let spawned = LogWatch::start(config.home.log())
            .and_then(|(watch, output)| Ok((watch, spawn(&config, server.addr(), output)?)));
        let (watch, child) = spawned
            .map_err(|source| CometError::Spawn { program: config.program.clone(), source })?;
        Ok(Self { child: Arc::new(Mutex::new(child)), server, config, watch })
    }

    /// Returns the process id of CometBFT.
    pub fn pid(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Returns the address of the application's ABCI server.
    pub fn abci(&self) -> &AbciAddr {
        self.server.addr()
    }

    /// Returns a handle that stops the node from elsewhere.
    pub fn stopper(&self) -> CometStopper {
        CometStopper(Arc::clone(&self.child))
    }

    /// Waits until CometBFT ends.
    ///
    /// # Errors
    /// [`CometError::Ended`] if CometBFT ended without being told to. [`CometError::Failed`] if its consensus failed.
    /// [`CometError::StateSync`] if state sync ended without a state.
    pub fn wait(mut self) -> Result<(), CometError> {
        let status = loop {
            if let Some(status) = wait(&self.child, Some(LOOK_AT_LOG_EVERY)) {
                break status;
            }
            if let Some(failure) = self.watch.failure() {
                self.stopper().stop();
                let log = self.watch.path().to_owned();
                return Err(match failure {
                    Failure::Consensus(said) => CometError::Failed { log, said },
                    Failure::StateSync(said) => CometError::StateSync { log, said },
                });
            }
        };
        // CometBFT ends with 0 after SIGTERM.
        if status.success() {
            return Ok(());
        }
        self.watch.finish();
        let log = self.config.home.log();
        Err(CometError::Ended { status, tail: tail(&log), log })
    }
}

impl Drop for CometNode {
    fn drop(&mut self) {
        self.stopper().stop();
    }
}

impl CometStopper {
    /// Asks CometBFT to stop, waits for it, and kills it if it takes too long. Does nothing if CometBFT has ended.
    pub fn stop(&self) {
        {
            let mut child = lock(&self.0);
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            process::signal(child.id(), Signal::Term);
        }
        if wait(&self.0, Some(STOP_TIMEOUT)).is_none() {
            // If it cannot be killed it has ended.
            let _ = lock(&self.0).kill();
            wait(&self.0, None);
        }
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the end of the process. Returns `None` if it has not ended after `timeout`.
fn wait(child: &Mutex<Child>, timeout: Option<Duration>) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Ok(Some(status)) = lock(child).try_wait() {
            return Some(status);
        }
        if timeout.is_some_and(|timeout| began.elapsed() > timeout) {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Starts CometBFT with its output going to `output`. No end of that pipe stays in this process.
fn spawn(config: &CometConfig, abci: &AbciAddr, output: PipeWriter) -> io::Result<Child> {
    let empty_interval = config.empty_interval.unwrap_or_default();
    let mut command = Command::new(&config.program);
    if config.cors {
        command.env(CORS_VARIABLE, "*");
    }
    let temp = config.home.clear_chunks()?;
    if let Some(state_sync) = &config.state_sync {
        command.envs(state_sync.variables(&temp));
    }
    command
        .arg("start")
        .arg("--home")
        .arg(&config.home.path)
        .arg(format!("--proxy_app={abci}"))
        .arg(format!("--moniker={}", config.moniker))
        .arg(format!("--rpc.laddr=tcp://{}", config.rpc))
        .arg(format!("--p2p.laddr=tcp://{}", config.p2p))
        .arg(format!("--p2p.persistent_peers={}", config.peers.join(",")))
        // Zero: never. (CometBFT waits that long for transactions also where it is not to make empty blocks.)
        .arg(format!("--consensus.create_empty_blocks_interval={}ms", empty_interval.as_millis()))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // A Ctrl-C in the terminal is for the node as a whole, which then stops CometBFT in order.
        .process_group(0);
    spawn_bound(&mut command)
}

/// Returns the last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(SHOWN_LINES).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[derive(Clone)]
    struct Nothing;

    impl Application for Nothing {}

    /// A node whose CometBFT is a script.
    fn node(dir: &Path, script: &str) -> CometNode {
        let program = dir.join("cometbft");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let config = CometConfig {
            program,
            home: CometHome::make(dir, 1 << 20).unwrap(),
            moniker: "test".to_owned(),
            rpc: SocketAddr::from(([127, 0, 0, 1], 1)),
            p2p: SocketAddr::from(([127, 0, 0, 1], 2)),
            peers: vec![],
            cors: false,
            empty_interval: None,
            state_sync: None,
        };
        CometNode::start(Nothing, config).unwrap()
    }

    #[test]
    fn a_node_does_not_live_on_when_its_consensus_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let said = "E[x] CONSENSUS FAILURE!!! err=\"+2/3 committed an invalid block: wrong Block.Header.AppHash\"";
        let node = node(dir.path(), &format!("echo '{said}'; exec sleep 600"));
        let stopper = node.stopper();
        let error = node.wait().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, CometError::Failed { .. }), "{text}");
        assert!(text.contains("takes no part") && text.contains("capstan debug bisect"), "{text}");
        assert!(matches!(lock(&stopper.0).try_wait(), Ok(Some(_))), "cometbft was stopped");
    }

    #[test]
    fn a_node_does_not_live_on_without_a_state_when_state_sync_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let said = "E[x] State sync failed    module=statesync err=\"state sync aborted\"";
        let node = node(dir.path(), &format!("echo '{said}'; exec sleep 600"));
        let stopper = node.stopper();
        let error = node.wait().unwrap_err();
        assert!(matches!(error, CometError::StateSync { .. }), "{error}");
        assert!(error.to_string().contains("state sync aborted"), "{error}");
        assert!(matches!(lock(&stopper.0).try_wait(), Ok(Some(_))), "cometbft was stopped");
    }

    #[test]
    fn a_node_that_ends_says_what_its_log_says() {
        let dir = tempfile::tempdir().unwrap();
        let error = node(dir.path(), "echo 'panic: out of tea'; exit 3").wait().unwrap_err();
        assert!(error.to_string().contains("out of tea"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        node(dir.path(), "exit 0").wait().unwrap();
    }
}
