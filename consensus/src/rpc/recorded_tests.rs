//! Hashes and JSON compared with what CometBFT itself made.

use serde_json::{Value, json};
use tendermint_proto::v0_38::types::Block;
use tendermint_rpc::endpoint::block::Response;

use super::json as rpc_json;
use crate::chain::execution::{header_hash, header_of};
use crate::chain::merkle;

/// Block 10 of a chain as a CometBFT 0.38.0-alpha.1 node answered `block`.
fn recorded() -> Value {
    serde_json::from_str(include_str!("recorded_block.json")).unwrap()
}

#[test]
fn hashes_of_a_block_are_cometbfts() {
    let recorded = recorded();
    let response: Response = serde_json::from_value(recorded.clone()).unwrap();
    let block = Block::from(response.block);
    let header = header_of(&block).unwrap();
    let id = &recorded["block_id"];
    assert_eq!(rpc_json::hash(&header_hash(header).unwrap()), id["hash"]);
    let (parts, _) = merkle::part_set(&block);
    assert_eq!(json!(parts.total), id["parts"]["total"]);
    assert_eq!(rpc_json::hash(&parts.hash), id["parts"]["hash"]);
    let recorded_header = &recorded["block"]["header"];
    let commit = block.last_commit.as_ref().unwrap();
    assert_eq!(rpc_json::hash(&merkle::commit_hash(commit)), recorded_header["last_commit_hash"]);
    assert_eq!(rpc_json::hash(&merkle::results_hash(&[])), recorded_header["last_results_hash"]);
}

#[test]
fn the_json_of_a_block_is_cometbfts() {
    let recorded = recorded();
    let response: Response = serde_json::from_value(recorded.clone()).unwrap();
    assert_eq!(rpc_json::block(&Block::from(response.block)), recorded["block"]);
}
