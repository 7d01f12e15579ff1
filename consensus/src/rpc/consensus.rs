//! The state of consensus. Solo consensus has no rounds: it waits for transactions in round 0 of the next height.

use serde_json::{Value, json};
use tendermint_proto::v0_38::types::{BlockMeta, Commit};

use super::call::Answer;
use super::context::RpcContext;
use super::json;
use super::params::Params;

/// CometBFT's step `NewRound`, in which it waits for transactions.
const NEW_ROUND: u8 = 2;

pub(crate) fn state(node: &RpcContext, _: &Params) -> Answer {
    let head = node.feed.head().height;
    let time = json::time(time_of(node, head)?);
    Ok(json!({"round_state": {
        "height/round/step": format!("{}/0/{NEW_ROUND}", head + 1),
        "start_time": time,
        "proposal_block_hash": "",
        "locked_block_hash": "",
        "valid_block_hash": "",
        "height_vote_set": no_votes(node),
        "proposer": {"address": node.validator.key.address().to_string(), "index": 0},
    }}))
}

pub(crate) fn dump(node: &RpcContext, _: &Params) -> Answer {
    let head = node.feed.head().height;
    let time = json::time(time_of(node, head)?);
    let validator = json::validator(&node.validator);
    let set = json!({"validators": [validator], "proposer": validator});
    Ok(json!({
        "round_state": {
            "height": (head + 1).to_string(),
            "round": 0,
            "step": NEW_ROUND,
            "start_time": time,
            "commit_time": time,
            "validators": set,
            "proposal": null,
            "proposal_block": null,
            "proposal_block_parts": null,
            "locked_round": -1,
            "locked_block": null,
            "locked_block_parts": null,
            "valid_round": -1,
            "valid_block": null,
            "valid_block_parts": null,
            "votes": no_votes(node),
            "commit_round": -1,
            "last_commit": last_commit(node, head)?,
            "last_validators": set,
            "triggered_timeout_precommit": false,
        },
        "peers": [],
    }))
}

fn time_of(
    node: &RpcContext,
    height: i64,
) -> Result<Option<tendermint_proto::google::protobuf::Timestamp>, super::error::RpcError> {
    let meta: Option<BlockMeta> = node.store.block_meta(height)?;
    Ok(meta.and_then(|meta| meta.header).and_then(|header| header.time))
}

/// The votes of the current round and of the one after it.
fn no_votes(node: &RpcContext) -> Value {
    let bits = format!("BA{{1:_}} 0/{} = 0.00", node.validator.power);
    let round = |round: u8| {
        json!({
            "round": round,
            "prevotes": ["nil-Vote"],
            "prevotes_bit_array": bits,
            "precommits": ["nil-Vote"],
            "precommits_bit_array": bits,
        })
    };
    json!([round(0), round(1)])
}

/// The vote for the last block, as CometBFT writes it in one line.
fn last_commit(node: &RpcContext, head: i64) -> Answer {
    let Some(commit) = node.store.seen_commit(head)? else { return Ok(Value::Null) };
    let power = node.validator.power;
    Ok(json!({
        "votes": commit.signatures.iter().map(|vote| line(&commit, vote)).collect::<Value>(),
        "votes_bit_array": format!("BA{{1:x}} {power}/{power} = 1.00"),
        "peer_maj_23s": {},
    }))
}

fn line(commit: &Commit, vote: &tendermint_proto::v0_38::types::CommitSig) -> String {
    /// Bytes of a hash that are shown.
    const SHOWN: usize = 6;
    let short = |bytes: &[u8]| json::hash(bytes.get(..SHOWN).unwrap_or(bytes));
    let id = commit.block_id.clone().unwrap_or_default();
    format!(
        "Vote{{0:{} {}/{:02}/SIGNED_MSG_TYPE_PRECOMMIT(Precommit) {} {} 000000000000 @ {}}}",
        short(&vote.validator_address),
        commit.height,
        commit.round,
        short(&id.hash),
        short(&vote.signature),
        json::time(vote.timestamp),
    )
}
