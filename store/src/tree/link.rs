//! Links between nodes, and nodes with other links or another leaf.

use grovedb_merk::{
    Error as MerkError, TreeFeatureType,
    tree::{AggregateData, Link, TreeNode},
};

use crate::{
    Error,
    tree::{
        node::{hash_kv, hash_value},
        state_tree::Leaf,
    },
};

/// A link to a subtree, in memory or not. `None` if the subtree is empty.
pub(crate) type Subtree = Option<Link>;

/// Returns the height of a subtree, 1 for a node without children.
pub(crate) fn height(tree: &Subtree) -> u8 {
    tree.as_ref().map_or(0, Link::height)
}

/// Returns a link to a node that is not hashed yet.
pub(crate) fn modified(node: TreeNode) -> Subtree {
    Some(Link::from_modified_tree(node))
}

/// Takes a subtree off a node. The node must not be used before the next [`put`] on this side.
pub(crate) fn take(node: &mut TreeNode, left: bool) -> Subtree {
    node.link_mut(left).map(|link| std::mem::replace(link, PLACEHOLDER))
}

/// Puts a subtree on a side from which one was taken, or that had none.
pub(crate) fn put(mut node: TreeNode, left: bool, tree: Subtree) -> Result<TreeNode, Error> {
    match (node.link_mut(left), tree) {
        (Some(slot), Some(link)) => {
            debug_assert!(slot.key().is_empty(), "a subtree would be lost");
            *slot = link;
            Ok(node)
        }
        (_, None) => Ok(node.detach(left).0),
        (None, Some(Link::Modified { tree, .. })) => {
            node.attach(left, Some(tree)).map_err(tree_error)
        }
        // The crate can replace a link that is not modified, but cannot add one.
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

/// Returns the node with another leaf.
pub(crate) fn with_leaf(mut node: TreeNode, leaf: &Leaf) -> TreeNode {
    let (left, right) = (take(&mut node, true), take(&mut node, false));
    let key = node.take_key();
    let kv_hash = hash_kv(&key, &hash_value(leaf));
    from_parts(key, leaf.to_vec(), kv_hash, left, right)
}

/// Creates a node without children.
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

/// Placeholder for a link that is taken out for a moment.
pub(crate) const PLACEHOLDER: Link = Link::Reference {
    hash: [0; 32],
    child_heights: (0, 0),
    key: Vec::new(),
    aggregate_data: AggregateData::NoAggregateData,
};

pub(crate) fn tree_error(error: MerkError) -> Error {
    Error::Tree(error.to_string())
}
