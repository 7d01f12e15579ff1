//! The index of transactions by event, and `tx_search` over it.
//!
//! A key of the table is `COMPOSITE-KEY 0x00 VALUE 0x00 HEIGHT INDEX`, height as 8 and index as 4
//! big-endian bytes, the composite key being `EVENT-TYPE.ATTRIBUTE-KEY`. Attributes without the
//! index flag, with an empty key, or with a zero byte in their key are left out. Every transaction
//! is also under `tx.height`.

use std::collections::BTreeSet;

use tendermint_proto::v0_38::abci::Event;

use super::block_store::{BlockStore, BlockStoreError, TxPosition};
use super::query::{Condition, Query};

const POSITION_BYTES: usize = 12;

/// Returns the index keys of a transaction.
pub(crate) fn keys(position: TxPosition, events: &[Event]) -> Vec<Vec<u8>> {
    let mut keys = vec![key("tx.height", &position.0.to_string(), position)];
    for event in events.iter().filter(|event| !event.r#type.is_empty()) {
        for attribute in
            event.attributes.iter().filter(|attribute| attribute.index && !attribute.key.is_empty())
        {
            let composite = format!("{}.{}", event.r#type, attribute.key);
            if !composite.contains('\0') {
                keys.push(key(&composite, &attribute.value, position));
            }
        }
    }
    keys
}

/// Returns the positions of the transactions that fulfil every condition of `query`, in the order of the chain.
pub(crate) fn search(
    store: &BlockStore,
    query: &Query,
) -> Result<Vec<TxPosition>, BlockStoreError> {
    let mut found: Option<BTreeSet<TxPosition>> = None;
    for condition in query.conditions() {
        // Every transaction is of this kind, and the index does not say so again for each.
        if condition.key() == "tm.event" && condition.accepts("Tx") {
            continue;
        }
        let matching = with_condition(store, condition)?;
        found = Some(match found {
            None => matching,
            Some(before) => before.intersection(&matching).copied().collect(),
        });
    }
    match found {
        Some(found) => Ok(found.into_iter().collect()),
        None => Ok(scan(store, b"tx.height\0", |_| true)?.into_iter().collect()),
    }
}

fn with_condition(
    store: &BlockStore,
    condition: &Condition,
) -> Result<BTreeSet<TxPosition>, BlockStoreError> {
    if condition.key() == "tx.hash" {
        let hash = condition.exact_text().and_then(|text| hex::decode(text).ok());
        let position = hash.map(|hash| store.tx_position(&hash)).transpose()?.flatten();
        return Ok(position.into_iter().collect());
    }
    let exact = condition.exact_text().map(str::to_owned);
    // Heights are written in one way only, so a number can be looked up as text.
    let exact = exact
        .or_else(|| if condition.key() == "tx.height" { condition.exact_integer() } else { None });
    let mut prefix = [condition.key().as_bytes(), b"\0"].concat();
    if let Some(value) = &exact {
        prefix.extend_from_slice(value.as_bytes());
        prefix.push(0);
    }
    scan(store, &prefix, |value| {
        exact.as_deref().map_or_else(|| condition.accepts(value), |exact| exact == value)
    })
}

/// The positions of the entries under `prefix` whose value passes `accept`.
fn scan(
    store: &BlockStore,
    prefix: &[u8],
    accept: impl Fn(&str) -> bool,
) -> Result<BTreeSet<TxPosition>, BlockStoreError> {
    let mut found = BTreeSet::new();
    store.scan_tx_events(prefix, |key| {
        if let Some((value, position)) = parse(key)
            && accept(value)
        {
            found.insert(position);
        }
    })?;
    Ok(found)
}

fn key(composite: &str, value: &str, (height, index): TxPosition) -> Vec<u8> {
    [
        composite.as_bytes(),
        b"\0",
        value.as_bytes(),
        b"\0",
        &height.to_be_bytes(),
        &index.to_be_bytes(),
    ]
    .concat()
}

/// The value and the position in a key.
fn parse(key: &[u8]) -> Option<(&str, TxPosition)> {
    let (text, position) = key.split_at_checked(key.len().checked_sub(POSITION_BYTES)?)?;
    let start = text.iter().position(|byte| *byte == 0)? + 1;
    let value = std::str::from_utf8(text.get(start..text.len().checked_sub(1)?)?).ok()?;
    let (height, index) = position.split_at_checked(8)?;
    Some((
        value,
        (i64::from_be_bytes(height.try_into().ok()?), u32::from_be_bytes(index.try_into().ok()?)),
    ))
}
