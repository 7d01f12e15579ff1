//! Trees put together and taken apart.
//!
//! Everything that changes the tree's shape comes down to two operations: [`Loader::join`] makes one tree of
//! two and a node between them, [`Loader::concatenate`] makes one of two alone. Both take AVL trees of
//! any heights and give an AVL tree: at every node the heights of the two sides differ by one at most.
//!
//! *Why `join` does.* Let `tall` be higher than `low` by two or more. The way down the inner side of `tall`
//! ends at the first subtree that is higher than `low` by one at most. Its parent was higher by two or more,
//! and a child is lower than its parent by two at most, so this subtree is not lower than `low`. The node
//! with these two as children is therefore balanced, and one higher than the subtree whose place it takes.
//! So at each node on the way back one side is as high as before or one higher, and the difference is two at
//! most. A rotation, single or double, mends a difference of two and gives a tree that is as high as the
//! higher side or one higher: again no more than one higher than what was there before.
//!
//! *Why `concatenate` does.* Taking the outermost node off a tree makes each subtree on the way to it lower
//! by one at most, which a rotation mends in the same way; `join` does the rest.
//!
//! This is the algebra of "Just Join for Parallel Ordered Sets" (Blelloch, Ferizovic and Sun, SPAA 2016).
//! Nothing here calls itself: a way down is a loop and its nodes are kept in a vector.

use grovedb_merk::{
    TreeFeatureType,
    tree::{AggregateData, Link, TreeNode},
};

use crate::{
    Error, Snapshot,
    merk::load,
    node::{hash_kv, hash_value},
    tree::Leaf,
};

/// A subtree, in memory or not; none if it is empty.
pub(crate) type Subtree = Option<Link>;

/// Brings nodes into memory, and puts trees together that may lie outside of it.
///
/// Of the subtrees that only move, none is read.
pub(crate) struct Loader<'a> {
    pub(crate) state: &'a Snapshot,
    /// How many nodes were read.
    pub(crate) fetched: usize,
}

impl Loader<'_> {
    /// The root of a subtree, with links to what is below it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if what is stored is no node or not as high as its parent says. So heights
    /// fall by one at least from node to node, in a damaged file too.
    pub(crate) fn load(&mut self, link: Link) -> Result<TreeNode, Error> {
        match link {
            Link::Modified { tree, .. }
            | Link::Uncommitted { tree, .. }
            | Link::Loaded { tree, .. } => Ok(tree),
            Link::Reference { key, child_heights, .. } => {
                self.fetched += 1;
                load(self.state, &key, Some(child_heights))
            }
        }
    }

    /// The tree of `left`, `node` and `right`, whose keys are in this order. What `node` has for children is
    /// taken for nothing.
    pub(crate) fn join(
        &mut self,
        left: Subtree,
        node: TreeNode,
        right: Subtree,
    ) -> Result<TreeNode, Error> {
        let (left_height, right_height) = (height(&left), height(&right));
        if left_height > right_height + 1 {
            self.join_below(left, node, right, true)
        } else if right_height > left_height + 1 {
            self.join_below(right, node, left, false)
        } else {
            put(put(node, true, left)?, false, right)
        }
    }

    /// The tree of `left` and `right`, whose keys are in this order.
    pub(crate) fn concatenate(&mut self, left: Subtree, right: Subtree) -> Result<Subtree, Error> {
        let left_is_higher = height(&left) > height(&right);
        let (left, node, right) = match (left, right) {
            (None, only) | (only, None) => return Ok(only),
            (Some(left), right) if left_is_higher => {
                let (rest, last) = self.split_off_edge(left, false)?;
                (rest, last, right)
            }
            (left, Some(right)) => {
                let (rest, first) = self.split_off_edge(right, true)?;
                (left, first, rest)
            }
        };
        self.join(left, node, right).map(modified)
    }

    /// Joins below `tall`, which is higher than `low` by two or more and lies on the side `left` of `node`.
    fn join_below(
        &mut self,
        tall: Subtree,
        node: TreeNode,
        low: Subtree,
        left: bool,
    ) -> Result<TreeNode, Error> {
        let mut above = Vec::new();
        let mut inner = tall;
        while height(&inner) > height(&low) + 1
            && let Some(link) = inner
        {
            let mut parent = self.load(link)?;
            inner = take(&mut parent, !left);
            above.push(parent);
        }
        let mut joined = put(put(node, left, inner)?, !left, low)?;
        while let Some(parent) = above.pop() {
            joined = self.rebalance(put(parent, !left, modified(joined))?)?;
        }
        Ok(joined)
    }

    /// The tree without its first node, or its last one, and that node.
    fn split_off_edge(&mut self, tree: Link, first: bool) -> Result<(Subtree, TreeNode), Error> {
        let mut above = Vec::new();
        let mut edge = self.load(tree)?;
        while let Some(next) = take(&mut edge, first) {
            above.push(edge);
            edge = self.load(next)?;
        }
        let mut rest = take(&mut edge, !first);
        while let Some(parent) = above.pop() {
            rest = modified(self.rebalance(put(parent, first, rest)?)?);
        }
        Ok((rest, edge))
    }

    /// Rotates if the heights of the two sides differ by two. Below `node` all is balanced.
    fn rebalance(&mut self, mut node: TreeNode) -> Result<TreeNode, Error> {
        let difference = node.balance_factor();
        if difference.abs() <= 1 {
            return Ok(node);
        }
        let left = difference < 0;
        let mut child = self.take_loaded(&mut node, left)?;
        if child.child_height(!left) > child.child_height(left) {
            child = self.rotate(child, !left)?;
        }
        let node = put(node, left, modified(child))?;
        self.rotate(node, left)
    }

    /// Makes the child on one side the root.
    fn rotate(&mut self, mut node: TreeNode, left: bool) -> Result<TreeNode, Error> {
        let mut child = self.take_loaded(&mut node, left)?;
        let inner = take(&mut child, !left);
        let node = put(node, left, inner)?;
        put(child, !left, modified(node))
    }

    fn take_loaded(&mut self, node: &mut TreeNode, left: bool) -> Result<TreeNode, Error> {
        let child = take(node, left);
        self.load(child.ok_or_else(|| Error::Tree("the higher side is empty".into()))?)
    }
}

