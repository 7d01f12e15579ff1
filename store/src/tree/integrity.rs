//! The integrity check: the stored data agrees with itself and with the root.

use capstan_kernel_ports::{Hash, store::LOCAL};
use sha2::{Digest, Sha256};

use crate::{
    Error, StateView,
    proven::{PROVEN, check::check},
    tree::{
        node::{
            MAX_HEIGHT, NO_CHILD, Node, NodeLink, hash_children, hash_kv, hash_value, printable,
        },
        state_tree::{TAG, leaf, tree_key},
    },
    view::entries::{Bytes, Nodes},
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
    /// Returns the bytes of the tree node at `key`.
    pub(crate) fn node(&self, key: &[u8]) -> Result<Bytes, Error> {
        let missing = || Error::Damaged(format!("the tree node {:?} is missing", printable(key)));
        self.lend_node(key)?.ok_or_else(missing)
    }

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
        let root = match &self.meta().root_key {
            Some(key) => {
                let range = Keys::default();
                check_subtree(self, key, range, MAX_HEIGHT, &mut nodes)?.hash
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
        let stored = count(self.nodes()?)?;
        if nodes != keys || stored != keys {
            return Err(damaged(format!(
                "{keys} keys, but {nodes} nodes in the tree and {stored} in its table"
            )));
        }
        check(self)?;
        Ok(IntegrityReport { keys, local_keys, blobs: check_blobs(self)? })
    }
}

fn count(nodes: Nodes) -> Result<u64, Error> {
    let mut count = 0;
    for node in nodes {
        node?;
        count += 1;
    }
    Ok(count)
}

/// Hash and height of a checked subtree.
struct Subtree {
    hash: [u8; 32],
    /// Heights of the root's children.
    heights: (u8, u8),
}

impl Subtree {
    fn height(&self) -> u8 {
        1 + self.heights.0.max(self.heights.1) // at most MAX_HEIGHT, see `check_subtree`
    }
}

/// The open interval in which all keys of a subtree must lie.
#[derive(Clone, Copy, Default)]
struct Keys<'a> {
    above: Option<&'a [u8]>,
    below: Option<&'a [u8]>,
}

/// Checks the subtree whose root is at `key` and which may be at most `limit` high. Adds its nodes to the count.
fn check_subtree(
    state: &StateView,
    key: &[u8],
    range: Keys<'_>,
    limit: u8,
    nodes: &mut u64,
) -> Result<Subtree, Error> {
    let wrong = |what: &str| damaged(format!("the tree node {:?} has {what}", printable(key)));
    if range.above.is_some_and(|above| key <= above)
        || range.below.is_some_and(|below| key >= below)
    {
        return Err(wrong("a place out of the order of keys"));
    }
    let guard = state.node(key)?;
    let node = Node::parse(&guard).map_err(|problem| problem.at(key))?;
    if node.value[0] != TAG {
        return Err(wrong("a value with another tag than 0"));
    }
    let value_hash = hash_value(&node.value);
    if value_hash != node.value_hash || hash_kv(key, &value_hash) != node.kv_hash {
        return Err(wrong("a value that does not give its hash"));
    }
    *nodes += 1;
    let below_here = Keys { below: Some(key), ..range };
    let above_here = Keys { above: Some(key), ..range };
    let mut check = |link: Option<&NodeLink<'_>>, range| match link {
        Some(link) => check_child(state, key, link, range, limit, nodes),
        None => Ok((NO_CHILD, 0)),
    };
    let left = check(node.left.as_ref(), below_here)?;
    let right = check(node.right.as_ref(), above_here)?;
    Ok(Subtree {
        hash: hash_children(&node.kv_hash, &left.0, &right.0),
        heights: (left.1, right.1),
    })
}

/// Checks a child of the node at `parent` against what the parent says of it. Returns its hash and height.
fn check_child(
    state: &StateView,
    parent: &[u8],
    link: &NodeLink<'_>,
    range: Keys<'_>,
    limit: u8,
    nodes: &mut u64,
) -> Result<([u8; 32], u8), Error> {
    // Heights fall towards the leaves, so the recursion ends however the nodes are linked.
    if link.height() >= limit {
        return Err(damaged(format!(
            "the tree node {:?} has a child that is too high",
            printable(parent)
        )));
    }
    let child = check_subtree(state, link.key, range, link.height(), nodes)?;
    if child.hash != link.hash || child.heights != link.heights {
        return Err(damaged(format!(
            "the tree node {:?} has another hash or height than its parent {:?} says",
            printable(link.key),
            printable(parent)
        )));
    }
    Ok((child.hash, child.height()))
}

/// Checks every key outside `local.` against its tree node. Returns the number of keys inside and outside the root
/// hash.
fn check_entries(state: &StateView) -> Result<(u64, u64), Error> {
    let (mut keys, mut local_keys) = (0, 0);
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
        let guard = state.node(&tree_key)?;
        let node = Node::parse(&guard).map_err(|problem| problem.at(&tree_key))?;
        if node.value != leaf(value) {
            return Err(damaged(format!(
                "the value of {:?} is not the one in the tree",
                printable(key)
            )));
        }
    }
    Ok((keys, local_keys))
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
