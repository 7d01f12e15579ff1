//! The searches in the indexes of transactions and of blocks.

use serde_json::{Value, json};

use super::blocks::{Page, block_at};
use super::call::Answer;
use super::context::RpcContext;
use super::error::RpcError;
use super::params::Params;
use super::txs::OpenBlock;
use super::values::hex;
use crate::chain::query::Query;
use crate::chain::tx_events::Order;
use crate::chain::{block_index, tx_search};

pub(crate) fn txs(node: &RpcContext, params: &Params) -> Answer {
    let query = Query::parse(params.text("query"))?;
    check_hash(&query)?;
    let order = order(params, Order::Ascending)?;
    let head = node.feed.head().height;
    let tx_search::Found { positions, cut } = tx_search::search(&node.store, &query, order, head)?;
    let prove = params.flag("prove");
    let mut last: Option<OpenBlock> = None;
    let txs = page(node, params, &positions, |(height, index)| {
        let block = match last.take() {
            Some(block) if block.height == height => block,
            _ => OpenBlock::read(node, height)?,
        };
        last.insert(block).tx(node, index, prove)
    })?;
    let mut answer = json!({"txs": txs, "total_count": positions.len().to_string()});
    // CometBFT has no such field, and its clients pass it over.
    if let Some(height) = cut {
        answer["cut_at_height"] = height.to_string().into();
    }
    Ok(answer)
}

pub(crate) fn blocks(node: &RpcContext, params: &Params) -> Answer {
    let query = Query::parse(params.text("query"))?;
    let head = node.feed.head().height;
    let mut found = block_index::search(&node.store, &query)?;
    found.retain(|height| *height <= head);
    if order(params, Order::Descending)? == Order::Descending {
        found.reverse();
    }
    let blocks = page(node, params, &found, |height| block_at(node, height))?;
    Ok(json!({"blocks": blocks, "total_count": found.len().to_string()}))
}

fn order(params: &Params, default: Order) -> Result<Order, RpcError> {
    match params.text("order_by") {
        "" => Ok(default),
        "asc" => Ok(Order::Ascending),
        "desc" => Ok(Order::Descending),
        _ => {
            let why = "expected order_by to be either `asc` or `desc` or empty";
            Err(RpcError::internal(why))
        }
    }
}

/// Refuses a condition on a hash that is none, as CometBFT does.
fn check_hash(query: &Query) -> Result<(), RpcError> {
    let condition = query.conditions().iter().find(|condition| condition.key() == "tx.hash");
    let Some(condition) = condition else { return Ok(()) };
    if condition.argument().is_empty() {
        let why = "error while retrieving the result: transaction hash cannot be empty";
        return Err(RpcError::internal(why));
    }
    hex(condition.argument()).map(drop).map_err(|why| {
        RpcError::internal(format!("error during searching for a hash in the query: {why}"))
    })
}

/// Renders the page that is asked for, as far as an answer has room.
fn page<T: Copy>(
    node: &RpcContext,
    params: &Params,
    found: &[T],
    mut render: impl FnMut(T) -> Answer,
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
