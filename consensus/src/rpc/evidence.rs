//! Evidence of a validator's misbehavior. The one validator of solo consensus signs one block per height, so there is none.

use serde_json::Value;

use super::call::Answer;
use super::context::RpcContext;
use super::error::RpcError;
use super::params::Params;

pub(crate) fn broadcast(_: &RpcContext, params: &Params) -> Answer {
    let Some(evidence) = params.evidence("evidence") else {
        return Err(RpcError::internal("no evidence was provided"));
    };
    let value = &evidence["value"];
    let is_empty = |name: &str| value.get(name).is_none_or(Value::is_null);
    let fault = match evidence["type"].as_str() {
        Some("tendermint/DuplicateVoteEvidence") if is_empty("vote_a") && is_empty("vote_b") => {
            "one or both of the votes are empty nil-Vote, nil-Vote"
        }
        Some("tendermint/LightClientAttackEvidence") if is_empty("ConflictingBlock") => {
            "conflicting block is nil"
        }
        _ => {
            let why = "failed to add evidence: solo consensus has one validator, of which it takes no evidence";
            return Err(RpcError::internal(why));
        }
    };
    Err(RpcError::internal(format!("evidence.ValidateBasic failed: {fault}")))
}
