//! The beginning of a new node with a snapshot of the others.

use std::time::Duration;

use anyhow::bail;
use capstan_app::sync::Snapshots;
use capstan_client::Client;
use capstan_localnet::Plan;
use capstan_node::config::StateSync;
use capstan_node::home::SNAPSHOTS;
use serde_json::json;

/// Time in which a node must answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the options by which a new node begins with a snapshot: it trusts the last block of a node that runs.
pub(super) fn section(plan: &Plan) -> anyhow::Result<StateSync> {
    let mut servers = Vec::new();
    let mut trusted = None;
    for node in &plan.nodes {
        let rpc = node.rpc.to_string();
        let client = Client::with_timeout(&rpc, PATIENCE)?;
        let Ok(commit) = client.call_json("commit", json!({})) else { continue };
        let signed = &commit["signed_header"];
        let height = signed["header"]["height"].as_str().and_then(|text| text.parse().ok());
        let hash = signed["commit"]["block_id"]["hash"].as_str();
        if let (Some(height), Some(hash)) = (height, hash) {
            trusted.get_or_insert((height, hash.to_owned()));
            servers.push(rpc);
        }
    }
    let Some((trust_height, trust_hash)) = trusted else {
        bail!("no node of the network answers, so there is no block to trust");
    };
    if !has_snapshot(plan)? {
        bail!(
            "no node of the network has a snapshot yet; they write one every state_sync.interval blocks, an option in the config.toml of their homes"
        );
    }
    // CometBFT compares two servers. A network of one node has the same one twice.
    if let [only] = servers.as_slice() {
        servers.push(only.clone());
    }
    Ok(StateSync {
        enable: true,
        rpc_servers: servers.join(","),
        trust_height,
        trust_hash,
        discovery_seconds: 5,
        ..StateSync::default()
    })
}

fn has_snapshot(plan: &Plan) -> anyhow::Result<bool> {
    for node in &plan.nodes {
        if !Snapshots::new(node.home.join(SNAPSHOTS)).heights()?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
