//! The methods about blocks.

use serde_json::{Value, json};
use tendermint_proto::v0_38::types::BlockId;

use super::call::Answer;
use super::context::RpcContext;
use super::error::RpcError;
use super::json;
use super::params::Params;

/// Maximum number of headers in the answer to `blockchain`, as in CometBFT.
const BLOCKCHAIN_LIMIT: i64 = 20;

pub(crate) fn block(node: &RpcContext, params: &Params) -> Answer {
    block_at(node, height(node, params)?)
}

pub(crate) fn block_by_hash(node: &RpcContext, params: &Params) -> Answer {
    match height_by_hash(node, params)? {
        Some(height) => block_at(node, height),
        None => Ok(json!({"block_id": json::block_id(&BlockId::default()), "block": null})),
    }
}

pub(crate) fn header(node: &RpcContext, params: &Params) -> Answer {
    header_at(node, height(node, params)?)
}

pub(crate) fn header_by_hash(node: &RpcContext, params: &Params) -> Answer {
    height_by_hash(node, params)?
        .map_or_else(|| Ok(json!({"header": null})), |height| header_at(node, height))
}

pub(crate) fn block_results(node: &RpcContext, params: &Params) -> Answer {
    let height = height(node, params)?;
    let results = node.store.results(height)?;
    let results = results.ok_or_else(|| {
        RpcError::internal(format!("could not find results for height #{height}"))
    })?;
    let txs: Value = results.tx_results.iter().map(json::tx_result).collect();
    let updates: Value = results.validator_updates.iter().map(json::validator_update).collect();
    Ok(json!({
        "height": height.to_string(),
        "txs_results": null_if_empty(txs),
        "finalize_block_events": null_if_empty(json::sparse_events(&results.events)),
        "validator_updates": null_if_empty(updates),
        "consensus_param_updates": results.consensus_param_updates.as_ref().map(json::consensus_params),
        "app_hash": json::base64(&results.app_hash),
    }))
}

pub(crate) fn blockchain(node: &RpcContext, params: &Params) -> Answer {
    let head = node.feed.head().height;
    let first = node.store.heights()?.map_or(1, |(first, _)| first);
    let (low, high) =
        (params.integer("minHeight").unwrap_or(0), params.integer("maxHeight").unwrap_or(0));
    if low < 0 || high < 0 {
        return Err(RpcError::internal("heights must be non-negative"));
    }
    // Zero stands for "the first" and "the last".
    let high = if high == 0 { head } else { high.min(head) };
    let low = low.max(first).max(high - BLOCKCHAIN_LIMIT + 1);
    if low > high {
        return Err(RpcError::internal(format!(
            "min height {low} can't be greater than max height {high}"
        )));
    }
    let mut metas = Vec::new();
    for height in (low..=high).rev() {
        let meta = node.store.block_meta(height)?.ok_or_else(|| missing("block", height))?;
        metas.push(json::block_meta(&meta));
    }
    Ok(json!({"last_height": head.to_string(), "block_metas": metas}))
}

pub(crate) fn commit(node: &RpcContext, params: &Params) -> Answer {
    let height = height(node, params)?;
    let meta = node.store.block_meta(height)?.ok_or_else(|| missing("block", height))?;
    // The next block holds this block's commit for good. Until then there are only the votes seen.
    let canonical = height < node.feed.head().height;
    let commit = if canonical {
        node.store.block(height + 1)?.and_then(|block| block.last_commit)
    } else {
        node.store.seen_commit(height)?
    };
    let commit = commit.ok_or_else(|| missing("commit", height))?;
    Ok(json!({
        "signed_header": {"header": meta.header.as_ref().map(json::header), "commit": json::commit(&commit)},
        "canonical": canonical,
    }))
}

pub(crate) fn validators(node: &RpcContext, params: &Params) -> Answer {
    let height = height_or_next(node, params)?;
    let page = Page::from_params(params, 1)?;
    let one = json::validator(&node.validator);
    let list = &[one][page.range()];
    let count = list.len().to_string();
    Ok(
        json!({"block_height": height.to_string(), "validators": list, "count": count, "total": "1"}),
    )
}

/// Returns the height that is asked for, by default the last.
///
/// # Errors
/// CometBFT's texts for heights that there are not.
pub(crate) fn height(node: &RpcContext, params: &Params) -> Result<i64, RpcError> {
    height_up_to(node, params, node.feed.head().height)
}

/// Returns the height that is asked for, by default the next, whose validators and parameters are known.
pub(crate) fn height_or_next(node: &RpcContext, params: &Params) -> Result<i64, RpcError> {
    height_up_to(node, params, node.feed.head().height + 1)
}

fn height_up_to(node: &RpcContext, params: &Params, most: i64) -> Result<i64, RpcError> {
    let first = node.store.heights()?.map_or(node.genesis.initial_height, |(first, _)| first);
    let height = match params.integer("height") {
        Some(height) if height <= 0 => {
            return Err(RpcError::internal(format!(
                "height must be greater than 0, but got {height}"
            )));
        }
        Some(height) => height,
        None if most < first => return Err(RpcError::internal("the chain has no blocks yet")),
        None => most,
    };
    if height > most {
        let text = format!(
            "height {height} must be less than or equal to the current blockchain height {most}"
        );
        return Err(RpcError::internal(text));
    }
    if height < first {
        return Err(RpcError::internal(format!(
            "height {height} is not available, lowest height is {first}"
        )));
    }
    Ok(height)
}

fn height_by_hash(node: &RpcContext, params: &Params) -> Result<Option<i64>, RpcError> {
    let head = node.feed.head().height;
    Ok(node.store.height_of(params.bytes("hash"))?.filter(|height| *height <= head))
}

pub(crate) fn block_at(node: &RpcContext, height: i64) -> Answer {
    let block = node.store.block(height)?.ok_or_else(|| missing("block", height))?;
    let id = node.store.block_id(height)?.ok_or_else(|| missing("block", height))?;
    Ok(json!({"block_id": json::block_id(&id), "block": json::block(&block)}))
}

fn header_at(node: &RpcContext, height: i64) -> Answer {
    let meta = node.store.block_meta(height)?.ok_or_else(|| missing("block", height))?;
    Ok(json!({"header": meta.header.as_ref().map(json::header)}))
}

fn missing(what: &str, height: i64) -> RpcError {
    RpcError::internal(format!("there is no {what} for height {height}"))
}

fn null_if_empty(list: Value) -> Value {
    if list.as_array().is_some_and(Vec::is_empty) { Value::Null } else { list }
}

/// A page of a list, by CometBFT's rules: pages count from 1, 30 a page by default, at most 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    start: usize,
    end: usize,
}

impl Page {
    /// Reads `page` and `per_page` for a list of `total` elements.
    pub(crate) fn from_params(params: &Params, total: usize) -> Result<Self, RpcError> {
        let per_page = match params.integer("per_page") {
            Some(wanted @ 1..) => usize::try_from(wanted).unwrap_or(100).min(100),
            _ => 30,
        };
        let pages = total.div_ceil(per_page).max(1);
        let given = params.integer("page").unwrap_or(1);
        let page = usize::try_from(given)
            .ok()
            .filter(|page| (1..=pages).contains(page))
            .ok_or_else(|| {
                RpcError::internal(format!(
                    "page should be within [1, {pages}] range, given {given}"
                ))
            })?;
        let start = (page - 1) * per_page;
        Ok(Self { start, end: total.min(start + per_page) })
    }

    /// Returns the indices of the page.
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}
