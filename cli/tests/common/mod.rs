//! What the tests of the binary share: running it, and a chain that it runs.
#![allow(dead_code, unreachable_pub)] // each test program uses a part
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests
#![allow(clippy::result_large_err)] // `tonic::Status`

pub mod gateway;
pub mod guide;
pub mod h2;
pub mod names;
pub mod network;
pub mod serve;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use capstan_client::{Client, ClientError, Deadline};
use serde_json::{Value, json};

/// How long anything may take: the first start compiles the JavaScript engine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A directory of a test, with a home that no other test uses.
pub struct Place {
    dir: tempfile::TempDir,
}

/// A running `capstan dev`.
pub struct Dev {
    child: Child,
    lines: Receiver<String>,
    /// The first line that it printed.
    pub ready: Value,
    /// From the start to that line.
    pub start_time: Duration,
}

impl Done {
    /// The standard output, which must be one line of JSON with names in snake case, of a command that succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.stdout.trim_end().lines().count(), 1, "{self:?}");
        let value: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(names::misnamed(&value), [] as [&str; 0], "{self:?}");
        value
    }

    /// That the command failed with this code and said this.
    pub fn assert_failed(&self, code: i32, part: &str) {
        assert!(
            self.code == code && self.stderr.contains(part),
            "expected {code} and {part:?}: {self:?}"
        );
    }
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// The command, not yet run; it works in this place, with its home, and knows no other.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_capstan"));
        command.args(args).current_dir(self.path());
        command
            .env("CAPSTAN_HOME", self.home())
            .env("CAPSTAN_CACHE", cache())
            .env_remove("CAPSTAN_NODE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Done {
        done(self.command(args).output().unwrap())
    }

    /// Runs a command against `dev`.
    pub fn ask(&self, dev: &Dev, args: &[&str]) -> Done {
        done(self.command(args).env("CAPSTAN_NODE", dev.url()).output().unwrap())
    }

    /// Starts `capstan dev` on a free port and waits until it is ready.
    pub fn dev(&self) -> Dev {
        self.dev_at(&self.home(), &[])
    }

    /// The same on another home, with more arguments.
    pub fn dev_at(&self, home: &Path, args: &[&str]) -> Dev {
        let first = ["dev", "--rpc", "127.0.0.1:0", "--json", "--log", "error"];
        self.node_at(home, &[&first[..], args].concat())
    }

    /// Starts `capstan start` on free ports and waits until the first block is committed.
    pub fn comet_at(&self, home: &Path) -> Dev {
        let addrs: Vec<String> = free_addrs(2).iter().map(SocketAddr::to_string).collect();
        let args = ["start", "--rpc", &addrs[0], "--p2p", &addrs[1], "--json", "--log", "error"];
        let node = self.node_at(home, &args);
        let client = Client::new(node.url()).unwrap();
        // CometBFT answers before there is a state.
        let begun = || {
            let info = client.call_json("abci_info", json!({})).ok();
            let height = info
                .and_then(|info| info["response"]["last_block_height"].as_str().map(str::to_owned));
            Ok::<_, ClientError>(height.filter(|height| height != "0"))
        };
        Deadline::after(PATIENCE).poll("the first block", begun).unwrap();
        node
    }

    /// Runs a node on a home until it has printed where it is.
    pub fn node_at(&self, home: &Path, args: &[&str]) -> Dev {
        let mut command = self.command(args);
        command.env("CAPSTAN_HOME", home);
        Self::ready(command)
    }

    /// Starts `capstan dev` with so many descriptors and waits until it is ready.
    pub fn dev_with_descriptors(&self, descriptors: u32, home: &Path) -> Dev {
        let command = self.command(&[]);
        let mut limited = Command::new("sh");
        let script = format!("ulimit -n {descriptors}; exec \"$0\" dev --rpc 127.0.0.1:0 --json");
        limited.args(["-c", &script]).arg(command.get_program()).current_dir(self.path());
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited.env("CAPSTAN_HOME", home);
        limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::ready(limited)
    }

    fn ready(mut command: Command) -> Dev {
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)))
        });
        let first = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let mut said = String::new();
            child.kill().unwrap();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("capstan dev did not become ready: {said}")
        });
        let start_time = began.elapsed();
        Dev { child, lines, ready: serde_json::from_str(&first).unwrap(), start_time }
    }
}

impl Dev {
    /// The number of descriptors that the process has open.
    #[cfg(target_os = "linux")]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub fn url(&self) -> &str {
        self.ready["rpc"].as_str().unwrap()
    }

    /// Waits for its end, which is its own doing: the exit code, and what it said on standard error.
    pub fn ended(mut self) -> (i32, String) {
        let deadline = Instant::now() + PATIENCE;
        // Its standard output ends when it does.
        if let Ok(line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            panic!("printed after it was ready: {line}");
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), said)
    }

    /// Sends a signal, such as `TERM`, and waits for the end. Nothing may have been printed since it was ready.
    pub fn stop(mut self, signal: &str) -> ExitStatus {
        let killed = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", self.child.id())])
            .status()
            .unwrap();
        assert!(killed.success());
        let deadline = Instant::now() + PATIENCE;
        // Its standard output ends when it does.
        if let Ok(line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            panic!("printed after it was ready: {line}");
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn done(output: std::process::Output) -> Done {
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Loopback addresses of nodes that may stop and start again.
pub fn free_addrs(count: usize) -> Vec<SocketAddr> {
    capstan_localnet::free_addrs(count, &BTreeSet::new()).unwrap()
}

/// Where the tests keep the compiled engine.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("capstan-engine")
}

/// The checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The height of a node whose chain has nothing to do: no transaction waits, and the last block changed nothing, so that
/// CometBFT makes none to prove it. None if there is something to do.
pub fn height_at_rest(client: &Client) -> Result<Option<u64>, ClientError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = client.call_json("status", json!({}))?;
    let info = client.call_json("abci_info", json!({}))?;
    let waiting = client.call_json("num_unconfirmed_txs", json!({}))?;
    let base64 = base64::engine::general_purpose::STANDARD;
    let committed = base64.decode(text(&info["response"]["last_block_app_hash"])).unwrap();
    let (sync, response) = (&status["sync_info"], &info["response"]);
    let at_rest = sync["latest_block_height"] == response["last_block_height"]
        && text(&sync["latest_app_hash"]).eq_ignore_ascii_case(&hex::encode(committed))
        && waiting["total"] == "0";
    Ok(at_rest.then(|| text(&sync["latest_block_height"]).parse().unwrap()))
}