/// The height of a subtree; 1 for a node without children.
pub(crate) fn height(tree: &Subtree) -> u8 {
    tree.as_ref().map_or(0, Link::height)
}

/// A link to a node that is not hashed yet.
pub(crate) fn modified(node: TreeNode) -> Subtree {
    Some(Link::from_modified_tree(node))
}

/// Takes a subtree off a node. Until the next [`put`] on this side, the node is not to be used.
pub(crate) fn take(node: &mut TreeNode, left: bool) -> Subtree {
    node.link_mut(left).map(|link| std::mem::replace(link, NOWHERE))
}

/// Puts a subtree where one was taken off or none was.
pub(crate) fn put(mut node: TreeNode, left: bool, tree: Subtree) -> Result<TreeNode, Error> {
    match (node.link_mut(left), tree) {
        (Some(slot), Some(link)) => {
            debug_assert!(slot.key().is_empty(), "a subtree would be lost");
            *slot = link;
            Ok(node)
        }
        (_, None) => Ok(node.detach(left).0),
        (None, Some(Link::Modified { tree, .. })) => {
            node.attach(left, Some(tree)).map_err(crate::merk::tree_error)
        }
        // The crate lets a link that is not modified be replaced and not be added.
        (None, link) => {
            let other = take(&mut node, !left);
            let value = std::mem::take(node.value_mut_ref());
            let (kv_hash, key) = (*node.kv_hash(), node.take_key());
            Ok(match left {
                true => from_parts(key, value, kv_hash, link, other),
                false => from_parts(key, value, kv_hash, other, link),
            })
        }
    }
}

/// The node with another leaf.
pub(crate) fn with_leaf(mut node: TreeNode, leaf: &Leaf) -> TreeNode {
    let (left, right) = (take(&mut node, true), take(&mut node, false));
    let key = node.take_key();
    let kv_hash = hash_kv(&key, &hash_value(leaf));
    from_parts(key, leaf.to_vec(), kv_hash, left, right)
}

/// A node without children.
pub(crate) fn new_node(key: &[u8], leaf: &Leaf) -> TreeNode {
    TreeNode::new(key.to_vec(), leaf.to_vec(), None, TreeFeatureType::BasicMerkNode).value
}

fn from_parts(
    key: Vec<u8>,
    value: Vec<u8>,
    kv_hash: [u8; 32],
    left: Subtree,
    right: Subtree,
) -> TreeNode {
    let feature = TreeFeatureType::BasicMerkNode;
    TreeNode::from_fields(key, value, kv_hash, left, right, feature).value
}

/// Stands in a link's place for a moment.
pub(crate) const NOWHERE: Link = Link::Reference {
    hash: [0; 32],
    child_heights: (0, 0),
    key: Vec::new(),
    aggregate_data: AggregateData::NoAggregateData,
};
