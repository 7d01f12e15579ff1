//! The methods about transactions.

use std::sync::Arc;

use prost::Message as _;
use prost::bytes::Bytes;
use serde_json::{Value, json};
use tendermint_proto::v0_38::abci::{ExecTxResult, ResponseCheckTx};
use tendermint_proto::v0_38::types::Block;

use super::call::{Answer, Rendered};
use super::context::RpcContext;
use super::error::RpcError;
use super::params::Params;
use super::{json, json_tx};
use crate::chain::block_store::TxPosition;
use crate::chain::execution::txs_of;
use crate::chain::merkle::{self, sha256};

/// Maximum size of a transaction with its result, encoded, that an asynchronous thread writes as JSON.
const MAX_RECENT_BYTES: usize = 16 << 10;

pub(crate) fn broadcast_async(node: &RpcContext, params: &Params) -> Result<String, RpcError> {
    let tx = tx_argument(params);
    let hash = sha256(&tx);
    node.mempool.admits(&tx, &hash)?;
    node.submitter.submit(tx)?;
    Ok(json_tx::broadcast(&ResponseCheckTx::default(), &hash))
}

pub(crate) async fn broadcast_sync(node: &RpcContext, params: &Params) -> Result<String, RpcError> {
    let tx = tx_argument(params);
    let hash = sha256(&tx);
    let response = node.submitter.check(tx).await?;
    Ok(json_tx::broadcast(&response, &hash))
}

