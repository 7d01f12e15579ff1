//! The indexes of transactions and of blocks by event, and searches in them, with the rules of CometBFT's.
//!
//! A key of the table is `COMPOSITE-KEY 0x00 VALUE 0x00 HEIGHT INDEX EVENT`: height as 8 bytes, index and event as 4, all
//! big-endian. The composite key is `EVENT-TYPE.ATTRIBUTE-KEY`. The event is the number of the event in the result,
//! from 1: conditions hold together only if the same event fulfils them. Attributes without the index flag, with an
//! empty key, or with a zero byte in their key are left out. Every transaction is also under `tx.height`, and every block
//! under `block.height`, with the event 0.

use std::collections::BTreeSet;

use tendermint_proto::v0_38::abci::Event;

use super::block_store::{BlockStore, BlockStoreError, TxPosition};
use super::query::{Condition, Query};

const PLACE_BYTES: usize = 16;
/// Maximum number of bytes that one search reads. Each entry counts its key and [`ENTRY_BYTES`].
const MAX_SCAN_BYTES: usize = 32 << 20;
/// Bytes that an entry counts besides its key, for the work of reading it.
const ENTRY_BYTES: usize = 64;

/// What an index is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    Txs,
    /// The position of a block has the index 0.
    Blocks,
}

/// A position, and the event in the result there.
type Place = (TxPosition, u32);

/// Reason why a search has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// Too many entries would have to be read.
    #[error(
        "the query makes the node read too much of its index: add a condition with = and a text, or with tx.height = and a height"
    )]
    TooBroad,
    /// The condition on the hash of a transaction has none.
    #[error("{0}")]
    Hash(String),
    /// The block store fails.
    #[error(transparent)]
    Store(#[from] BlockStoreError),
}

impl Index {
    /// Returns the composite key under which everything is.
    fn height_key(self) -> &'static str {
        match self {
            Self::Txs => "tx.height",
            Self::Blocks => "block.height",
        }
    }

    /// Returns the keys of a transaction or of a block with these events.
    pub(crate) fn keys(self, position: TxPosition, events: &[Event]) -> Vec<Vec<u8>> {
        let mut keys = vec![key(self.height_key(), &position.0.to_string(), position, 0)];
        for (number, event) in (1_u32..).zip(events).filter(|(_, event)| !event.r#type.is_empty()) {
            let indexed = event.attributes.iter().filter(|it| it.index && !it.key.is_empty());
            for attribute in indexed {
                let composite = format!("{}.{}", event.r#type, attribute.key);
                if !composite.contains('\0') && composite != self.height_key() {
                    keys.push(key(&composite, &attribute.value, position, number));
                }
            }
        }
        keys
    }

    /// Returns the positions that fulfil every condition of `query`, in the order of the chain.
    pub(crate) fn search(
        self,
        store: &BlockStore,
        query: &Query,
    ) -> Result<Vec<TxPosition>, SearchError> {
        self.search_within(store, query, MAX_SCAN_BYTES)
    }

    fn search_within(
        self,
        store: &BlockStore,
        query: &Query,
        mut room: usize,
    ) -> Result<Vec<TxPosition>, SearchError> {
        let conditions = query.conditions();
        if self == Self::Txs
            && let Some(condition) = conditions.iter().find(|it| it.key() == "tx.hash")
        {
            return Ok(by_hash(store, condition)?.into_iter().collect());
        }
        let (heights, others): (Vec<_>, Vec<_>) =
            conditions.iter().partition(|condition| condition.key() == self.height_key());
        let heights = Heights::new(&heights);
        let mut scan = Scan { store, index: self, heights: &heights, room: &mut room };
        let found = match others.is_empty() {
            true => scan.by_height()?,
            false => scan.by_events(&others)?,
        };
        let positions: BTreeSet<TxPosition> = found.into_iter().map(|(position, _)| position).collect();
        Ok(positions.into_iter().collect())
    }
}

/// The conditions on the height. Equality counts only if there is no other condition.
struct Heights<'a> {
    equal: Option<&'a Condition>,
    others: Vec<&'a Condition>,
}

impl<'a> Heights<'a> {
    fn new(conditions: &[&'a Condition]) -> Self {
        let (equal, others): (Vec<_>, Vec<_>) =
            conditions.iter().copied().partition(|condition| condition.is_equality());
        let equal = equal.into_iter().find(|condition| condition.height().is_some());
        Self { equal: equal.filter(|_| others.is_empty()), others }
    }

    /// Returns whether the conditions hold for the height of what an event belongs to.
    fn hold(&self, height: i64) -> bool {
        // As in CometBFT, zero is no condition here.
        let equal = self.equal.and_then(Condition::height).filter(|height| *height != 0);
        let text = height.to_string();
        let mut ranges = self.others.iter().filter(|condition| condition.is_range());
        equal.is_none_or(|wanted| wanted == height) && ranges.all(|it| it.accepts_indexed(&text))
    }
}

struct Scan<'a> {
    store: &'a BlockStore,
    index: Index,
    heights: &'a Heights<'a>,
    /// Bytes that may still be read.
    room: &'a mut usize,
}

