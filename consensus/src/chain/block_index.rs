//! The index of blocks by event, and `block_search` in it, with the rules of CometBFT's.
//!
//! A key of the table is `COMPOSITE-KEY 0x00 VALUE 0x00 HEIGHT EVENT`: height as 8 bytes, event as 4, both big-endian. The composite key is `EVENT-TYPE.ATTRIBUTE-KEY`. The event is the number of the event in the result,
//! from 1: conditions hold together only if the same event fulfils them. Attributes without the index flag, with an
//! empty key, or with a zero byte in their key are left out. Every block is also under `block.height`, with the
//! event 0.

use std::collections::BTreeSet;

use tendermint_proto::v0_38::abci::Event;

use super::block_store::{BlockStore, BlockStoreError};
use super::query::{Condition, Query};

const PLACE_BYTES: usize = 12;
/// The composite key under which every block is.
const HEIGHT_KEY: &str = "block.height";
/// Maximum number of bytes that one search reads. Each entry counts its key and [`ENTRY_BYTES`].
const MAX_SCAN_BYTES: usize = 32 << 20;
/// Bytes that an entry counts besides its key, for the work of reading it.
const ENTRY_BYTES: usize = 64;

/// A height, and the event in the results there.
type Place = (i64, u32);

/// Reason why a search has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// Too many entries would have to be read.
    #[error(
        "the query makes the node read too much of its index: add a condition with = and a text, or with block.height = and a height"
    )]
    TooBroad,
    /// The block store fails.
    #[error(transparent)]
    Store(#[from] BlockStoreError),
}

/// Returns the index keys of a block.
pub(crate) fn keys(height: i64, events: &[Event]) -> Vec<Vec<u8>> {
    let mut keys = vec![key(HEIGHT_KEY, &height.to_string(), (height, 0))];
    for (number, event) in (1_u32..).zip(events).filter(|(_, event)| !event.r#type.is_empty()) {
        let indexed = event.attributes.iter().filter(|it| it.index && !it.key.is_empty());
        for attribute in indexed {
            let composite = format!("{}.{}", event.r#type, attribute.key);
            if !composite.contains('\0') && composite != HEIGHT_KEY {
                keys.push(key(&composite, &attribute.value, (height, number)));
            }
        }
    }
    keys
}

/// Returns the heights of the blocks that fulfil every condition of `query`, in order.
///
/// # Errors
/// [`SearchError`].
pub(crate) fn search(store: &BlockStore, query: &Query) -> Result<Vec<i64>, SearchError> {
    search_within(store, query, MAX_SCAN_BYTES)
}

fn search_within(
    store: &BlockStore,
    query: &Query,
    mut room: usize,
) -> Result<Vec<i64>, SearchError> {
    let (heights, others): (Vec<_>, Vec<_>) =
        query.conditions().iter().partition(|condition| condition.key() == HEIGHT_KEY);
    let heights = Heights::new(&heights);
    let mut scan = Scan { store, heights: &heights, room: &mut room };
    let found = match others.is_empty() {
        true => scan.by_height()?,
        false => scan.by_events(&others)?,
    };
    let heights: BTreeSet<i64> = found.into_iter().map(|(height, _)| height).collect();
    Ok(heights.into_iter().collect())
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
    heights: &'a Heights<'a>,
    /// Bytes that may still be read.
    room: &'a mut usize,
}

impl Scan<'_> {
    /// The conditions are about the height alone.
    fn by_height(&mut self) -> Result<BTreeSet<Place>, SearchError> {
        if let Some(height) = self.heights.equal.and_then(Condition::height) {
            return self.entries(HEIGHT_KEY, Some(&height.to_string()), |_, _| true);
        }
        // As in CometBFT, the height is indexed as a number, which only ranges compare.
        let others = self.heights.others.clone();
        if others.is_empty() || !others.iter().all(|it| it.is_range()) {
            return Ok(BTreeSet::new());
        }
        self.entries(HEIGHT_KEY, None, |value, _| others.iter().all(|it| it.accepts_indexed(value)))
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
            let ranges: Vec<&Condition> =
                conditions.iter().filter(is_same_range).copied().collect();
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
        self.store.scan_block_events(&prefix, |key| {
            let Some(rest) = room.checked_sub(key.len() + ENTRY_BYTES) else {
                is_too_broad = true;
                return false;
            };
            *room = rest;
            if let Some((value, place)) = parse(key)
                && exact.is_none_or(|exact| exact == value)
                && accept(value, place.0)
            {
                found.insert(place);
            }
            true
        })?;
        if is_too_broad { Err(SearchError::TooBroad) } else { Ok(found) }
    }
}

fn key(composite: &str, value: &str, (height, event): Place) -> Vec<u8> {
    [
        composite.as_bytes(),
        b"\0",
        value.as_bytes(),
        b"\0",
        &height.to_be_bytes(),
        &event.to_be_bytes(),
    ]
    .concat()
}

/// The value and the place in a key.
fn parse(key: &[u8]) -> Option<(&str, Place)> {
    let (text, place) = key.split_at_checked(key.len().checked_sub(PLACE_BYTES)?)?;
    let start = text.iter().position(|byte| *byte == 0)? + 1;
    let value = std::str::from_utf8(text.get(start..text.len().checked_sub(1)?)?).ok()?;
    let (height, event) = place.split_at_checked(8)?;
    let height = i64::from_be_bytes(height.try_into().ok()?);
    Some((value, (height, u32::from_be_bytes(event.try_into().ok()?))))
}

#[cfg(test)]
mod tests {
    use tendermint_proto::v0_38::abci::ResponseFinalizeBlock;
    use tendermint_proto::v0_38::types::{Block, Header};

    use super::*;

    #[test]
    fn a_search_reads_no_more_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlockStore::open(&dir.path().join("blocks.redb")).unwrap();
        for height in 1..=9 {
            let header = Some(Header { height, ..Header::default() });
            let block = Block { header, ..Block::default() };
            store.save_results(&block, &ResponseFinalizeBlock::default(), None).unwrap();
        }
        let found = |text: &str, room: usize| {
            search_within(&store, &Query::parse(text).unwrap(), room).map(|found| found.len())
        };
        let entry = b"block.height\x007\0".len() + PLACE_BYTES + ENTRY_BYTES;
        assert_eq!(found("block.height > 0", 9 * entry).unwrap(), 9);
        let error = found("block.height > 0", 9 * entry - 1).unwrap_err();
        assert!(matches!(error, SearchError::TooBroad), "{error}");
        assert_eq!(found("block.height = 7", entry).unwrap(), 1);
        assert_eq!(found("block.height = 10", 1).unwrap(), 0);
    }
}
