//! What the last commits changed, in memory, until the state's file has it.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use capstan_kernel_ports::Hash;

use crate::changes::{Changes, Shared, Written};

/// Changes of many commits, each known by its serial. Who reads tells how far: so a state stays as it is
/// while later commits add theirs. See [`crate::view::layers::Layers`].
#[derive(Default)]
pub(crate) struct Memory(RwLock<Tables>);

#[derive(Default)]
struct Tables {
    /// The last commit.
    last: u64,
    flat: BTreeMap<Shared, Versions>,
    /// Looked up, and sorted before it is gone through.
    nodes: HashMap<Shared, Versions>,
    blobs: BTreeMap<Hash, (u64, Shared)>,
}

/// The values that a key had, the oldest first, each with the serial of the commit.
#[derive(Default)]
struct Versions(Vec<(u64, Option<Shared>)>);

impl Versions {
    /// What was written last up to `serial`: none if nothing was.
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
        for (key, node) in changes.nodes {
            tables.nodes.entry(key).or_default().0.push((serial, node));
        }
        for (hash, bytes) in changes.blobs {
            tables.blobs.entry(hash).or_insert((serial, bytes));
        }
    }

    /// The serial of the last commit; zero if there is none.
    pub(crate) fn last(&self) -> u64 {
        self.read().last
    }

    /// What commits up to `serial` wrote to `key`, if they did.
    pub(crate) fn get(&self, key: &[u8], serial: u64) -> Option<Option<Shared>> {
        self.read().flat.get(key).and_then(|versions| versions.at(serial)).cloned()
    }

    /// The first key from `from` on that commits up to `serial` wrote to.
    pub(crate) fn first_from(&self, from: Bound<&[u8]>, serial: u64) -> Option<Written> {
        let tables = self.read();
        let mut range = tables.flat.range::<[u8], _>((from, Bound::Unbounded));
        range.find_map(|(key, versions)| Some((key.clone(), versions.at(serial)?.clone())))
    }

    /// What commits up to `serial` made of the tree node at `key`, if they did.
    pub(crate) fn node(&self, key: &[u8], serial: u64) -> Option<Option<Shared>> {
        self.read().nodes.get(key).and_then(|versions| versions.at(serial)).cloned()
    }

    /// A blob that a commit up to `serial` brought.
    pub(crate) fn blob(&self, hash: &Hash, serial: u64) -> Option<Shared> {
        let tables = self.read();
        let (written, bytes) = tables.blobs.get(hash)?;
        (*written <= serial).then(|| bytes.clone())
    }

    /// All that commits up to `serial` changed, in key order each.
    pub(crate) fn up_to(&self, serial: u64) -> Changes {
        let tables = self.read();
        let last = |(key, versions): (&Shared, &Versions)| {
            Some((key.clone(), versions.at(serial)?.clone()))
        };
        let mut nodes: Vec<_> = tables.nodes.iter().filter_map(last).collect();
        nodes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let blobs = tables.blobs.iter().filter(|(_, (written, _))| *written <= serial);
        Changes {
            flat: tables.flat.iter().filter_map(last).collect(),
            nodes,
            blobs: blobs.map(|(hash, (_, bytes))| (*hash, bytes.clone())).collect(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        // Writing is appending, so what a panic leaves is a commit that nobody reads.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
