//! The artifacts of a state, read for a snapshot.

use std::collections::BTreeMap;

use capstan_kernel_ports::{
    Hash,
    artifact::{ArtifactError, ArtifactSource},
    store::Read,
};

use crate::{
    error::{Result, inconsistent},
    state::keys,
    sync::{
        artifact_error,
        cursor::{Cursor, Wanted},
    },
    vats::heap,
};

/// Reads the artifacts of a state.
///
/// Every node with the same state has the same artifacts, whatever else it keeps. Pages that only vanished heaps hold
/// are left out.
#[derive(Debug)]
pub struct Source {
    cursor: Cursor,
    /// Holds of vanished heaps on pages.
    released: BTreeMap<Hash, u32>,
}

impl Source {
    /// Begins with the first artifact of `state`.
    ///
    /// # Errors
    /// Returns an [`ArtifactError`] if the state cannot be read.
    pub fn new(state: &(impl Read + ?Sized)) -> std::result::Result<Self, ArtifactError> {
        let released = released(state).map_err(artifact_error)?;
        Ok(Self { cursor: Cursor::new(), released })
    }

    fn read(&mut self, state: &(impl Read + ?Sized)) -> Result<Option<Vec<u8>>> {
        let Some(wanted) = self.cursor.wanted(state, &self.released)? else { return Ok(None) };
        let found = match &wanted {
            Wanted::Bundle { hash, .. } => state.blob(hash)?,
            Wanted::Heap { vat, .. } => state.get(&keys::heap(*vat))?,
            Wanted::Entry { vat, position } => state.get(&keys::transcript(*vat, *position))?,
            Wanted::Page(hash) => state.get(&keys::heap_page(hash))?,
        };
        let missing = || inconsistent(format!("{} is not on this node", wanted.name()));
        let content = found.ok_or_else(missing)?;
        self.cursor.advance(&wanted, &content)?;
        Ok(Some(content))
    }
}

impl ArtifactSource for Source {
    fn next(&mut self, state: &dyn Read) -> std::result::Result<Option<Vec<u8>>, ArtifactError> {
        self.read(state).map_err(artifact_error)
    }
}

/// Counts the holds on pages that heaps have which are gone.
fn released(state: &(impl Read + ?Sized)) -> Result<BTreeMap<Hash, u32>> {
    let mut released = BTreeMap::new();
    let mut after = keys::DROPPED_HEAPS.to_vec();
    while let Some((key, value)) = state.next_after(keys::DROPPED_HEAPS, &after)? {
        for page in heap::dropped(&key, &value)? {
            *released.entry(page).or_default() += 1;
        }
        after = key;
    }
    Ok(released)
}
