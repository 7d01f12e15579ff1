//! The events of the round in which CometBFT would have agreed on a block, with one validator.
//!
//! Solo consensus has no rounds, but clients of CometBFT wait for these events. Round 0 always succeeds.

use serde_json::{Value, json};
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::types::{Header, SignedMsgType};

use super::context::Committed;
use super::events::{BusEvent, of_consensus};
use super::json;
use crate::chain::commit;

/// Returns the events before the block is committed, in CometBFT's order.
pub(super) fn before(committed: &Committed, header: &Header) -> Vec<BusEvent> {
    let height = header.height;
    let step = |step: &str| round_state("NewRoundStep", height, step);
    let mut complete = state_of(height, "RoundStepPropose");
    complete["block_id"] = json::block_id(&committed.block_id);
    vec![
        step("RoundStepPropose"),
        of_consensus("CompleteProposal", "CompleteProposal", &complete),
        step("RoundStepPrevote"),
        vote(committed, header, SignedMsgType::Prevote),
        round_state("ValidBlock", height, "RoundStepPrevote"),
        round_state("Polka", height, "RoundStepPrevote"),
        round_state("Lock", height, "RoundStepPrevote"),
        step("RoundStepPrecommit"),
        vote(committed, header, SignedMsgType::Precommit),
        step("RoundStepCommit"),
    ]
}

/// Returns the events after it, which are those of the next height.
pub(super) fn after(committed: &Committed, header: &Header) -> [BusEvent; 2] {
    let height = header.height + 1;
    let mut round = state_of(height, "RoundStepNewRound");
    let proposer = committed.author.validator.key.address().to_string();
    round["proposer"] = json!({"address": proposer, "index": 0});
    [
        round_state("NewRoundStep", height, "RoundStepNewHeight"),
        of_consensus("NewRound", "NewRound", &round),
    ]
}

fn state_of(height: i64, step: &str) -> Value {
    json!({"height": height.to_string(), "round": 0, "step": step})
}

fn round_state(kind: &str, height: i64, step: &str) -> BusEvent {
    of_consensus(kind, "RoundState", &state_of(height, step))
}

/// The validator's vote for the block. The precommit is the one that is in the next block's commit.
fn vote(committed: &Committed, header: &Header, kind: SignedMsgType) -> BusEvent {
    let seen = committed.seen.signatures.first().cloned().unwrap_or_default();
    let time: Timestamp = seen.timestamp.unwrap_or_default();
    let author = &committed.author;
    let signature = match kind {
        SignedMsgType::Prevote => commit::sign(
            &author.validator.key,
            &author.chain_id,
            kind,
            header.height,
            &committed.block_id,
            time,
        ),
        _ => seen.signature,
    };
    let vote = json!({
        "type": i32::from(kind),
        "height": header.height.to_string(),
        "round": 0,
        "block_id": json::block_id(&committed.block_id),
        "timestamp": json::time(Some(time)),
        "validator_address": json::hash(&seen.validator_address),
        "validator_index": 0,
        "signature": json::base64(&signature),
        "extension": null,
        "extension_signature": null,
    });
    of_consensus("Vote", "Vote", &json!({"Vote": vote}))
}
