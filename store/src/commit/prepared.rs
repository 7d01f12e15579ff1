//! A block that is complete.

use capstan_kernel_ports::Hash;

use crate::{
    StateView,
    disk::{journal::Entry, meta::Meta},
    tree::{merk::MerkTree, state_tree::Applied},
};

/// A block that is complete, with the root it leads to. Nothing of it is written yet.
pub struct Prepared {
    pub(crate) base: StateView,
    /// What differs from the committed state.
    pub(crate) entry: Entry,
    /// The tree as it will be; none if it has to be read again.
    pub(crate) tree: Option<MerkTree>,
    /// What the tree's nodes will be; none if the tree does not change.
    pub(crate) applied: Option<Applied>,
}

impl Prepared {
    /// The root hash of the state with this block.
    pub fn root(&self) -> Hash {
        match &self.applied {
            Some(applied) => applied.root,
            None => self.base.root(),
        }
    }

    /// How many keys have another value, or are new or gone, and how many `local.` keys were written.
    pub fn changed_keys(&self) -> usize {
        self.entry.flat.len()
    }

    /// The keys that [`Prepared::changed_keys`] counts, in order, with their new values; none where one is gone. For
    /// statistics.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entry.flat.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    /// What the state's records will be at `height`.
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
