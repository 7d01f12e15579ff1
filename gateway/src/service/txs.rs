//! Transactions: found, and broadcast.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cosmrs::proto::Any;
use cosmrs::proto::cosmos::base::abci::v1beta1::TxResponse;
use cosmrs::proto::cosmos::base::query::v1beta1::PageResponse;
use cosmrs::proto::cosmos::tx::v1beta1::{
    BroadcastMode, BroadcastTxRequest, BroadcastTxResponse, GetBlockWithTxsRequest,
    GetBlockWithTxsResponse, GetTxRequest, GetTxResponse, GetTxsEventRequest, GetTxsEventResponse,
    OrderBy, Tx, TxRaw,
};
use prost::{Message as _, Name as _};
use serde_json::json;
use tendermint_rpc::endpoint;
use tonic::Status;

use super::blocks;
use super::page::Page;
use crate::node::Node;
use crate::rpc;
use crate::status::shortened;

/// Length of a transaction's hash in hexadecimal digits.
const HASH_DIGITS: usize = 64;

pub(super) fn get(node: &Node, request: GetTxRequest) -> Result<GetTxResponse, Status> {
    let hash = request.hash.trim_start_matches("0x");
    if hash.is_empty() {
        return Err(Status::invalid_argument("tx hash cannot be empty"));
    }
    let bytes = hex::decode(hash).ok().filter(|_| hash.len() == HASH_DIGITS);
    let bytes = bytes.ok_or_else(|| {
        Status::invalid_argument(format!("a tx hash has {HASH_DIGITS} hex digits"))
    })?;
    let found = (node.rpc)("tx", json!({"hash": BASE64.encode(bytes), "prove": false}));
    let found = found.map_err(|error| match error.contains("not found") {
        true => Status::not_found(format!("tx not found: {}", hash.to_uppercase())),
        false => Status::internal(shortened(&error)),
    })?;
    let found: endpoint::tx::Response =
        serde_json::from_value(found).map_err(|error| Status::internal(error.to_string()))?;
    let (tx, response) = shown(&found, &mut Times::new(node))?;
    Ok(GetTxResponse { tx: Some(tx), tx_response: Some(response) })
}

/// Returns the transactions, and the height at which the node's search ended because it had read enough.
pub(super) fn search(
    node: &Node,
    request: GetTxsEventRequest,
) -> Result<(GetTxsEventResponse, Option<i64>), Status> {
    #[allow(deprecated)] // Clients of older SDKs send conditions one by one, and an offset.
    let (events, pagination) = (&request.events, request.pagination.as_ref());
    let query = match request.query.is_empty() {
        true => events.join(" AND "),
        false => request.query.clone(),
    };
    if query.is_empty() {
        return Err(Status::invalid_argument("query cannot be empty"));
    }
    let page = match (request.page, pagination) {
        (0, Some(pagination)) => Page::of(Some(pagination))?,
        (number, _) => {
            let first = Page::new(0, request.limit);
            Page::new(first.limit.saturating_mul(number.saturating_sub(1)), request.limit)
        }
    };
    let order = if request.order_by == OrderBy::Desc as i32 { "desc" } else { "asc" };
    let params = json!({
        "query": query,
        "prove": false,
        "page": page.number()?.to_string(),
        "per_page": page.limit.to_string(),
        "order_by": order,
    });
    let found = (node.rpc)("tx_search", params)
        .map_err(|error| Status::invalid_argument(shortened(&error)))?;
    let cut = found["cut_at_height"].as_str().and_then(|height| height.parse().ok());
    let found: endpoint::tx_search::Response =
        serde_json::from_value(found).map_err(|error| Status::internal(error.to_string()))?;
    let (mut txs, mut tx_responses, mut times) = (Vec::new(), Vec::new(), Times::new(node));
    for one in &found.txs {
        let (tx, response) = shown(one, &mut times)?;
        txs.push(tx);
        tx_responses.push(response);
    }
    let total = u64::from(found.total_count);
    #[allow(deprecated)]
    let response = GetTxsEventResponse {
        txs,
        tx_responses,
        pagination: Some(PageResponse { next_key: Vec::new(), total }),
        total,
    };
    Ok((response, cut))
}

