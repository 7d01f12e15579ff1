//! Nodes in memory, and the links between them.
//!
//! A node is shared by all states that have it, and never changes then. [`crate::tree::merk`] changes a tree by copying the
//! nodes on the way to a change, so that older states keep theirs.

use std::sync::Arc;

use crate::{
    changes::Shared,
    tree::{
        node::{NO_CHILD, hash_children, hash_kv, hash_value},
        state_tree::{Leaf, leaf_of_hash},
    },
};

/// A link to a subtree, in memory or not. `None` if the subtree is empty.
pub(crate) type Subtree = Option<Link>;

/// A link from a node to a child, with what the node's hash and balance need of it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) place: Place,
    /// Hash of the child, if `is_hashed`.
    pub(crate) hash: [u8; 32],
    /// Heights of the child's own children, left and right.
    pub(crate) heights: (u8, u8),
    pub(crate) is_hashed: bool,
    /// `true` if the child begins a record of its own: see [`crate::tree::record`].
    pub(crate) is_apart: bool,
}

/// Place where a child is.
#[derive(Clone)]
pub(crate) enum Place {
    Memory(Arc<TreeNode>),
    /// In the state's file, in the record with this key.
    Stored(Shared),
}

/// A node in memory.
#[derive(Clone)]
pub(crate) struct TreeNode {
    pub(crate) key: Shared,
    /// SHA-256 of the value.
    pub(crate) value: [u8; 32],
    /// Hash of key and value, once it was needed.
    kv_hash: Option<[u8; 32]>,
    /// Serial of the commit that made or changed the node. Zero if it was read from the state's file.
    pub(crate) serial: u64,
    /// The same as in the link to this node.
    pub(crate) is_apart: bool,
    pub(crate) left: Subtree,
    pub(crate) right: Subtree,
}

impl Link {
    /// Returns a link to a node that is hashed later.
    pub(crate) fn modified(node: Arc<TreeNode>) -> Self {
        let (heights, is_apart) = (node.child_heights(), node.is_apart);
        Self { place: Place::Memory(node), hash: NO_CHILD, heights, is_hashed: false, is_apart }
    }

    /// Returns the height of the child, 1 for a node without children.
    pub(crate) fn height(&self) -> u8 {
        1 + self.heights.0.max(self.heights.1)
    }

    /// Returns the child's key.
    pub(crate) fn key(&self) -> &Shared {
        match &self.place {
            Place::Memory(node) => &node.key,
            Place::Stored(key) => key,
        }
    }

    /// Returns the child, if it is in memory.
    pub(crate) fn node(&self) -> Option<&Arc<TreeNode>> {
        match &self.place {
            Place::Memory(node) => Some(node),
            Place::Stored(_) => None,
        }
    }
}

impl TreeNode {
    /// Creates a node without children.
    pub(crate) fn new(key: Shared, value: [u8; 32], serial: u64) -> Self {
        Self { key, value, kv_hash: None, serial, is_apart: false, left: None, right: None }
    }

    pub(crate) fn side(&self, left: bool) -> &Subtree {
        match left {
            true => &self.left,
            false => &self.right,
        }
    }

    pub(crate) fn side_mut(&mut self, left: bool) -> &mut Subtree {
        match left {
            true => &mut self.left,
            false => &mut self.right,
        }
    }

    pub(crate) fn child_heights(&self) -> (u8, u8) {
        (height(&self.left), height(&self.right))
    }

    /// Returns the height of this node, 1 if it has no children.
    pub(crate) fn height(&self) -> u8 {
        let (left, right) = self.child_heights();
        1 + left.max(right)
    }

    pub(crate) fn leaf(&self) -> Leaf {
        leaf_of_hash(&self.value)
    }

    pub(crate) fn set_value(&mut self, value: [u8; 32]) {
        (self.value, self.kv_hash) = (value, None);
    }

    /// Returns the node's hash. Its children must be hashed.
    pub(crate) fn hash(&mut self) -> [u8; 32] {
        let kv_hash = match self.kv_hash {
            Some(hash) => hash,
            None => hash_kv(&self.key, &hash_value(&self.leaf())),
        };
        self.kv_hash = Some(kv_hash);
        let child = |side: &Subtree| side.as_ref().map_or(NO_CHILD, |link| link.hash);
        hash_children(&kv_hash, &child(&self.left), &child(&self.right))
    }
}

/// Returns the height of a subtree, 1 for a node without children.
pub(crate) fn height(tree: &Subtree) -> u8 {
    tree.as_ref().map_or(0, Link::height)
}

/// Returns a link to a node that is not hashed yet.
pub(crate) fn modified(node: Arc<TreeNode>) -> Subtree {
    Some(Link::modified(node))
}

/// Takes a subtree off a node that nobody else has.
pub(crate) fn take(node: &mut Arc<TreeNode>, left: bool) -> Subtree {
    Arc::make_mut(node).side_mut(left).take()
}

/// Puts a subtree on a side of a node that nobody else has.
pub(crate) fn put(mut node: Arc<TreeNode>, left: bool, tree: Subtree) -> Arc<TreeNode> {
    *Arc::make_mut(&mut node).side_mut(left) = tree;
    node
}