impl Scan<'_> {
    /// The conditions are about the height alone.
    fn by_height(&mut self) -> Result<BTreeSet<Place>, SearchError> {
        let key = self.index.height_key();
        if let Some(equal) = self.heights.equal {
            let text = match (self.index, equal.height()) {
                (Index::Blocks, Some(height)) => height.to_string(),
                _ => equal.argument().to_owned(),
            };
            return self.entries(key, Some(&text), |_, _| true);
        }
        // The index of blocks has heights as numbers, which only ranges compare.
        if self.index == Index::Blocks && !self.heights.others.iter().all(|it| it.is_range()) {
            return Ok(BTreeSet::new());
        }
        let others = self.heights.others.clone();
        if others.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.entries(key, None, |value, _| others.iter().all(|it| it.accepts_indexed(value)))
    }

    /// There are conditions on events, which the same event must fulfil.
    fn by_events(&mut self, conditions: &[&Condition]) -> Result<BTreeSet<Place>, SearchError> {
        let mut found: Option<BTreeSet<Place>> = None;
        for (at, condition) in conditions.iter().enumerate() {
            let is_same_range =
                |other: &&&Condition| other.is_range() && other.key() == condition.key();
            // All ranges of a key are looked up together.
            if condition.is_range() && conditions[..at].iter().any(|other| is_same_range(&other)) {
                continue;
            }
            let ranges: Vec<&Condition> = conditions.iter().filter(is_same_range).copied().collect();
            let exact = condition.is_equality().then(|| condition.argument());
            let heights = self.heights;
            let matching = self.entries(condition.key(), exact, |value, height| {
                heights.hold(height)
                    && match condition.is_range() {
                        true => ranges.iter().all(|range| range.accepts_indexed(value)),
                        false => condition.accepts_indexed(value),
                    }
            })?;
            found = Some(match found {
                None => matching,
                Some(before) => before.intersection(&matching).copied().collect(),
            });
        }
        Ok(found.unwrap_or_default())
    }

    /// The places of the entries of a composite key, or of one value of it, that pass `accept`.
    fn entries(
        &mut self,
        composite: &str,
        exact: Option<&str>,
        accept: impl Fn(&str, i64) -> bool,
    ) -> Result<BTreeSet<Place>, SearchError> {
        let mut prefix = [composite.as_bytes(), b"\0"].concat();
        if let Some(value) = exact {
            prefix.extend_from_slice(value.as_bytes());
            prefix.push(0);
        }
        let (mut found, mut is_too_broad, room) = (BTreeSet::new(), false, &mut *self.room);
        self.store.scan_events(self.index, &prefix, |key| {
            let Some(rest) = room.checked_sub(key.len() + ENTRY_BYTES) else {
                is_too_broad = true;
                return false;
            };
            *room = rest;
            if let Some((value, place)) = parse(key)
                && exact.is_none_or(|exact| exact == value)
                && accept(value, place.0.0)
            {
                found.insert(place);
            }
            true
        })?;
        if is_too_broad { Err(SearchError::TooBroad) } else { Ok(found) }
    }
}

fn by_hash(store: &BlockStore, condition: &Condition) -> Result<Option<TxPosition>, SearchError> {
    let digits = condition.argument();
    if digits.is_empty() {
        let why = "error while retrieving the result: transaction hash cannot be empty";
        return Err(SearchError::Hash(why.to_owned()));
    }
    let hash = hex::decode(digits).map_err(|error| {
        let why = match (error, digits.bytes().find(|byte| !byte.is_ascii_hexdigit())) {
            (_, Some(bad)) => format!("invalid byte: U+{bad:04X} '{}'", char::from(bad)),
            (_, None) => "odd length hex string".to_owned(),
        };
        SearchError::Hash(format!("error during searching for a hash in the query: encoding/hex: {why}"))
    })?;
    Ok(store.tx_position(&hash)?)
}

fn key(composite: &str, value: &str, (height, index): TxPosition, event: u32) -> Vec<u8> {
    [
        composite.as_bytes(),
        b"\0",
        value.as_bytes(),
        b"\0",
        &height.to_be_bytes(),
        &index.to_be_bytes(),
        &event.to_be_bytes(),
    ]
    .concat()
}

/// The value and the place in a key.
fn parse(key: &[u8]) -> Option<(&str, Place)> {
    let (text, place) = key.split_at_checked(key.len().checked_sub(PLACE_BYTES)?)?;
    let start = text.iter().position(|byte| *byte == 0)? + 1;
    let value = std::str::from_utf8(text.get(start..text.len().checked_sub(1)?)?).ok()?;
    let (height, rest) = place.split_at_checked(8)?;
    let (index, event) = rest.split_at_checked(4)?;
    let position =
        (i64::from_be_bytes(height.try_into().ok()?), u32::from_be_bytes(index.try_into().ok()?));
    Some((value, (position, u32::from_be_bytes(event.try_into().ok()?))))
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
            let query = Query::parse(text).unwrap();
            Index::Txs.search_within(&store, &query, room).map(|found| found.len())
        };
        let entry = b"tx.height\x007\0".len() + PLACE_BYTES + ENTRY_BYTES;
        assert_eq!(found("tx.height > 0", 10 * entry).unwrap(), 10);
        for text in ["tx.height > 0", "tx.height = 7", "tx.height EXISTS"] {
            let error = found(text, 10 * entry - 1).unwrap_err();
            assert!(matches!(error, SearchError::TooBroad), "{text}: {error}");
        }
        assert_eq!(found("tx.height = 8", 1).unwrap(), 0);
        let query = Query::parse("block.height > 0").unwrap();
        assert_eq!(Index::Blocks.search_within(&store, &query, 200).unwrap(), [(7, 0)]);
        assert!(Index::Blocks.search_within(&store, &query, 9).is_err());
    }
}
