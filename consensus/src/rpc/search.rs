//! The searches in the indexes of transactions and of blocks.

use serde_json::{Value, json};

use super::blocks::{Page, block_at};
use super::call::Answer;
use super::context::RpcContext;
use super::error::RpcError;
use super::params::Params;
use super::txs::tx_at;
use crate::chain::block_store::TxPosition;
use crate::chain::query::Query;
use crate::chain::tx_index::Index;

pub(crate) fn txs(node: &RpcContext, params: &Params) -> Answer {
    let found = found(node, params, Index::Txs, "asc")?;
    let prove = params.flag("prove");
    let txs = page(node, params, &found, |at| tx_at(node, at, prove))?;
    Ok(json!({"txs": txs, "total_count": found.len().to_string()}))
}

pub(crate) fn blocks(node: &RpcContext, params: &Params) -> Answer {
    let found = found(node, params, Index::Blocks, "desc")?;
    let blocks = page(node, params, &found, |(height, _)| block_at(node, height))?;
    Ok(json!({"blocks": blocks, "total_count": found.len().to_string()}))
}

/// Returns all that was found, in the order that is asked for.
fn found(
    node: &RpcContext,
    params: &Params,
    index: Index,
    default_order: &str,
) -> Result<Vec<TxPosition>, RpcError> {
    let query = Query::parse(params.text("query"))?;
    let head = node.feed.head().height;
    let mut found = index.search(&node.store, &query)?;
    found.retain(|(height, _)| *height <= head);
    match params.text("order_by") {
        "" if default_order == "asc" => {}
        "asc" => {}
        "" | "desc" => found.reverse(),
        _ => {
            let why = "expected order_by to be either `asc` or `desc` or empty";
            return Err(RpcError::internal(why));
        }
    }
    Ok(found)
}

/// Renders the page that is asked for, as far as an answer has room.
fn page(
    node: &RpcContext,
    params: &Params,
    found: &[TxPosition],
    render: impl Fn(TxPosition) -> Answer,
) -> Result<Vec<Value>, RpcError> {
    let page = Page::from_params(params, found.len())?;
    let most = node.limits.max_answer_bytes;
    let mut room = most;
    let mut shown = Vec::new();
    for at in &found[page.range()] {
        let value = render(*at)?;
        let rest = room.checked_sub(value.to_string().len());
        room = rest.ok_or_else(|| RpcError::answer_too_large(most))?;
        shown.push(value);
    }
    Ok(shown)
}
