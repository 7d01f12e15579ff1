//! Networks of several nodes on real CometBFT, which `capstan localnet` runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capstan_client::{Client, ClientError, Deadline, Key, Wallet};
use serde_json::{Value, json};

use super::{Done, Place};

/// How long a node may take to begin, or the network to go on.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long a message is waited for before it is sent again.
const ANSWER: Duration = Duration::from_secs(8);

/// A network in a place of its own; removed in the end.
pub struct Network {
    pub place: Place,
    pub rpc: Vec<String>,
}

impl Network {
    pub fn up(validators: &str, interval: &str) -> Self {
        // With a timer there is a block a second. A node that joins may refuse transactions that came a block too early,
        // and would otherwise wait for others.
        let up = ["up", "--validators", validators, "--snapshot-interval", interval, "--timer"];
        Self::up_in(Place::new(), &up)
    }

    /// Makes a network in a place that has its genesis document.
    pub fn up_in(place: Place, up: &[&str]) -> Self {
        let mut network = Self { place, rpc: Vec::new() };
        network.took(&[up, &["--detach"]].concat());
        network
    }

    pub fn run(&self, args: &[&str]) -> Done {
        let dir = self.dir();
        self.place.run(&[&["localnet", "--json", "--home", dir.to_str().unwrap()], args].concat())
    }

    /// Runs a command that prints the network's status.
    pub fn took(&mut self, args: &[&str]) {
        let status: Value = self.run(args).json();
        let nodes = status["nodes"].as_array().unwrap().iter();
        self.rpc = nodes.map(|node| node["rpc"].as_str().unwrap().to_owned()).collect();
    }

    pub fn dir(&self) -> PathBuf {
        self.place.path().join("net")
    }

    pub fn home(&self, node: usize) -> PathBuf {
        self.dir().join("nodes").join(format!("node{node}"))
    }

    pub fn client(&self, node: usize) -> Client {
        Client::with_timeout(&self.rpc[node], ANSWER).unwrap()
    }

    pub fn wallet(&self, node: usize) -> Wallet {
        Wallet::new(&self.client(node), Key::dev(0)).with_timeout(ANSWER)
    }

    /// Waits until a node has this height. Returns its first block's height.
    pub fn reached(&self, node: usize, height: u64) -> u64 {
        let (client, what) = (self.client(node), format!("height {height} on node{node}"));
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
        let found = Deadline::after(PATIENCE).poll(&what, || {
            let Ok(status) = client.call_json("status", json!({})) else {
                return Ok::<_, ClientError>(None);
            };
            let sync = &status["sync_info"];
            let is_there = number(&sync["latest_block_height"]) >= Some(height);
            let is_ready = is_there && sync["catching_up"] == false;
            Ok(is_ready.then(|| number(&sync["earliest_block_height"])).flatten())
        });
        found.unwrap_or_else(|error| panic!("{error}: {}", self.run(&["status"]).stdout))
    }

    /// Waits until the log of a node's CometBFT has a line with all these parts, from the byte `since` on.
    pub fn said(&self, node: usize, since: u64, parts: &[&str]) -> String {
        let what = format!("a line with {parts:?} in the log of node{node}'s cometbft");
        let found = Deadline::after(PATIENCE)
            .poll(&what, || Ok::<_, ClientError>(self.line(node, since, parts)));
        found.unwrap_or_else(|error| panic!("{error}: {}", self.run(&["status"]).stdout))
    }

    /// Returns the first such line, if there is one now.
    pub fn line(&self, node: usize, since: u64, parts: &[&str]) -> Option<String> {
        let log = fs::read(self.home(node).join("comet/cometbft.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(log.get(since as usize..).unwrap_or_default());
        let found = text.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        found.map(str::to_owned)
    }

    /// Returns the length of that log.
    pub fn log_length(&self, node: usize) -> u64 {
        fs::metadata(self.home(node).join("comet/cometbft.log")).map_or(0, |file| file.len())
    }

    /// Returns the log of a node itself.
    pub fn own_log(&self, node: usize) -> String {
        fs::read_to_string(self.home(node).join("node.log")).unwrap_or_default()
    }

    /// Starts a node again after changes to its files.
    pub fn restart(&self, node: usize) {
        self.run(&["restart", &format!("node{node}")]).json();
    }

    pub fn kill(&self, node: usize) {
        self.run(&["kill", &format!("node{node}")]).json();
    }

    pub fn height(&self, node: usize) -> u64 {
        let status = self.client(node).call_json("status", json!({})).unwrap();
        status["sync_info"]["latest_block_height"].as_str().unwrap().parse().unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.run(&["logs", "-n", "30"]).stdout);
        }
        self.run(&["reset"]);
    }
}

/// Takes the blocks from a node, and the state too if `state` says so, but neither its keys nor what it has signed.
pub fn wipe(home: &Path, state: bool) {
    for dir in ["state", "snapshots", "traces"] {
        if state {
            let _ = fs::remove_dir_all(home.join(dir));
        }
    }
    for entry in fs::read_dir(home.join("comet/data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        }
    }
}
