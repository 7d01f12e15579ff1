//! The uploads that the transactions of a proposal may complete, and what the completed bundles count.
//!
//! The last chunk of an upload is small, and makes the chain unpack and verify the whole bundle. The block that has it
//! must have room for that.

use std::collections::BTreeMap;

use crate::{
    admission::mempool::CheckState,
    fault::NodeFault,
    tx::{Action, Tx, UploadId},
};

/// An upload with chunks in the proposal.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Number of chunks that are missing after those of the proposal, if all of these are right.
    missing: usize,
    /// Size of the unpacked bundle, in bytes.
    size: u64,
}

/// The uploads of a proposal.
#[derive(Debug, Default)]
pub(crate) struct Completions(BTreeMap<UploadId, Open>);

/// The uploads that a transaction changes.
pub(crate) struct Change {
    uploads: BTreeMap<UploadId, Open>,
    /// Computrons that the bundles count which it may complete.
    pub(crate) computrons: u64,
}

impl Completions {
    /// Returns what a transaction changes if it follows those before.
    pub(crate) fn change(&self, tx: &Tx, state: &CheckState) -> Result<Change, NodeFault> {
        let each = state.params()?.tx_byte_computrons;
        let mut change = Change { uploads: BTreeMap::new(), computrons: 0 };
        for action in &tx.actions {
            match action {
                Action::BeginUpload(begun) => {
                    // A second announcement of an upload is refused, and changes nothing.
                    let known = self.find(&change, &begun.upload, state)?;
                    let size = begun.uncompressed_size;
                    let open = known.unwrap_or(Open { missing: begun.chunks.len(), size });
                    change.uploads.insert(begun.upload, open);
                }
                Action::UploadChunk { upload, .. } => {
                    let Some(mut open) = self.find(&change, upload, state)? else { continue };
                    // An upload is completed once: what comes after its last chunk counts nothing.
                    if open.missing == 1 {
                        let computrons = each.saturating_mul(open.size);
                        change.computrons = change.computrons.saturating_add(computrons);
                    }
                    open.missing = open.missing.saturating_sub(1);
                    change.uploads.insert(*upload, open);
                }
                _ => {}
            }
        }
        Ok(change)
    }

    /// Notes that the transaction with this change is part of the proposal.
    pub(crate) fn apply(&mut self, change: Change) {
        self.0.extend(change.uploads);
    }

    fn find(
        &self,
        change: &Change,
        id: &UploadId,
        state: &CheckState,
    ) -> Result<Option<Open>, NodeFault> {
        if let Some(open) = change.uploads.get(id).or_else(|| self.0.get(id)) {
            return Ok(Some(*open));
        }
        let upload = state.upload(id)?;
        Ok(upload.map(|u| Open { missing: u.missing().len(), size: u.uncompressed_size }))
    }
}
