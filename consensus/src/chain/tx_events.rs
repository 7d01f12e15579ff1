//! Walks over the event index in the order of the chain.

use prost::Message as _;
use redb::Range;
use tendermint_proto::v0_38::abci::ResponseFinalizeBlock;

use super::block_store::{BlockStore, BlockStoreError, TxEvents, TxPosition};
use super::query::Condition;
use super::tx_index::{indexes, parse, prefix};

/// Bytes that an entry counts besides its key, and each position in it, for the work of reading it.
const ENTRY_BYTES: usize = 64;
/// Bytes that looking up a place in the index counts.
const SEEK_BYTES: usize = 256;
/// Entries that are passed over one by one before the next place is looked up.
const STEPS: usize = 8;

/// The order in which a search finds transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// The bytes that a search may still read.
#[derive(Debug)]
pub(super) struct Room(pub(super) usize);

/// Reason why a walk ended before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It has read as much as it may. Everything before this height was visited.
    Full(i64),
    Store(BlockStoreError),
}

impl From<BlockStoreError> for Stop {
    fn from(error: BlockStoreError) -> Self {
        Self::Store(error)
    }
}

impl Room {
    /// Takes bytes. Returns false if there are not so many.
    fn take(&mut self, bytes: usize) -> bool {
        let rest = self.0.checked_sub(bytes);
        self.0 = rest.unwrap_or(0);
        rest.is_some()
    }

    /// Takes the bytes of an entry with a key of that length.
    pub(super) fn take_entry(&mut self, key: usize) -> bool {
        self.take(key.saturating_add(ENTRY_BYTES))
    }

    /// Takes the bytes of a position in an entry.
    pub(super) fn take_position(&mut self) -> bool {
        self.take(ENTRY_BYTES)
    }
}

impl Order {
    /// Returns whether `a` comes before `b`.
    fn is_before(self, a: TxPosition, b: TxPosition) -> bool {
        match self {
            Self::Ascending => a < b,
            Self::Descending => a > b,
        }
    }

    /// Returns the position after another one, or `None` after the last that there can be.
    fn after(self, (height, index): TxPosition) -> Option<TxPosition> {
        match self {
            Self::Ascending => match index.checked_add(1) {
                Some(index) => Some((height, index)),
                None => Some((height.checked_add(1)?, 0)),
            },
            Self::Descending => match index.checked_sub(1) {
                Some(index) => Some((height, index)),
                None => Some((height.checked_sub(1)?, u32::MAX)),
            },
        }
    }
}

/// A walk over the transactions of some heights.
pub(super) struct Walk<'a> {
    index: TxEvents,
    order: Order,
    heights: (i64, i64),
    room: &'a mut Room,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        store: &BlockStore,
        order: Order,
        heights: (i64, i64),
        room: &'a mut Room,
    ) -> Result<Self, BlockStoreError> {
        Ok(Self { index: store.tx_events()?, order, heights, room })
    }

    /// Calls `each` with the positions that have entries under all prefixes, in order. Without a prefix, with all
    /// positions.
    ///
    /// # Errors
    /// The [`Stop`] that ended the walk.
    pub(super) fn visit(
        &mut self,
        prefixes: &[Vec<u8>],
        mut each: impl FnMut(TxPosition, &mut Room) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let (low, high) = self.heights;
        if !prefixes.is_empty() {
            return self.together(prefixes, self.heights, &mut each);
        }
        let mut next = match self.order {
            Order::Ascending => Some(low),
            Order::Descending => Some(high),
        };
        while let Some(height) = next.filter(|height| (low..=high).contains(height)) {
            let prefix = prefix("tx.height", Some(&height.to_string()));
            self.together(&[prefix], (height, height), &mut each)?;
            next = match self.order {
                Order::Ascending => height.checked_add(1),
                Order::Descending => height.checked_sub(1),
            };
        }
        Ok(())
    }

    /// Visits what all prefixes have. Whoever is behind goes on to where the others are.
    fn together(
        &mut self,
        prefixes: &[Vec<u8>],
        (low, high): (i64, i64),
        each: &mut impl FnMut(TxPosition, &mut Room) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if low > high {
            return Ok(());
        }
        let ends = ((low, 0), (high, u32::MAX));
        let mut cursors: Vec<_> = prefixes.iter().map(|prefix| Cursor::new(prefix, ends)).collect();
        let mut target = match self.order {
            Order::Ascending => ends.0,
            Order::Descending => ends.1,
        };
        loop {
            let mut agreed = 0;
            for at in (0..cursors.len()).cycle() {
                let found = cursors[at].advance(&self.index, self.order, target, self.room)?;
                let Some(position) = found else { return Ok(()) };
                agreed = if position == target { agreed + 1 } else { 1 };
                target = position;
                if agreed == cursors.len() {
                    break;
                }
            }
            each(target, self.room)?;
            let Some(next) = self.order.after(target) else { return Ok(()) };
            target = next;
        }
    }
}

