//! Iteration over a committed state: the checkpoint merged with the later changes in memory.

use std::{
    iter::Peekable,
    ops::{Bound, Deref},
    vec,
};

use capstan_kernel_ports::Hash;
use redb::{AccessGuard, Range};

use crate::{
    Error,
    changes::{Shared, Written},
    view::layers::Layers,
};

/// Bytes of a committed state, without a copy.
pub(crate) enum Bytes {
    /// Borrowed from a page of the database.
    Stored(AccessGuard<'static, &'static [u8]>),
    /// Shared with the changes in memory.
    InMemory(Shared),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Stored(guard) => guard.value(),
            Self::InMemory(bytes) => bytes,
        }
    }
}

/// A range of a table in the state's file.
type StoredRange = Range<'static, &'static [u8], &'static [u8]>;

/// Iterator over entries in key order.
pub(crate) type Entries = Merged<MemoryRange>;
/// Iterator over the records of the tree in key order.
pub(crate) type Records = Merged<vec::IntoIter<Written>>;

/// A merge of the records in the file with the records in memory, in key order. Those in memory win.
pub(crate) struct Merged<W: Iterator<Item = Written>> {
    stored: Peekable<StoredRange>,
    written: Peekable<W>,
}

/// A record in a [`Merged`], or a key that had one at the checkpoint or after it.
pub(crate) enum Step {
    /// A key and its value.
    Entry(Bytes, Bytes),
    /// A key that was removed.
    Removed(Shared),
}

impl Entries {
    /// Merges `stored` with the writes of commits up to `serial` at or after the lower bound `from`.
    pub(crate) fn new(
        stored: StoredRange,
        memory: Layers,
        serial: u64,
        from: Bound<&[u8]>,
    ) -> Self {
        let from = from.map(Shared::from);
        let written = MemoryRange { memory, serial, from }.peekable();
        Self { stored: stored.peekable(), written }
    }
}

impl Records {
    /// Merges `stored` with the records in `written`.
    pub(crate) fn new(stored: StoredRange, written: Vec<Written>) -> Self {
        Self { stored: stored.peekable(), written: written.into_iter().peekable() }
    }
}

impl<W: Iterator<Item = Written>> Iterator for Merged<W> {
    type Item = Result<(Bytes, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step().transpose()? {
                Ok(Step::Entry(key, value)) => return Some(Ok((key, value))),
                Ok(Step::Removed(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<W: Iterator<Item = Written>> Merged<W> {
    /// Advances by one key, removed ones included.
    pub(crate) fn step(&mut self) -> Result<Option<Step>, Error> {
        let stored = match self.stored.peek() {
            Some(Ok((key, _))) => Some(key.value()),
            Some(Err(_)) => return self.next_stored(),
            None => None,
        };
        let over = match (self.written.peek(), stored) {
            (None, _) => return self.next_stored(),
            (Some((key, _)), Some(stored)) if stored < &**key => return self.next_stored(),
            (Some((key, _)), stored) => stored == Some(&**key),
        };
        if over {
            self.stored.next();
        }
        Ok(self.written.next().map(|(key, value)| match value {
            Some(value) => Step::Entry(Bytes::InMemory(key), Bytes::InMemory(value)),
            None => Step::Removed(key),
        }))
    }

    fn next_stored(&mut self) -> Result<Option<Step>, Error> {
        let Some(next) = self.stored.next() else { return Ok(None) };
        let (key, value) = next?;
        Ok(Some(Step::Entry(Bytes::Stored(key), Bytes::Stored(value))))
    }
}

/// Iterator over the writes of commits up to a serial, in key order.
pub(crate) struct MemoryRange {
    memory: Layers,
    serial: u64,
    from: Bound<Shared>,
}

impl Iterator for MemoryRange {
    type Item = Written;

    fn next(&mut self) -> Option<Written> {
        let from = self.from.as_ref().map(|key| &**key);
        let found = self.memory.first_from(from, self.serial)?;
        self.from = Bound::Excluded(found.0.clone());
        Some(found)
    }
}

/// Returns all blobs in the order of their hashes, from the file and from memory.
pub(crate) fn blobs(
    stored: Range<'static, [u8; 32], &'static [u8]>,
    written: Vec<(Hash, Shared)>,
) -> impl Iterator<Item = Result<(Hash, Bytes), Error>> + Send + Sync + use<> {
    let (mut stored, mut written) = (stored.peekable(), written.into_iter().peekable());
    std::iter::from_fn(move || {
        let first = match stored.peek() {
            Some(Ok((hash, _))) => Some(Hash(hash.value())),
            Some(Err(_)) => return Some(Err(stored.next()?.err()?.into())),
            None => None,
        };
        if let Some((hash, bytes)) = written.next_if(|(hash, _)| first.is_none_or(|at| *hash <= at))
        {
            if first == Some(hash) {
                stored.next();
            }
            return Some(Ok((hash, Bytes::InMemory(bytes))));
        }
        let (hash, bytes) = stored.next()?.ok()?;
        Some(Ok((Hash(hash.value()), Bytes::Stored(bytes))))
    })
}
