//! The check of a whole proven tree: of every hash, and of the order of keys.

use std::{collections::BTreeSet, ops::Bound};

use crate::{
    Error, StateView,
    proven::{
        PROVEN,
        node::{NODES, Node, NodeKey},
        versions::{KEPT, Kept, Version, orphans, version_key},
    },
};

/// Checks the last version of the proven tree: that its root is that of the state, that every node has the hash that
/// its parent says, and that its keys are in order. Returns the number of its nodes.
pub(crate) fn check(state: &StateView) -> Result<u64, Error> {
    let version = Version::last(state)?;
    let (proven, root) = match &version {
        Some(version) => (version.proven_root(), version.state_root()),
        None => (Default::default(), state.root()),
    };
    if (proven, root) != (state.meta().proven, state.root()) {
        return Err(Error::Damaged("the proven tree is not that of the state".to_owned()));
    }
    let mut last: Option<Vec<u8>> = None;
    let mut nodes = 0;
    // The subtrees still to check, the next one last. Heights fall, so it has at most one for each height and one
    // more.
    let mut ahead: Vec<_> = version.and_then(|version| version.root).into_iter().collect();
    while let Some(link) = ahead.pop() {
        let node = Node::load(state, &link)?;
        nodes += 1;
        if node.hash() != link.hash {
            return Err(Error::Damaged(format!(
                "the proven node {:?} has another hash",
                link.node
            )));
        }
        match node {
            Node::Leaf(leaf) if last.as_ref().is_none_or(|last| *last < leaf.key) => {
                last = Some(leaf.key);
            }
            Node::Leaf(leaf) => {
                let key = String::from_utf8_lossy(&leaf.key).into_owned();
                return Err(Error::Damaged(format!("the proven key {key:?} is out of order")));
            }
            Node::Inner(inner) => {
                if inner.left.height.abs_diff(inner.right.height) > 1 {
                    let what = format!("the proven node {:?} is not balanced", link.node);
                    return Err(Error::Damaged(what));
                }
                ahead.extend([inner.right, inner.left]);
            }
        }
    }
    Ok(nodes)
}

/// Checks an imported tree: as [`check`], and that there is nothing besides its last version.
pub(crate) fn check_alone(state: &StateView) -> Result<(), Error> {
    // A version has two entries besides its nodes.
    let wanted = check(state)? + if Kept::load(state)?.is_some() { 2 } else { 0 };
    let mut found = 0;
    for entry in state.range(Bound::Included(PROVEN))? {
        match entry?.0.starts_with(PROVEN) {
            true => found += 1,
            false => break,
        }
    }
    match found == wanted {
        true => Ok(()),
        false => Err(Error::Import(format!("the proven tree has {found} entries, not {wanted}"))),
    }
}

/// The entries of the last version, among all entries of the tree.
pub(crate) struct LastVersion {
    kept: Option<Kept>,
    orphans: BTreeSet<Vec<u8>>,
}

impl LastVersion {
    /// Finds the entries of the last version of `state`.
    pub(crate) fn of(state: &StateView) -> Result<Self, Error> {
        let kept = Kept::load(state)?;
        let mut keys = BTreeSet::new();
        for number in kept.into_iter().flat_map(|kept| kept.first + 1..=kept.last) {
            keys.extend(orphans(state, number)?.into_iter().map(NodeKey::entry_key));
        }
        Ok(Self { kept, orphans: keys })
    }

    /// Returns whether the last version has the entry at `key`.
    pub(crate) fn includes(&self, key: &[u8]) -> bool {
        let is_node = key.starts_with(NODES) && !self.orphans.contains(key);
        is_node || key == KEPT || self.kept.is_some_and(|kept| *key == *version_key(kept.last))
    }

    /// Returns the value of the entry at `key` without the other versions, or `None` if it is what is stored.
    pub(crate) fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.kept.filter(|_| key == KEPT).map(Kept::only_last).transpose()
    }
}
