//! The artifacts of a state, read for a snapshot.

use std::collections::BTreeMap;

use capstan_kernel_ports::{
    Hash, VatId,
    artifact::{ArtifactError, ArtifactSource},
    store::Read,
};

use crate::{
    error::{Result, inconsistent},
    state::{keys, vat::Span},
    sync::{
        artifact_error,
        cursor::{Cursor, Wanted, entry_artifact, last_entry},
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
    /// Hashes of the present transcript before each of its entries that are still to come.
    before: Vec<Hash>,
}

impl Source {
    /// Begins with the first artifact of `state`.
    ///
    /// # Errors
    /// Returns an [`ArtifactError`] if the state cannot be read.
    pub fn new(state: &(impl Read + ?Sized)) -> std::result::Result<Self, ArtifactError> {
        let released = released(state).map_err(artifact_error)?;
        Ok(Self { cursor: Cursor::new(), released, before: Vec::new() })
    }

    fn read(&mut self, state: &(impl Read + ?Sized)) -> Result<Option<Vec<u8>>> {
        let Some(wanted) = self.cursor.wanted(state, &self.released)? else { return Ok(None) };
        let found = match &wanted {
            Wanted::Bundle { hash, .. } => state.blob(hash)?,
            Wanted::Heap { vat, .. } => state.get(&keys::heap(*vat))?,
            Wanted::Entry { vat, span } => self.entry(state, *vat, span)?,
            Wanted::Page(hash) => state.get(&keys::heap_page(hash))?,
        };
        let missing = || inconsistent(format!("{} is not on this node", wanted.name()));
        let content = found.ok_or_else(missing)?;
        self.cursor.advance(&wanted, &content)?;
        Ok(Some(content))
    }

    /// Reads the last entry of a span, with the hash of those before it. Returns `None` if this node lacks an entry.
    fn entry(
        &mut self,
        state: &(impl Read + ?Sized),
        vat: VatId,
        span: &Span,
    ) -> Result<Option<Vec<u8>>> {
        if self.before.is_empty() {
            let mut hash = Span::first_hash();
            for position in span.start..span.end {
                self.before.push(hash);
                let Some(entry) = state.get(&keys::transcript(vat, position))? else {
                    return Ok(None);
                };
                hash = Span::next_hash(hash, &entry);
            }
        }
        let Some(before) = self.before.pop() else { return Ok(None) };
        let entry = state.get(&keys::transcript(vat, last_entry(span)))?;
        Ok(entry.map(|entry| entry_artifact(before, &entry)))
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
