//! Blocks and validators.

use capstan_proto::ADDRESS_PREFIX;
use cosmrs::proto::Any;
use cosmrs::proto::cosmos::base::query::v1beta1::{PageRequest, PageResponse};
use cosmrs::proto::cosmos::base::tendermint::v1beta1::{
    Block, GetBlockByHeightRequest, GetBlockByHeightResponse, GetLatestBlockRequest,
    GetLatestBlockResponse, GetLatestValidatorSetRequest, GetLatestValidatorSetResponse,
    GetValidatorSetByHeightRequest, GetValidatorSetByHeightResponse, Header, Validator,
};
use cosmrs::proto::cosmos::crypto::ed25519;
use prost::{Message as _, Name as _};
use serde_json::{Value, json};
use tendermint::PublicKey;
use tendermint_proto::v0_38::types::{Block as RawBlock, BlockId, Header as RawHeader};
use tendermint_rpc::endpoint;
use tonic::Status;

use super::page::Page;
use crate::node::Node;
use crate::rpc;

/// What follows the prefix of accounts in the address of a validator, which is that of its consensus key.
const VALIDATOR: &str = "valcons";

pub(super) fn latest(
    node: &Node,
    _: GetLatestBlockRequest,
) -> Result<GetLatestBlockResponse, Status> {
    let (block_id, block) = block(node, 0)?;
    let sdk_block = Some(shown(block.clone())?);
    Ok(GetLatestBlockResponse { block_id: Some(block_id), block: Some(block), sdk_block })
}

pub(super) fn at(
    node: &Node,
    request: GetBlockByHeightRequest,
) -> Result<GetBlockByHeightResponse, Status> {
    let (block_id, block) = block(node, positive(node, request.height)?)?;
    let sdk_block = Some(shown(block.clone())?);
    Ok(GetBlockByHeightResponse { block_id: Some(block_id), block: Some(block), sdk_block })
}

pub(super) fn latest_validators(
    node: &Node,
    request: GetLatestValidatorSetRequest,
) -> Result<GetLatestValidatorSetResponse, Status> {
    let (block_height, validators, pagination) = validators(node, 0, request.pagination)?;
    Ok(GetLatestValidatorSetResponse { block_height, validators, pagination: Some(pagination) })
}

pub(super) fn validators_at(
    node: &Node,
    request: GetValidatorSetByHeightRequest,
) -> Result<GetValidatorSetByHeightResponse, Status> {
    let height = positive(node, request.height)?;
    let (block_height, validators, pagination) = validators(node, height, request.pagination)?;
    Ok(GetValidatorSetByHeightResponse { block_height, validators, pagination: Some(pagination) })
}

/// Returns the block at a height, 0 for the last one.
pub(super) fn block(node: &Node, height: i64) -> Result<(BlockId, RawBlock), Status> {
    let found: endpoint::block::Response = rpc::call(node, "block", at_height(height))?;
    Ok((found.block_id.into(), found.block.into()))
}

/// Returns a height that the chain has.
pub(super) fn positive(node: &Node, height: i64) -> Result<i64, Status> {
    let status: endpoint::status::Response = rpc::call(node, "status", json!({}))?;
    let last = i64::try_from(status.sync_info.latest_block_height.value()).unwrap_or(i64::MAX);
    match height {
        1.. if height <= last => Ok(height),
        1.. => {
            Err(Status::invalid_argument("requested block height is bigger then the chain length"))
        }
        _ => Err(Status::invalid_argument("height must be greater than 0")),
    }
}

fn at_height(height: i64) -> Value {
    match height {
        0 => json!({}),
        height => json!({"height": height.to_string()}),
    }
}

fn validators(
    node: &Node,
    height: i64,
    pagination: Option<PageRequest>,
) -> Result<(i64, Vec<Validator>, PageResponse), Status> {
    let page = Page::of(pagination.as_ref())?;
    let mut params = at_height(height);
    params["page"] = page.number()?.to_string().into();
    params["per_page"] = page.limit.to_string().into();
    let found: endpoint::validators::Response = rpc::call(node, "validators", params)?;
    let validators = found.validators.iter().map(|validator| {
        let PublicKey::Ed25519(key) = validator.pub_key else {
            return Err(Status::internal("a validator has a key of another type than Ed25519"));
        };
        let key = ed25519::PubKey { key: key.as_bytes().to_vec() };
        let type_url = format!("/{}", ed25519::PubKey::full_name());
        Ok(Validator {
            address: consensus_address(validator.address.as_bytes())?,
            pub_key: Some(Any { type_url, value: key.encode_to_vec() }),
            voting_power: validator.power.into(),
            proposer_priority: validator.proposer_priority.into(),
        })
    });
    let validators = validators.collect::<Result<_, _>>()?;
    let total = u64::try_from(found.total).unwrap_or(0);
    let height = i64::try_from(found.block_height.value()).unwrap_or(i64::MAX);
    Ok((height, validators, PageResponse { next_key: Vec::new(), total }))
}

fn consensus_address(address: &[u8]) -> Result<String, Status> {
    let address = cosmrs::AccountId::new(&format!("{ADDRESS_PREFIX}{VALIDATOR}"), address);
    address.map(|address| address.to_string()).map_err(|e| Status::internal(e.to_string()))
}

/// Returns a block with its proposer's address as text.
fn shown(block: RawBlock) -> Result<Block, Status> {
    let RawBlock { header, data, evidence, last_commit } = block;
    Ok(Block { header: header.map(shown_header).transpose()?, data, evidence, last_commit })
}

fn shown_header(header: RawHeader) -> Result<Header, Status> {
    Ok(Header {
        version: header.version,
        chain_id: header.chain_id,
        height: header.height,
        time: header.time,
        last_block_id: header.last_block_id,
        last_commit_hash: header.last_commit_hash,
        data_hash: header.data_hash,
        validators_hash: header.validators_hash,
        next_validators_hash: header.next_validators_hash,
        consensus_hash: header.consensus_hash,
        app_hash: header.app_hash,
        last_results_hash: header.last_results_hash,
        evidence_hash: header.evidence_hash,
        proposer_address: consensus_address(&header.proposer_address)?,
    })
}
