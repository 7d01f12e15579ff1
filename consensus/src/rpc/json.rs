//! CometBFT 0.38's JSON: 64-bit integers as texts, hashes and addresses as upper-case hexadecimal,
//! other bytes as base64 (null if there are none), times as RFC 3339.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Value, json};
use tendermint::Time;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::{
    Event, ExecTxResult, ResponseCheckTx, ResponseFinalizeBlock, ResponseQuery, ValidatorUpdate,
};
use tendermint_proto::v0_38::crypto::{Proof, ProofOp, ProofOps, PublicKey, public_key};
use tendermint_proto::v0_38::types::{Block, BlockId, BlockMeta, Commit, ConsensusParams, Header};
use tendermint_proto::v0_38::version::Consensus;

use super::json_tx::{Events, TxResult};
use crate::chain::execution::{Validator, txs_of};

/// CometBFT's text for Go's zero time.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

pub(crate) fn hash(bytes: &[u8]) -> String {
    hex::encode_upper(bytes)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(crate) fn base64_or_null(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Null } else { base64(bytes).into() }
}

pub(crate) fn time(time: Option<Timestamp>) -> String {
    let time = time.and_then(|time| Time::try_from(time).ok());
    time.map_or_else(|| ZERO_TIME.to_owned(), |time| time.to_rfc3339())
}

pub(crate) fn block_id(id: &BlockId) -> Value {
    let parts = id.part_set_header.clone().unwrap_or_default();
    json!({"hash": hash(&id.hash), "parts": {"total": parts.total, "hash": hash(&parts.hash)}})
}

pub(crate) fn header(header: &Header) -> Value {
    let Consensus { block, app } = header.version.unwrap_or_default();
    let mut version = json!({"block": block.to_string()});
    if app != 0 {
        version["app"] = app.to_string().into();
    }
    json!({
        "version": version,
        "chain_id": header.chain_id,
        "height": header.height.to_string(),
        "time": time(header.time),
        "last_block_id": block_id(&header.last_block_id.clone().unwrap_or_default()),
        "last_commit_hash": hash(&header.last_commit_hash),
        "data_hash": hash(&header.data_hash),
        "validators_hash": hash(&header.validators_hash),
        "next_validators_hash": hash(&header.next_validators_hash),
        "consensus_hash": hash(&header.consensus_hash),
        "app_hash": hash(&header.app_hash),
        "last_results_hash": hash(&header.last_results_hash),
        "evidence_hash": hash(&header.evidence_hash),
        "proposer_address": hash(&header.proposer_address),
    })
}

pub(crate) fn commit(commit: &Commit) -> Value {
    let signatures = commit.signatures.iter().map(|signature| {
        json!({
            "block_id_flag": signature.block_id_flag,
            "validator_address": hash(&signature.validator_address),
            "timestamp": time(signature.timestamp),
            "signature": base64(&signature.signature),
        })
    });
    json!({
        "height": commit.height.to_string(),
        "round": commit.round,
        "block_id": block_id(&commit.block_id.clone().unwrap_or_default()),
        "signatures": signatures.collect::<Value>(),
    })
}

pub(crate) fn block(block: &Block) -> Value {
    json!({
        "header": block.header.as_ref().map(header),
        "data": {"txs": txs_of(block).iter().map(|tx| base64(tx)).collect::<Value>()},
        "evidence": {"evidence": []},
        "last_commit": commit(&block.last_commit.clone().unwrap_or_default()),
    })
}

pub(crate) fn block_meta(meta: &BlockMeta) -> Value {
    json!({
        "block_id": block_id(&meta.block_id.clone().unwrap_or_default()),
        "block_size": meta.block_size.to_string(),
        "header": meta.header.as_ref().map(header),
        "num_txs": meta.num_txs.to_string(),
    })
}

pub(crate) fn events(events: &[Event]) -> Value {
    tree(&Events(events))
}

/// Events without their empty members, as CometBFT writes those of blocks and of subscriptions.
pub(crate) fn sparse_events(list: &[Event]) -> Value {
    let mut list = events(list);
    list.as_array_mut().into_iter().flatten().for_each(|event| retain_given(event, |_| false));
    list
}

/// Removes the members that have their default values, but for those to `keep`.
fn retain_given(value: &mut Value, keep: impl Fn(&str) -> bool) {
    let is_default = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text == "0",
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    if let Value::Object(members) = value {
        members.retain(|name, value| keep(name) || !is_default(value));
    }
}

/// A transaction with its result, as subscribers get it: without default values.
pub(crate) fn tx_event(height: i64, index: usize, tx: &[u8], result: &ExecTxResult) -> Value {
    let mut result_json = tx_result(result);
    result_json["events"] = sparse_events(&result.events);
    retain_given(&mut result_json, |_| false);
    // A text that is "0" is not a number with its default.
    for (name, text) in
        [("log", &result.log), ("info", &result.info), ("codespace", &result.codespace)]
    {
        if text == "0" {
            result_json[name] = "0".into();
        }
    }
    let mut event = json!({"height": height.to_string(), "index": index, "tx": base64(tx), "result": result_json});
    retain_given(&mut event, |name| ["result", "tx"].contains(&name));
    event
}