/// A place among the entries with one prefix.
struct Cursor<'a> {
    prefix: &'a [u8],
    /// The first and the last position that there may be.
    ends: (TxPosition, TxPosition),
    rest: Option<Range<'static, &'static [u8], &'static [u8]>>,
    /// The positions of the last entry that are still to come, the next one last.
    left: Vec<TxPosition>,
    current: Option<TxPosition>,
}

impl<'a> Cursor<'a> {
    fn new(prefix: &'a [u8], ends: (TxPosition, TxPosition)) -> Self {
        Self { prefix, ends, rest: None, left: Vec::new(), current: None }
    }

    /// Goes on to the first position that is not before `target`, and returns it.
    fn advance(
        &mut self,
        index: &TxEvents,
        order: Order,
        target: TxPosition,
        room: &mut Room,
    ) -> Result<Option<TxPosition>, Stop> {
        for _ in 0..STEPS {
            if let Some(current) = self.current
                && !order.is_before(current, target)
            {
                return Ok(Some(current));
            }
            if self.rest.is_none() {
                break;
            }
            if !self.step(order, room, target)? {
                return Ok(None);
            }
        }
        if !room.take(SEEK_BYTES) {
            return Err(Stop::Full(target.0));
        }
        let (low, high) = match order {
            Order::Ascending => (target, self.ends.1),
            Order::Descending => (self.ends.0, target),
        };
        if low > high {
            return Ok(None);
        }
        self.left.clear();
        let (low, high) = (self.key(low), self.key(high));
        let range = index.range(low.as_slice()..=high.as_slice());
        self.rest = Some(range.map_err(BlockStoreError::from)?);
        // The first entry is of the target's block, and may end before the target.
        while self.step(order, room, target)? {
            if let Some(current) = self.current
                && !order.is_before(current, target)
            {
                return Ok(Some(current));
            }
        }
        Ok(None)
    }

    /// Goes on to the next position: within an entry to the first that is not before `target`, or to the entry's last. Returns
    /// false if there is none.
    fn step(&mut self, order: Order, room: &mut Room, target: TxPosition) -> Result<bool, Stop> {
        if self.left.is_empty() && !self.read(order, room, target)? {
            return Ok(false);
        }
        while let Some(position) = self.left.pop() {
            if order.is_before(position, target) && !self.left.is_empty() {
                continue;
            }
            if !room.take_position() {
                return Err(Stop::Full(target.0));
            }
            self.current = Some(position);
            break;
        }
        Ok(true)
    }

    /// Reads the next entry. Returns false if there is none.
    fn read(&mut self, order: Order, room: &mut Room, target: TxPosition) -> Result<bool, Stop> {
        let Some(rest) = &mut self.rest else { return Ok(false) };
        let entry = match order {
            Order::Ascending => rest.next(),
            Order::Descending => rest.next_back(),
        };
        let entry = entry.transpose().map_err(BlockStoreError::from)?;
        let Some((key, list)) = entry else { return Ok(false) };
        let Some((_, height)) = parse(key.value()) else { return Ok(false) };
        if !room.take_entry(key.value().len().saturating_add(list.value().len())) {
            return Err(Stop::Full(target.0));
        }
        let positions = indexes(list.value()).map(|index| (height, index));
        match order {
            Order::Ascending => self.left.extend(positions.rev()),
            Order::Descending => self.left.extend(positions),
        }
        Ok(true)
    }

    fn key(&self, (height, _): TxPosition) -> Vec<u8> {
        [self.prefix, &height.to_be_bytes()].concat()
    }
}

/// The conditions that are checked against the events of a transaction.
pub(super) struct Filter<'a> {
    store: &'a BlockStore,
    conditions: &'a [&'a Condition],
    /// The results of the block that was read last.
    block: Option<(i64, ResponseFinalizeBlock)>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(store: &'a BlockStore, conditions: &'a [&'a Condition]) -> Self {
        Self { store, conditions, block: None }
    }

    /// Returns whether the transaction at a position fulfils all conditions.
    pub(super) fn accepts(&mut self, at: TxPosition, room: &mut Room) -> Result<bool, Stop> {
        let (height, index) = at;
        if self.conditions.is_empty() {
            return Ok(true);
        }
        if self.block.as_ref().is_none_or(|(known, _)| *known != height) {
            let results = self.store.results(height)?.unwrap_or_default();
            if !room.take(results.encoded_len()) {
                return Err(Stop::Full(height));
            }
            self.block = Some((height, results));
        }
        let result =
            self.block.as_ref().and_then(|(_, block)| block.tx_results.get(index as usize));
        let Some(result) = result else { return Ok(false) };
        let text = height.to_string();
        Ok(self.conditions.iter().all(|condition| {
            if condition.key() == "tx.height" {
                return condition.accepts_indexed(&text);
            }
            result.events.iter().any(|event| {
                let name = condition.key().strip_prefix(event.r#type.as_str());
                let Some(name) = name.and_then(|rest| rest.strip_prefix('.')) else { return false };
                let mut attributes = event.attributes.iter().filter(|a| a.index && a.key == name);
                attributes.any(|attribute| condition.accepts_indexed(&attribute.value))
            })
        }))
    }
}
