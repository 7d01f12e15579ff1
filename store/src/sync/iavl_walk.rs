//! The proven tree, node by node from the root downwards, out of one store and into another.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Hash;

use crate::{
    Error, StateView,
    proven::{
        node::{Inner, Leaf, Link, Node, NodeKey, Sha},
        tree::unwritable,
        versions::{KEPT, Kept, Version, version_key},
    },
    sync::format::InnerRecord,
};

/// Calls `visit` with each node of the last version of the proven tree: a node, then all below its left child, then all
/// below its right one.
pub(crate) fn each_node(
    state: &StateView,
    mut visit: impl FnMut(&Node) -> Result<(), Error>,
) -> Result<(), Error> {
    let root = Version::last(state)?.and_then(|version| version.root);
    // Heights fall, so it has at most one link for each height and one more.
    let mut ahead: Vec<Link> = root.into_iter().collect();
    while let Some(link) = ahead.pop() {
        let node = Node::load(state, &link)?;
        visit(&node)?;
        if let Node::Inner(inner) = node {
            ahead.extend([inner.right, inner.left]);
        }
    }
    Ok(())
}

/// A tree that arrives. Each node is checked when it comes, and given out when all below it has come.
#[derive(Clone, Debug, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct IavlWalk {
    root: Option<Link>,
    /// Nodes of which not all below has come, from the root downwards.
    open: Vec<Open>,
    /// The last leaf's key.
    last: Option<Vec<u8>>,
    /// Number of nodes that were given out.
    nodes: u32,
}

/// An inner node that waits for what is below it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Open {
    node: InnerRecord,
    /// The left child and the first key below it, once all below it has come.
    left: Option<(Link, Vec<u8>)>,
}

/// A node that is complete: the key of its entry, and its bytes.
pub(crate) type Done = (Vec<u8>, Vec<u8>);

impl IavlWalk {
    /// Takes the next node of the tree with this root, an inner one.
    pub(crate) fn inner(&mut self, root: &Hash, node: InnerRecord) -> Result<(), Error> {
        let hash = inner(&node).hash(&node.left, &node.right);
        let is_low = self.open.last().is_none_or(|parent| node.height < parent.node.height);
        if hash != self.expected(root)? || node.height == 0 || !is_low {
            return Err(wrong("an inner node is not the one that its parent says"));
        }
        // Heights fall, and a byte has no more than 255 of them. So there are no more open nodes.
        self.open.push(Open { node, left: None });
        Ok(())
    }

    /// Takes the next node of the tree with this root, a leaf. Adds the nodes that are complete to `done`.
    pub(crate) fn leaf(
        &mut self,
        root: &Hash,
        leaf: Leaf,
        done: &mut Vec<Done>,
    ) -> Result<(), Error> {
        if leaf.hash() != self.expected(root)? {
            return Err(wrong("a leaf is not the one that its parent says"));
        }
        if self.last.as_ref().is_some_and(|last| *last >= leaf.key) {
            return Err(wrong("a leaf is out of the order of keys"));
        }
        self.last = Some(leaf.key.clone());
        let first = leaf.key.clone();
        let link = self.give_out(leaf.version, Node::Leaf(leaf), done)?;
        self.complete(link, first, done)
    }

    /// Returns whether the whole tree with this root has come.
    pub(crate) fn is_complete(&self, root: &Hash) -> bool {
        self.open.is_empty() && (self.root.is_some() != (*root == Hash::default()))
    }

    /// Returns the entries that make the tree the only version of a state of this height and root.
    pub(crate) fn version(self, height: u64, state_root: Hash) -> Result<Vec<Done>, Error> {
        let version = Version::new(height, self.root, state_root);
        let kept = Kept { first: FIRST, last: FIRST };
        Ok(vec![
            (KEPT.to_vec(), borsh::to_vec(&kept).map_err(unwritable)?),
            (version_key(FIRST), borsh::to_vec(&version).map_err(unwritable)?),
        ])
    }

    /// Returns the hash that the next node must have.
    fn expected(&self, root: &Hash) -> Result<Sha, Error> {
        match self.open.last() {
            Some(Open { node, left: None }) => Ok(node.left),
            Some(Open { node, left: Some(_) }) => Ok(node.right),
            None if self.root.is_none() => Ok(root.0),
            None => Err(wrong("a node has no place")),
        }
    }

    /// Notes that a subtree has come whole, and so on upwards.
    fn complete(
        &mut self,
        mut link: Link,
        mut first: Vec<u8>,
        done: &mut Vec<Done>,
    ) -> Result<(), Error> {
        loop {
            let Some(mut parent) = self.open.pop() else {
                self.root = Some(link);
                return Ok(());
            };
            let Some((left, left_first)) = parent.left.take() else {
                parent.left = Some((link, first));
                self.open.push(parent);
                return Ok(());
            };
            let InnerRecord { version, height, size, .. } = parent.node;
            let is_measured = left.height.max(link.height).checked_add(1) == Some(height)
                && left.height.abs_diff(link.height) <= 1
                && left.size.checked_add(link.size) == Some(size);
            if !is_measured {
                return Err(wrong(
                    "an inner node has another height or size than its children give",
                ));
            }
            // The key of an inner node is not hashed: it is the first one of the right side.
            let node = Inner { version, height, size, key: first, left, right: link };
            first = left_first;
            link = self.give_out(version, Node::Inner(node), done)?;
        }
    }

    /// Gives out a node under a number of its own.
    fn give_out(&mut self, version: u64, node: Node, done: &mut Vec<Done>) -> Result<Link, Error> {
        let key = NodeKey { version, number: self.nodes };
        self.nodes =
            self.nodes.checked_add(1).ok_or_else(|| wrong("it has more nodes than any tree"))?;
        let (height, size) = node.shape();
        let link = Link { node: key, hash: node.hash(), height, size };
        done.push((key.entry_key(), borsh::to_vec(&node).map_err(unwritable)?));
        Ok(link)
    }
}

/// Number of the only version of a restored tree.
const FIRST: u64 = 1;

/// Returns what the node's hash covers.
fn inner(node: &InnerRecord) -> Inner<()> {
    let InnerRecord { version, height, size, .. } = *node;
    Inner { version, height, size, key: Vec::new(), left: (), right: () }
}

fn wrong(what: &str) -> Error {
    Error::Snapshot(format!("the proven tree: {what}"))
}
