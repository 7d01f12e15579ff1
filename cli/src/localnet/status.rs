//! The status of a network's nodes: their processes and what their RPC reports.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use capstan_client::Client;
use capstan_localnet::{self as net, Command, NodeStatus, ProcessState};
use serde::Serialize;
use serde_json::{Value, json};
use tendermint::Time;

use super::plan;
use crate::output::{self, Output};
use crate::process::on_signal;

/// Time in which a node must answer.
const PATIENCE: Duration = Duration::from_millis(1500);
const EVERY: Duration = Duration::from_secs(1);

/// The status of a network.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) nodes: Vec<Node>,
    /// The links that are cut.
    cut: Vec<(String, String)>,
    /// Method by which partitions are made.
    partitions_by: &'static str,
}

/// The status of a node. Unknown values are `null`.
#[derive(Debug, Serialize)]
pub(super) struct Node {
    pub(super) name: String,
    validator: bool,
    state: String,
    pub(super) height: Option<u64>,
    app_hash: Option<String>,
    peers: Option<u64>,
    mempool: Option<u64>,
    last_block: Option<String>,
    pub(super) cranks: Option<u64>,
    rpc: String,
    grpc: String,
    rest: String,
    home: String,
    pid: Option<u32>,
}

impl Node {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "running" | "catching up")
    }
}

/// Asks all nodes at once, and returns their [`Status`].
pub(super) fn collect(status: &net::Status) -> Status {
    let nodes = std::thread::scope(|scope| {
        let asked: Vec<_> =
            status.nodes.iter().map(|node| scope.spawn(move || ask(node))).collect();
        asked
            .into_iter()
            .zip(&status.nodes)
            .map(|(thread, node)| {
                thread
                    .join()
                    .unwrap_or_else(|_| describe(node, &Value::Null, &Value::Null, None, None))
            })
            .collect()
    });
    Status { nodes, cut: status.cut.clone(), partitions_by: "links" }
}

fn ask(node: &NodeStatus) -> Node {
    if node.state != ProcessState::Running {
        return describe(node, &Value::Null, &Value::Null, None, None);
    }
    let client = Client::with_timeout(&node.plan.rpc.to_string(), PATIENCE);
    let Ok(client) = client else {
        return describe(node, &Value::Null, &Value::Null, None, None);
    };
    let call = |method| client.call_json(method, json!({})).unwrap_or_default();
    let status = call("status");
    if status.is_null() {
        return describe(node, &status, &Value::Null, None, None);
    }
    let mempool = number(&call("num_unconfirmed_txs")["total"]);
    let cranks = client.kernel_stats().ok().map(|stats| stats.cranks);
    describe(node, &status, &call("net_info"), mempool, cranks)
}

fn describe(
    node: &NodeStatus,
    status: &Value,
    net_info: &Value,
    mempool: Option<u64>,
    cranks: Option<u64>,
) -> Node {
    let sync = &status["sync_info"];
    Node {
        name: node.plan.name.clone(),
        validator: node.plan.validator,
        state: match &node.state {
            ProcessState::Running if sync["catching_up"] == true => "catching up".to_owned(),
            ProcessState::Running => "running".to_owned(),
            ProcessState::Paused => "paused".to_owned(),
            ProcessState::Stopped => "stopped".to_owned(),
            ProcessState::Ended(how) => format!("ended: {how}"),
        },
        height: number(&sync["latest_block_height"]),
        app_hash: sync["latest_app_hash"].as_str().map(str::to_owned),
        peers: number(&net_info["n_peers"]),
        mempool,
        last_block: sync["latest_block_time"].as_str().map(str::to_owned),
        cranks,
        rpc: format!("http://{}", node.plan.rpc),
        grpc: node.plan.grpc.to_string(),
        rest: format!("http://{}", node.plan.rest),
        home: node.plan.home.display().to_string(),
        pid: node.pid,
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

/// Prints a [`Status`] as a table or as JSON.
pub(super) fn print(status: &Status, output: Output) {
    let record = serde_json::to_value(status).unwrap_or_default();
    let rows: Vec<Value> = status.nodes.iter().map(row).collect();
    let columns =
        ["node", "state", "height", "app_hash", "peers", "mempool", "last_block", "cranks", "rpc"];
    output.list(&record, &rows, &columns);
    if !status.cut.is_empty() && !output.is_json() {
        let cut: Vec<_> = status.cut.iter().map(|(a, b)| format!("{b}–{a}")).collect();
        output::say(&format!("cut links: {}", cut.join(", ")));
    }
}

/// A node as a line of the table.
fn row(node: &Node) -> Value {
    let age = node.last_block.as_deref().and_then(age);
    json!({
        "node": if node.validator { node.name.clone() } else { format!("{} (follows)", node.name) },
        "state": node.state,
        "height": node.height,
        "app_hash": node.app_hash.as_deref().map(|hash| hash.get(..12).unwrap_or(hash)),
        "peers": node.peers,
        "mempool": node.mempool,
        "last_block": age,
        "cranks": node.cranks,
        "rpc": node.rpc,
    })
}

/// Renders how long ago a time was, for people.
fn age(time: &str) -> Option<String> {
    let passed = Time::now().duration_since(Time::parse_from_rfc3339(time).ok()?).ok()?;
    Some(match passed.as_secs() {
        0..=119 => format!("{:.1} s ago", passed.as_secs_f64()),
        seconds @ 120..=7199 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    })
}

/// Prints the [`Status`] of a network once.
pub(super) fn show(dir: &Path, again: bool, output: Output) -> anyhow::Result<()> {
    if !again {
        print(&collect(&net::call(&plan(dir)?, Command::Status)?), output);
        return Ok(());
    }
    let (stop, stopped) = channel::<()>();
    on_signal(move || stop.send(()).unwrap_or_default())?;
    follow(dir, output, &stopped)
}

/// Shows the nodes every second until something comes through `stopped`, or the network ends.
pub(super) fn follow(dir: &Path, output: Output, stopped: &Receiver<()>) -> anyhow::Result<()> {
    let in_place = std::io::stdout().is_terminal() && !output.is_json();
    loop {
        if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            return Ok(());
        }
        let status = collect(&net::call(&plan(dir)?, Command::Status)?);
        if in_place {
            output::clear()?;
        }
        print(&status, output);
        if in_place {
            output::say("Ctrl-C ends this.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_for_people() {
        let ago = |seconds| {
            let then = Time::now() - Duration::from_secs(seconds);
            age(&then.unwrap().to_rfc3339()).unwrap()
        };
        assert!(ago(3).starts_with("3.") && ago(3).ends_with(" s ago"));
        assert_eq!((ago(180), ago(7300)), ("3 min ago".to_owned(), "2 h ago".to_owned()));
        assert_eq!(age("yesterday"), None);
    }
}