pub(crate) fn tx_result(result: &ExecTxResult) -> Value {
    tree(&TxResult::of(result))
}

/// Returns what is written as a tree of values, whose members can be changed.
fn tree(written: &impl Serialize) -> Value {
    // Texts, numbers, lists and members with names can be represented.
    serde_json::to_value(written).unwrap_or_default()
}

pub(crate) fn check_tx(response: &ResponseCheckTx) -> Value {
    json!({
        "code": response.code,
        "data": base64_or_null(&response.data),
        "log": response.log,
        "info": response.info,
        "gas_wanted": response.gas_wanted.to_string(),
        "gas_used": response.gas_used.to_string(),
        "events": events(&response.events),
        "codespace": response.codespace,
    })
}

/// The results of a block, as subscribers get them.
pub(crate) fn finalize_block(results: &ResponseFinalizeBlock) -> Value {
    let updates: Vec<Value> = results.validator_updates.iter().map(validator_update).collect();
    let mut value = json!({
        "events": sparse_events(&results.events),
        "tx_results": results.tx_results.iter().map(tx_result).collect::<Value>(),
        "validator_updates": if updates.is_empty() { Value::Null } else { updates.into() },
        "consensus_param_updates": results.consensus_param_updates.as_ref().map(consensus_params),
        "app_hash": base64(&results.app_hash),
    });
    retain_given(&mut value, |name| name == "validator_updates");
    value
}

pub(crate) fn validator_update(update: &ValidatorUpdate) -> Value {
    json!({"pub_key": update.pub_key.as_ref().map(tagged_key), "power": update.power.to_string()})
}

pub(crate) fn validator(validator: &Validator) -> Value {
    json!({
        "address": validator.key.address().to_string(),
        "pub_key": {"type": "tendermint/PubKeyEd25519", "value": base64(&validator.key.public_bytes())},
        "voting_power": validator.power.to_string(),
        "proposer_priority": "0",
    })
}

/// A key in the form `{"type": ..., "value": ...}`.
pub(crate) fn tagged_key(key: &PublicKey) -> Value {
    match &key.sum {
        Some(public_key::Sum::Ed25519(bytes)) => {
            json!({"type": "tendermint/PubKeyEd25519", "value": base64(bytes)})
        }
        Some(public_key::Sum::Secp256k1(bytes)) => {
            json!({"type": "tendermint/PubKeySecp256k1", "value": base64(bytes)})
        }
        None => Value::Null,
    }
}

pub(crate) fn consensus_params(params: &ConsensusParams) -> Value {
    let mut sections = serde_json::Map::new();
    let mut put = |name: &str, section: Value| sections.insert(name.to_owned(), section);
    if let Some(block) = params.block {
        put(
            "block",
            json!({"max_bytes": block.max_bytes.to_string(), "max_gas": block.max_gas.to_string()}),
        );
    }
    if let Some(evidence) = params.evidence {
        let age = evidence.max_age_duration.unwrap_or_default();
        let nanos = i128::from(age.seconds) * 1_000_000_000 + i128::from(age.nanos);
        put(
            "evidence",
            json!({
                "max_age_num_blocks": evidence.max_age_num_blocks.to_string(),
                "max_age_duration": nanos.to_string(),
                "max_bytes": evidence.max_bytes.to_string(),
            }),
        );
    }
    if let Some(validator) = &params.validator {
        put("validator", json!({"pub_key_types": validator.pub_key_types}));
    }
    if let Some(version) = params.version {
        put("version", json!({"app": version.app.to_string()}));
    }
    if let Some(abci) = params.abci {
        put(
            "abci",
            json!({"vote_extensions_enable_height": abci.vote_extensions_enable_height.to_string()}),
        );
    }
    Value::Object(sections)
}

pub(crate) fn query_response(response: &ResponseQuery) -> Value {
    json!({
        "code": response.code,
        "log": response.log,
        "info": response.info,
        "index": response.index.to_string(),
        "key": base64_or_null(&response.key),
        "value": base64_or_null(&response.value),
        "proofOps": response.proof_ops.as_ref().map(proof_ops),
        "height": response.height.to_string(),
        "codespace": response.codespace,
    })
}

pub(crate) fn proof(proof: &Proof) -> Value {
    json!({
        "total": proof.total.to_string(),
        "index": proof.index.to_string(),
        "leaf_hash": base64(&proof.leaf_hash),
        "aunts": proof.aunts.iter().map(|aunt| base64(aunt)).collect::<Value>(),
    })
}

fn proof_ops(ops: &ProofOps) -> Value {
    let op = |op: &ProofOp| {
        let (key, data) = (base64(&op.key), base64(&op.data));
        json!({"type": op.r#type, "key": key, "data": data})
    };
    json!({"ops": ops.ops.iter().map(op).collect::<Value>()})
}
