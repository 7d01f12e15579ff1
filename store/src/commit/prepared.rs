//! A complete block with the root that it leads to.

use capstan_kernel_ports::Hash;

use crate::{
    StateView,
    disk::{entry::Entry, meta::Meta},
    proven::{PROVEN, app_hash::app_hash},
    tree::state_tree::Applied,
    view::gap::Gaps,
};

/// A complete block, with the root that it leads to. Nothing of it is written yet.
///
/// [`Store::prepare`](crate::Store::prepare) makes one, and [`Store::commit`](crate::Store::commit) writes it.
pub struct Prepared {
    pub(crate) base: StateView,
    /// Difference to the committed state.
    pub(crate) entry: Entry,
    /// The tree after the block. `None` if it does not change.
    pub(crate) applied: Option<Applied>,
    /// New root hash of the proven tree. `None` if that stays.
    pub(crate) proven: Option<Hash>,
    /// Gaps that the block found in the committed state.
    pub(crate) gaps: Gaps,
}

impl Prepared {
    /// Returns the app hash of the state after this block: see [`StateView::app_hash`].
    pub fn app_hash(&self) -> Hash {
        app_hash(&self.proven_root(), &self.root())
    }

    fn proven_root(&self) -> Hash {
        self.proven.unwrap_or(self.base.meta().proven)
    }

    /// Returns the root hash of the state after this block.
    pub fn root(&self) -> Hash {
        match &self.applied {
            Some(applied) => applied.root,
            None => self.base.root(),
        }
    }

    /// Returns the number of keys that get another value or are removed. Written `local.` keys always count.
    pub fn changed_keys(&self) -> usize {
        self.changes().count()
    }

    /// Returns the keys that [`Prepared::changed_keys`] counts, in order, each with its new value or `None` if it is
    /// removed.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let own = self.entry.flat.iter().filter(|(key, _)| !key.starts_with(PROVEN));
        own.map(|(key, value)| (&**key, value.as_deref()))
    }

    /// Returns the `meta` records of the state after this block, at `height`.
    pub(crate) fn meta(&self, height: u64) -> Meta {
        let base = self.base.meta();
        let (serial, proven) = (base.serial + 1, self.proven_root());
        match &self.applied {
            Some(applied) => {
                let (root, root_key) = (applied.root, applied.root_key());
                Meta { height, serial, root, proven, root_key }
            }
            None => Meta { height, serial, proven, ..base.clone() },
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
