//! `tx_search`: the transactions that fulfil the conditions of a query.
//!
//! Entries of the index with one value are in the order of the chain. So conditions with `=` and a text are walked
//! together from where the query begins, and `tx.height` bounds the walk. A walk that has read as much as one search may
//! ends there, and says at which height: a stranger who makes many entries for an account makes nobody's search fail.
//! Conditions of other kinds are checked against the events of each transaction that is found so.

use std::collections::BTreeSet;

use super::block_store::{BlockStore, BlockStoreError, TxPosition};
use super::query::{Condition, Query};
use super::tx_events::{Filter, Order, Room, Stop, Walk};
use super::tx_index::{indexes, parse, prefix};

/// Maximum number of bytes that one search reads.
const MAX_SCAN_BYTES: usize = 32 << 20;

/// What a search has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The positions of the transactions, in the order of the search.
    pub(crate) positions: Vec<TxPosition>,
    /// The height at which the search ended because it had read enough. There and beyond it there may be more.
    pub(crate) cut: Option<i64>,
}

/// The parts of a query.
struct Plan<'a> {
    /// The lowest and the highest height.
    heights: (i64, i64),
    /// Prefixes of the conditions with `=` and a text.
    exact: Vec<Vec<u8>>,
    /// The only position that the query can find, if it names a hash.
    only: Option<Option<TxPosition>>,
    /// All other conditions.
    others: Vec<&'a Condition>,
}

/// Returns the transactions up to the height `head` that fulfil every condition of `query`.
///
/// # Errors
/// The store fails.
pub(crate) fn search(
    store: &BlockStore,
    query: &Query,
    order: Order,
    head: i64,
) -> Result<Found, BlockStoreError> {
    search_within(store, query, order, head, MAX_SCAN_BYTES)
}

fn search_within(
    store: &BlockStore,
    query: &Query,
    order: Order,
    head: i64,
    room: usize,
) -> Result<Found, BlockStoreError> {
    let Some((first, last)) = store.heights()? else { return Ok(Found::default()) };
    let plan = Plan::of(store, query, (first, last.min(head)))?;
    if plan.exact.is_empty() && plan.only.is_none() && !plan.others.is_empty() {
        // Without a text that orders the entries, a walk reads the results of all blocks.
        if let Some(found) = by_others(store, &plan, order, Room(room))? {
            return Ok(found);
        }
    }
    let (mut found, mut room) = (Found::default(), Room(room));
    let mut filter = Filter::new(store, &plan.others);
    let mut each = |position, room: &mut Room| {
        if filter.accepts(position, room)? {
            found.positions.push(position);
        }
        Ok(())
    };
    let ended = match plan.only {
        None => Walk::new(store, order, plan.heights, &mut room)?.visit(&plan.exact, each),
        Some(Some(position)) if plan.has(store, position)? => each(position, &mut room),
        Some(_) => Ok(()),
    };
    match ended {
        Ok(()) => {}
        Err(Stop::Full(height)) => found.cut = Some(height),
        Err(Stop::Store(error)) => return Err(error),
    }
    Ok(found)
}

impl<'a> Plan<'a> {
    fn of(store: &BlockStore, query: &'a Query, all: (i64, i64)) -> Result<Self, BlockStoreError> {
        let mut plan = Self { heights: all, exact: Vec::new(), only: None, others: Vec::new() };
        for condition in query.conditions() {
            match (condition.key(), condition.exact_text(), condition.integer_bounds()) {
                ("tx.hash", text, _) => {
                    let hash = text.and_then(|text| hex::decode(text).ok());
                    let position = hash.map(|hash| store.tx_position(&hash)).transpose()?.flatten();
                    let before = plan.only.unwrap_or(position);
                    plan.only = Some(position.filter(|position| before == Some(*position)));
                }
                ("tx.height", None, Some((low, high))) => {
                    let within = |bound: i128| {
                        i64::try_from(bound).unwrap_or(match bound > 0 {
                            true => i64::MAX,
                            false => i64::MIN,
                        })
                    };
                    plan.heights.0 = plan.heights.0.max(within(low));
                    plan.heights.1 = plan.heights.1.min(within(high));
                }
                (key, Some(text), _) => plan.exact.push(prefix(key, Some(text))),
                _ => plan.others.push(condition),
            }
        }
        Ok(plan)
    }

    /// Returns whether a position is within the heights, and the index has it under all prefixes.
    fn has(
        &self,
        store: &BlockStore,
        (height, index): TxPosition,
    ) -> Result<bool, BlockStoreError> {
        let (low, high) = self.heights;
        if !(low..=high).contains(&height) {
            return Ok(false);
        }
        let table = store.tx_events()?;
        for prefix in &self.exact {
            let entry =
                table.get([prefix.as_slice(), &height.to_be_bytes()].concat().as_slice())?;
            if !entry.is_some_and(|list| indexes(list.value()).any(|found| found == index)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Searches by conditions alone whose entries are not in the order of the chain. All of their entries are read. Returns
/// `None` if they are too many.
fn by_others(
    store: &BlockStore,
    plan: &Plan<'_>,
    order: Order,
    mut room: Room,
) -> Result<Option<Found>, BlockStoreError> {
    let mut found: Option<BTreeSet<TxPosition>> = None;
    for condition in plan.others.iter().filter(|condition| condition.key() != "tx.height") {
        let Some(matching) = scan(store, condition, &mut room)? else { return Ok(None) };
        found = Some(match found {
            None => matching,
            Some(before) => before.intersection(&matching).copied().collect(),
        });
    }
    let Some(found) = found else { return Ok(None) };
    let heights = plan.others.iter().filter(|condition| condition.key() == "tx.height");
    let heights: Vec<_> = heights.collect();
    let (low, high) = plan.heights;
    let within = |(height, _): &TxPosition| {
        let text = height.to_string();
        (low..=high).contains(height)
            && heights.iter().all(|condition| condition.accepts_indexed(&text))
    };
    let mut positions: Vec<_> = found.into_iter().filter(within).collect();
    if order == Order::Descending {
        positions.reverse();
    }
    Ok(Some(Found { positions, cut: None }))
}

/// Returns the positions of the entries that fulfil a condition, or `None` if there is no room to read all.
fn scan(
    store: &BlockStore,
    condition: &Condition,
    room: &mut Room,
) -> Result<Option<BTreeSet<TxPosition>>, BlockStoreError> {
    let (mut found, mut has_room) = (BTreeSet::new(), true);
    store.scan_tx_events(&prefix(condition.key(), None), |key, list| {
        has_room = room.take_entry(key.len());
        if let Some((value, height)) = parse(key)
            && condition.accepts_indexed(value)
        {
            for index in indexes(list) {
                has_room &= room.take_position();
                found.insert((height, index));
            }
        }
        has_room
    })?;
    Ok(has_room.then_some(found))
}

#[cfg(test)]
#[path = "tx_search_tests.rs"]
mod tests;