pub(crate) async fn broadcast_commit(node: &Arc<RpcContext>, params: &Params) -> Answer {
    let tx = tx_argument(params);
    let hash = sha256(&tx);
    let mut heads = node.feed.watch();
    let mut seen = node.feed.head().height;
    let check = node.submitter.check(tx.clone()).await;
    let check = check
        .map_err(|error| RpcError::internal(format!("error on broadcastTxCommit: {error}")))?;
    if check.code != 0 {
        return Ok(commit_answer(&check, &ExecTxResult::default(), &hash, 0));
    }
    let committed = async {
        loop {
            let head = heads.borrow_and_update().height;
            for height in seen + 1..=head {
                if let Some(result) = result_in_block(node, height, &tx).await? {
                    return Ok((height, result));
                }
            }
            seen = head;
            heads.changed().await.map_err(|_| RpcError::internal("the node is shutting down"))?;
        }
    };
    match tokio::time::timeout(node.limits.commit_timeout, committed).await {
        Ok(Ok((height, result))) => Ok(commit_answer(&check, &result, &hash, height)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(RpcError::internal("timed out waiting for tx to be included in a block")),
    }
}

pub(crate) fn check_tx(node: &RpcContext, params: &Params) -> Answer {
    Ok(json::check_tx(&node.mempool.check_only(tx_argument(params))))
}

pub(crate) fn unconfirmed(node: &RpcContext, params: &Params) -> Answer {
    let limit = match params.integer("limit") {
        Some(wanted @ 1..) => usize::try_from(wanted).unwrap_or(100).min(100),
        _ => 30,
    };
    let (txs, total, bytes) = node.mempool.peek(limit);
    // As many as the answer has room for, with a quarter of it for everything else. The total tells how many wait.
    let mut room = node.limits.max_answer_bytes / 4 * 3;
    let list: Vec<String> = txs
        .iter()
        .map_while(|tx| {
            room = room.checked_sub(tx.len().div_ceil(3) * 4)?;
            Some(json::base64(tx))
        })
        .collect();
    Ok(json!({
        "n_txs": list.len().to_string(),
        "total": total.to_string(),
        "total_bytes": bytes.to_string(),
        "txs": list,
    }))
}

pub(crate) fn num_unconfirmed(node: &RpcContext, _: &Params) -> Answer {
    let (_, total, bytes) = node.mempool.peek(0);
    Ok(
        json!({"n_txs": total.to_string(), "total": total.to_string(), "total_bytes": bytes.to_string(), "txs": null}),
    )
}

/// Answers `tx` from memory, if it is a small transaction of the last blocks and no proof is asked for. This never waits.
pub(crate) fn recent(node: &RpcContext, params: &Params) -> Option<String> {
    if params.flag("prove") {
        return None;
    }
    let hash = params.bytes("hash");
    let written = node.feed.recent().see(hash, |height, index, tx, result| {
        let is_small = tx.len() + result.encoded_len() <= MAX_RECENT_BYTES;
        is_small.then(|| json_tx::found((height, index), hash, tx, result))
    });
    written.flatten()
}

pub(crate) fn tx(node: &RpcContext, params: &Params) -> Result<Rendered, RpcError> {
    let hash = params.bytes("hash");
    if hash.is_empty() {
        return Err(RpcError::internal("transaction hash cannot be empty"));
    }
    let head = node.feed.head().height;
    let position = node.store.tx_position(hash)?.filter(|(height, _)| *height <= head);
    let (height, index) = position
        .ok_or_else(|| RpcError::internal(format!("tx ({}) not found", json::hash(hash))))?;
    if params.flag("prove") {
        return OpenBlock::read(node, height)?.tx(node, index, true).map(Rendered::Tree);
    }
    let (tx, result) = node.store.tx((height, index))?.ok_or_else(|| missing(height, index))?;
    Ok(Rendered::Text(json_tx::found((height, index), hash, &tx, &result)))
}

/// The transaction. It may be empty, as in CometBFT: the application says what that is.
fn tx_argument(params: &Params) -> Bytes {
    Bytes::copy_from_slice(params.bytes("tx"))
}

fn missing(height: i64, index: u32) -> RpcError {
    RpcError::internal(format!("transaction {index} of block {height} is missing"))
}

fn rendered((height, index): TxPosition, hash: &[u8], tx: &[u8], result: &ExecTxResult) -> Value {
    json!({
        "hash": json::hash(hash),
        "height": height.to_string(),
        "index": index,
        "tx_result": json::tx_result(result),
        "tx": json::base64(tx),
    })
}

/// A block that is decoded and hashed once for all of its transactions that an answer has.
pub(crate) struct OpenBlock {
    pub(crate) height: i64,
    block: Block,
    hashes: Vec<merkle::Hash>,
    root: merkle::Hash,
}

impl OpenBlock {
    /// Reads the block at a height.
    pub(crate) fn read(node: &RpcContext, height: i64) -> Result<Self, RpcError> {
        let damaged = || RpcError::internal(format!("block {height} is missing"));
        let block = node.store.block(height)?.ok_or_else(damaged)?;
        let hashes = merkle::tx_hashes(txs_of(&block));
        let root = merkle::root(&hashes);
        Ok(Self { height, block, hashes, root })
    }

    /// Renders a transaction.
    pub(crate) fn tx(&self, node: &RpcContext, index: u32, prove: bool) -> Answer {
        let height = self.height;
        let damaged = || missing(height, index);
        let result = node.store.tx_result((height, index))?.ok_or_else(damaged)?;
        let at = index as usize;
        let tx = txs_of(&self.block).get(at).ok_or_else(damaged)?;
        let hash = self.hashes.get(at).ok_or_else(damaged)?;
        let mut answer = rendered((height, index), hash, tx, &result);
        if prove {
            let proof = merkle::tx_proof(&self.hashes, at).ok_or_else(damaged)?;
            answer["proof"] = json!({
                "root_hash": json::hash(&self.root),
                "data": json::base64(tx),
                "proof": json::proof(&proof),
            });
        }
        Ok(answer)
    }
}

/// The result of `tx` if the block at `height` has it.
async fn result_in_block(
    node: &Arc<RpcContext>,
    height: i64,
    tx: &Bytes,
) -> Result<Option<ExecTxResult>, RpcError> {
    let (node, tx) = (Arc::clone(node), tx.clone());
    let found = tokio::task::spawn_blocking(move || {
        let Some(block) = node.store.block(height)? else { return Ok(None) };
        let Some(index) = txs_of(&block).iter().position(|other| *other == tx) else {
            return Ok(None);
        };
        let index =
            u32::try_from(index).map_err(|_| RpcError::internal("too many transactions"))?;
        Ok(node.store.tx_result((height, index))?)
    });
    found.await.map_err(|_| RpcError::internal("the node is shutting down"))?
}

fn commit_answer(
    check: &ResponseCheckTx,
    result: &ExecTxResult,
    hash: &[u8],
    height: i64,
) -> Value {
    json!({
        "check_tx": json::check_tx(check),
        "tx_result": json::tx_result(result),
        "hash": json::hash(hash),
        "height": height.to_string(),
    })
}
