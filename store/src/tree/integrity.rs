//! The integrity check: the stored data agrees with itself and with the root.

use std::{borrow::Cow, sync::Arc};

use capstan_kernel_ports::{Hash, store::LOCAL};
use sha2::{Digest, Sha256};

use crate::{
    Error, StateView,
    changes::Shared,
    proven::{PROVEN, check::check},
    tree::{
        link::{Link, Subtree, TreeNode},
        loader::resolve,
        node::{MAX_HEIGHT, NO_CHILD, hash_node, printable},
        record,
        state_tree::{MAX_PLAIN_KEY, tree_key, value_hash},
        walk::{InOrder, find},
    },
    view::entries::Records,
};

/// Counts of what [`StateView::check_integrity`] has gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntegrityReport {
    /// Keys inside the root hash. The tree has as many nodes.
    pub keys: u64,
    /// Keys that begin with `local.`, but for those of the proven tree. Their values cannot be checked.
    pub local_keys: u64,
    /// Blobs, each of which has its hash.
    pub blobs: u64,
}

impl StateView {
    /// Computes every hash of this state anew.
    ///
    /// The check covers each tree node against its key, value and children, up to the root. It covers each value
    /// against its node, and each blob against its hash. The order of keys, the balance of every node and the heights in
    /// the nodes are checked too. No hash covers the heights, but the tree's growth depends on them. Finally no node and
    /// no key may be left over. The proven tree of this height is checked too.
    ///
    /// It needs memory for one path of the tree, and time in proportion to the state.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Damaged`] with the first contradiction found.
    pub fn check_integrity(&self) -> Result<IntegrityReport, Error> {
        let mut nodes = 0;
        let root = match self.tree()? {
            Some(link) => {
                check_subtree(self, link, Keys::default(), MAX_HEIGHT + 1, &mut nodes)?;
                link.hash
            }
            None => NO_CHILD,
        };
        if Hash(root) != self.root() {
            return Err(damaged(format!(
                "the tree's root is {}, the recorded one {}",
                Hash(root),
                self.root()
            )));
        }
        let (keys, local_keys) = check_entries(self)?;
        let stored = count(self.records()?)?;
        if nodes != keys || stored != keys {
            return Err(damaged(format!(
                "{keys} keys, but {nodes} nodes in the tree and {stored} in its table"
            )));
        }
        check(self)?;
        Ok(IntegrityReport { keys, local_keys, blobs: check_blobs(self)? })
    }
}

/// Returns the number of nodes in records.
fn count(records: Records) -> Result<u64, Error> {
    let mut count = 0;
    for entry in records {
        let (key, bytes) = entry?;
        let key = Shared::from(&*key);
        count += record::decode(&key, &bytes).map_err(|problem| problem.at(&key))?.1 as u64;
    }
    Ok(count)
}

/// The open interval in which all keys of a subtree must lie.
#[derive(Clone, Copy, Default)]
struct Keys<'a> {
    above: Option<&'a [u8]>,
    below: Option<&'a [u8]>,
}

/// Checks a subtree, which must be lower than `limit`, against the link to it. Adds its nodes to the count.
fn check_subtree(
    state: &StateView,
    link: &Link,
    range: Keys<'_>,
    limit: u8,
    nodes: &mut u64,
) -> Result<(), Error> {
    let wrong =
        |what: &str| damaged(format!("the tree node {:?} has {what}", printable(link.key())));
    // Heights fall towards the leaves, so the recursion ends however the nodes are linked.
    if link.height() >= limit {
        return Err(wrong("a parent that is not higher"));
    }
    let key = &**link.key();
    if range.above.is_some_and(|above| key <= above)
        || range.below.is_some_and(|below| key >= below)
    {
        return Err(wrong("a place out of the order of keys"));
    }
    let node = resolve(state.checkpoint(), link)?;
    let (left, right) = node.child_heights();
    if left.abs_diff(right) > 1 {
        return Err(wrong("children whose heights differ by more than one"));
    }
    let hash = |side: &Subtree| side.as_ref().map_or(NO_CHILD, |link| link.hash);
    let found = hash_node(key, &node.leaf(), &hash(&node.left), &hash(&node.right));
    if found != link.hash || (left, right) != link.heights {
        return Err(wrong("another hash or height than its parent says"));
    }
    *nodes += 1;
    let sides = [
        (&node.left, Keys { below: Some(key), ..range }),
        (&node.right, Keys { above: Some(key), ..range }),
    ];
    for (side, range) in sides {
        if let Some(child) = side {
            check_subtree(state, child, range, link.height(), nodes)?;
        }
    }
    Ok(())
}

/// Checks every key outside `local.` against its tree node. Returns the number of keys inside and outside the root
/// hash.
fn check_entries(state: &StateView) -> Result<(u64, u64), Error> {
    let (mut keys, mut local_keys) = (0, 0);
    let mut nodes = state.nodes()?;
    for entry in state.range(std::ops::Bound::Unbounded)? {
        let (key, value) = entry?;
        let (key, value) = (&*key, &*value);
        if key.starts_with(PROVEN) {
            continue; // checked as a tree
        }
        if key.starts_with(LOCAL) {
            local_keys += 1;
            continue;
        }
        keys += 1;
        let tree_key = tree_key(key);
        let node = match tree_key {
            Cow::Borrowed(_) => next_plain(&mut nodes)?.filter(|node| *node.key == *key),
            // Keys that were hashed are in another order than the entries.
            Cow::Owned(_) => find(state.tree()?, &tree_key, state.checkpoint())?,
        };
        let Some(node) = node else {
            let key = printable(&tree_key);
            return Err(damaged(format!(
                "the tree node {key:?} is missing, or another is too much"
            )));
        };
        if node.value != value_hash(value) {
            return Err(damaged(format!(
                "the value of {:?} is not the one in the tree",
                printable(key)
            )));
        }
    }
    Ok((keys, local_keys))
}

/// Returns the next node whose key was not hashed.
fn next_plain(nodes: &mut InOrder) -> Result<Option<Arc<TreeNode>>, Error> {
    let plain = |node: &Result<Arc<TreeNode>, Error>| {
        node.as_ref().map_or(true, |node| node.key.len() <= MAX_PLAIN_KEY)
    };
    nodes.find(plain).transpose()
}

fn check_blobs(state: &StateView) -> Result<u64, Error> {
    let mut blobs = 0;
    for blob in state.blobs()? {
        let (name, bytes) = blob?;
        if Hash(Sha256::digest(&*bytes).into()) != name {
            return Err(damaged(format!("the blob {name} has other content")));
        }
        blobs += 1;
    }
    Ok(blobs)
}

fn damaged(what: String) -> Error {
    Error::Damaged(what)
}
