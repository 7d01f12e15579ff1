//! A complete block with the root that it leads to.

use capstan_kernel_ports::Hash;

use crate::{
    StateView,
    disk::{journal::Entry, meta::Meta},
    tree::{merk::MerkTree, state_tree::Applied},
    view::gap::Gaps,
};

/// A complete block, with the root that it leads to. Nothing of it is written yet.
///
/// [`Store::prepare`](crate::Store::prepare) makes one, and [`Store::commit`](crate::Store::commit) writes it.
pub struct Prepared {
    pub(crate) base: StateView,
    /// Difference to the committed state.
    pub(crate) entry: Entry,
    /// The tree after the block. `None` if it has to be read again.
    pub(crate) tree: Option<MerkTree>,
    /// The changed tree nodes. `None` if the tree does not change.
    pub(crate) applied: Option<Applied>,
    /// Gaps that the block found in the committed state.
    pub(crate) gaps: Gaps,
}

impl Prepared {
    /// Returns the root hash of the state after this block.
    pub fn root(&self) -> Hash {
        match &self.applied {
            Some(applied) => applied.root,
            None => self.base.root(),
        }
    }

    /// Returns the number of keys that get another value or are removed. Written `local.` keys always count.
    pub fn changed_keys(&self) -> usize {
        self.entry.flat.len()
    }

    /// Returns the keys that [`Prepared::changed_keys`] counts, in order, each with its new value or `None` if it is
    /// removed.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entry.flat.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    /// Returns the `meta` records of the state after this block, at `height`.
    pub(crate) fn meta(&self, height: u64) -> Meta {
        let base = self.base.meta();
        let serial = base.serial + 1;
        match &self.applied {
            Some(applied) => {
                Meta { height, serial, root: applied.root, root_key: applied.root_key.clone() }
            }
            None => Meta { height, serial, ..base.clone() },
        }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("base", &self.base)
            .field("root", &self.root())
            .field("changed_keys", &self.changed_keys())
            .finish_non_exhaustive()
    }
}
