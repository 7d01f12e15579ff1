//! One layer: changes of recent commits in memory, until a checkpoint has them.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use capstan_kernel_ports::Hash;

use crate::changes::{Changes, Shared, Written};

/// Changes of many commits, each with the serial of its commit.
///
/// A reader says up to which serial it reads, so its state stays the same while later commits add theirs. See
/// [`Layers`](crate::view::layers::Layers).
#[derive(Default)]
pub(crate) struct Memory(RwLock<Tables>);

#[derive(Default)]
struct Tables {
    /// Serial of the last commit.
    last: u64,
    flat: BTreeMap<Shared, Versions>,
    /// Keys of records that the tree no longer has, with the serial of the commit.
    gone: Vec<(u64, Shared)>,
    blobs: BTreeMap<Hash, (u64, Shared)>,
}

/// Values of one key, the oldest first, each with the serial of its commit.
#[derive(Default)]
struct Versions(Vec<(u64, Option<Shared>)>);

impl Versions {
    /// Returns the last value written up to `serial`, or `None` if there is none.
    fn at(&self, serial: u64) -> Option<&Option<Shared>> {
        let later = self.0.partition_point(|(written, _)| *written <= serial);
        Some(&self.0[later.checked_sub(1)?].1)
    }
}

impl Memory {
    /// Adds a commit, whose serial must be greater than all others.
    pub(crate) fn add(&self, serial: u64, changes: Changes) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.last = serial;
        for (key, value) in changes.flat {
            tables.flat.entry(key).or_default().0.push((serial, value));
        }
        tables.gone.extend(changes.gone.into_iter().map(|key| (serial, key)));
        for (hash, bytes) in changes.blobs {
            tables.blobs.entry(hash).or_insert((serial, bytes));
        }
    }

    /// Returns the serial of the last commit, or zero if there is none.
    pub(crate) fn last(&self) -> u64 {
        self.read().last
    }

    /// Returns the last write of commits up to `serial` to `key`, or `None` if there is none.
    pub(crate) fn get(&self, key: &[u8], serial: u64) -> Option<Option<Shared>> {
        self.read().flat.get(key).and_then(|versions| versions.at(serial)).cloned()
    }

    /// Returns the first key at or after `from` that commits up to `serial` wrote, with its last value.
    pub(crate) fn first_from(&self, from: Bound<&[u8]>, serial: u64) -> Option<Written> {
        let tables = self.read();
        let mut range = tables.flat.range::<[u8], _>((from, Bound::Unbounded));
        range.find_map(|(key, versions)| Some((key.clone(), versions.at(serial)?.clone())))
    }

    /// Returns the blob `hash` if a commit up to `serial` added it.
    pub(crate) fn blob(&self, hash: &Hash, serial: u64) -> Option<Shared> {
        let tables = self.read();
        let (written, bytes) = tables.blobs.get(hash)?;
        (*written <= serial).then(|| bytes.clone())
    }

    /// Returns all changes of commits up to `serial`, entries and blobs in key order. Of the records that are gone only those
    /// of commits after `after`: an earlier one may be there again.
    pub(crate) fn up_to(&self, serial: u64, after: u64) -> Changes {
        let tables = self.read();
        let last = |(key, versions): (&Shared, &Versions)| {
            Some((key.clone(), versions.at(serial)?.clone()))
        };
        let gone = tables.gone.iter().filter(|(at, _)| (after + 1..=serial).contains(at));
        let blobs = tables.blobs.iter().filter(|(_, (written, _))| *written <= serial);
        Changes {
            flat: tables.flat.iter().filter_map(last).collect(),
            gone: gone.map(|(_, key)| key.clone()).collect(),
            blobs: blobs.map(|(hash, (_, bytes))| (*hash, bytes.clone())).collect(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        // Writing only appends, so a panic leaves at most a part of a commit that nobody reads.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
