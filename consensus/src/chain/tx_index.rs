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
/// Maximum number of bytes that one search reads. Each entry counts its key and [`ENTRY_BYTES`].
const MAX_SCAN_BYTES: usize = 32 << 20;
/// Bytes that an entry counts besides its key, for the work of reading it.
const ENTRY_BYTES: usize = 64;

/// Reason why a search has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// Too many entries would have to be read.
    #[error(
        "the query makes the node read too much of its index: add a condition with = and a text, or with tx.height = and a height"
    )]
    TooBroad,
    /// The block store fails.
    #[error(transparent)]
    Store(#[from] BlockStoreError),
}

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
pub(crate) fn search(store: &BlockStore, query: &Query) -> Result<Vec<TxPosition>, SearchError> {
    search_within(store, query, MAX_SCAN_BYTES)
}

fn search_within(
    store: &BlockStore,
    query: &Query,
    mut room: usize,
) -> Result<Vec<TxPosition>, SearchError> {
    let mut found: Option<BTreeSet<TxPosition>> = None;
    for condition in query.conditions() {
        // Every transaction is of this kind, and the index does not say so again for each.
        if condition.key() == "tm.event" && condition.accepts("Tx") {
            continue;
        }
        let matching = with_condition(store, condition, &mut room)?;
        found = Some(match found {
            None => matching,
            Some(before) => before.intersection(&matching).copied().collect(),
        });
    }
    match found {
        Some(found) => Ok(found.into_iter().collect()),
        None => Ok(scan(store, b"tx.height\0", &mut room, |_| true)?.into_iter().collect()),
    }
}

fn with_condition(
    store: &BlockStore,
    condition: &Condition,
    room: &mut usize,
) -> Result<BTreeSet<TxPosition>, SearchError> {
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
    scan(store, &prefix, room, |value| {
        exact.as_deref().map_or_else(|| condition.accepts(value), |exact| exact == value)
    })
}

/// The positions of the entries under `prefix` whose value passes `accept`. What is read is taken from `room`.
fn scan(
    store: &BlockStore,
    prefix: &[u8],
    room: &mut usize,
    accept: impl Fn(&str) -> bool,
) -> Result<BTreeSet<TxPosition>, SearchError> {
    let (mut found, mut is_too_broad) = (BTreeSet::new(), false);
    store.scan_tx_events(prefix, |key| {
        let Some(rest) = room.checked_sub(key.len() + ENTRY_BYTES) else {
            is_too_broad = true;
            return false;
        };
        *room = rest;
        if let Some((value, position)) = parse(key)
            && accept(value)
        {
            found.insert(position);
        }
        true
    })?;
    if is_too_broad { Err(SearchError::TooBroad) } else { Ok(found) }
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

#[cfg(test)]
mod tests {
    use tendermint_proto::v0_38::abci::{ExecTxResult, ResponseFinalizeBlock};
    use tendermint_proto::v0_38::types::{Block, Data, Header};

    use super::*;

    #[test]
    fn a_search_reads_no_more_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlockStore::open(&dir.path().join("blocks.redb")).unwrap();
        let txs: Vec<Vec<u8>> = (0..10).map(|number| vec![number]).collect();
        let tx_results = vec![ExecTxResult::default(); txs.len()];
        let header = Some(Header { height: 7, ..Header::default() });
        let block = Block { header, data: Some(Data { txs }), ..Block::default() };
        let results = ResponseFinalizeBlock { tx_results, ..ResponseFinalizeBlock::default() };
        store.save_results(&block, &results, None).unwrap();
        let found = |text: &str, room: usize| {
            search_within(&store, &Query::parse(text).unwrap(), room).map(|found| found.len())
        };
        let entry = b"tx.height\x007\0".len() + POSITION_BYTES + ENTRY_BYTES;
        assert_eq!(found("tx.height > 0", 10 * entry).unwrap(), 10);
        for text in ["tx.height > 0", "tx.height = 7", "tm.event = 'Tx'"] {
            let error = found(text, 10 * entry - 1).unwrap_err();
            assert!(matches!(error, SearchError::TooBroad), "{text}: {error}");
        }
        // Two conditions share what may be read.
        assert!(found("tx.height > 0 AND tx.height < 9", 10 * entry).is_err());
        assert_eq!(found("tx.height = 8", 1).unwrap(), 0);
    }
}