pub(super) fn broadcast(
    node: &Node,
    request: BroadcastTxRequest,
) -> Result<BroadcastTxResponse, Status> {
    let method = match BroadcastMode::try_from(request.mode) {
        Ok(BroadcastMode::Sync) => "broadcast_tx_sync",
        Ok(BroadcastMode::Async) => "broadcast_tx_async",
        _ => {
            let text = "the mode must be BROADCAST_MODE_SYNC or BROADCAST_MODE_ASYNC";
            return Err(Status::invalid_argument(text));
        }
    };
    if request.tx_bytes.is_empty() {
        return Err(Status::invalid_argument("invalid empty tx"));
    }
    let params = json!({"tx": BASE64.encode(&request.tx_bytes)});
    let checked: endpoint::broadcast::tx_sync::Response = rpc::call(node, method, params)?;
    let response = TxResponse {
        txhash: checked.hash.to_string(),
        codespace: checked.codespace,
        code: checked.code.value(),
        data: hex::encode_upper(&checked.data),
        raw_log: checked.log,
        ..TxResponse::default()
    };
    Ok(BroadcastTxResponse { tx_response: Some(response) })
}

pub(super) fn of_block(
    node: &Node,
    request: GetBlockWithTxsRequest,
) -> Result<GetBlockWithTxsResponse, Status> {
    let height = blocks::positive(node, request.height)?;
    let page = Page::of(request.pagination.as_ref())?;
    let (block_id, block) = blocks::block(node, height)?;
    let all = block.data.as_ref().map(|data| data.txs.clone()).unwrap_or_default();
    let total = all.len() as u64;
    let txs = page.cut(all).iter().map(|bytes| decode(bytes)).collect::<Result<_, _>>()?;
    Ok(GetBlockWithTxsResponse {
        txs,
        block_id: Some(block_id),
        block: Some(block),
        pagination: Some(PageResponse { next_key: Vec::new(), total }),
    })
}

/// Decodes a transaction as it lies in a block.
fn decode(bytes: &[u8]) -> Result<Tx, Status> {
    let wrong = |error: prost::DecodeError| Status::internal(format!("a transaction: {error}"));
    let raw = TxRaw::decode(bytes).map_err(wrong)?;
    Ok(Tx {
        body: Some(prost::Message::decode(raw.body_bytes.as_slice()).map_err(wrong)?),
        auth_info: Some(prost::Message::decode(raw.auth_info_bytes.as_slice()).map_err(wrong)?),
        signatures: raw.signatures,
    })
}

fn shown(
    found: &endpoint::tx::Response,
    times: &mut Times<'_>,
) -> Result<(Tx, TxResponse), Status> {
    let tx = decode(&found.tx)?;
    let result = &found.tx_result;
    let height = i64::try_from(found.height.value()).unwrap_or(i64::MAX);
    let response = TxResponse {
        height,
        txhash: found.hash.to_string(),
        codespace: result.codespace.clone(),
        code: result.code.value(),
        data: hex::encode_upper(&result.data),
        raw_log: result.log.clone(),
        logs: Vec::new(),
        info: result.info.clone(),
        gas_wanted: result.gas_wanted,
        gas_used: result.gas_used,
        tx: Some(Any { type_url: format!("/{}", Tx::full_name()), value: tx.encode_to_vec() }),
        timestamp: times.at(height)?,
        events: result.events.iter().cloned().map(Into::into).collect(),
    };
    Ok((tx, response))
}

/// The times of blocks. Each block is asked for once.
struct Times<'a> {
    node: &'a Node,
    known: BTreeMap<i64, String>,
}

impl<'a> Times<'a> {
    fn new(node: &'a Node) -> Self {
        Self { node, known: BTreeMap::new() }
    }

    /// Returns the time of the block at a height, in whole seconds as the Cosmos SDK writes it.
    fn at(&mut self, height: i64) -> Result<String, Status> {
        if let Some(time) = self.known.get(&height) {
            return Ok(time.clone());
        }
        let params = json!({"height": height.to_string()});
        let found: endpoint::header::Response = rpc::call(self.node, "header", params)?;
        let seconds = found.header.time.unix_timestamp();
        let time = tendermint::Time::from_unix_timestamp(seconds, 0)
            .map_err(|error| Status::internal(error.to_string()))?
            .to_rfc3339();
        self.known.insert(height, time.clone());
        Ok(time)
    }
}
