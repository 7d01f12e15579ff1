//! Walks through a whole tree, which read what is not in memory and keep none of it.

use std::sync::Arc;

use crate::{
    Error,
    changes::Shared,
    disk::checkpoint::Checkpoint,
    tree::{
        link::{Link, Place, Subtree, TreeNode},
        loader::resolve,
        node::{Node, NodeLink},
        record,
    },
};

/// Iterator over the nodes of a tree, in key order.
pub(crate) struct InOrder {
    checkpoint: Arc<Checkpoint>,
    /// The nodes that come next, each with all on its left side gone through.
    ahead: Vec<Arc<TreeNode>>,
    /// A link whose left edge is not in `ahead` yet.
    next: Subtree,
}

impl InOrder {
    pub(crate) fn new(tree: Subtree, checkpoint: Arc<Checkpoint>) -> Self {
        Self { checkpoint, ahead: Vec::new(), next: tree }
    }

    fn advance(&mut self) -> Result<Option<Arc<TreeNode>>, Error> {
        // Heights fall from node to node, so this ends however the file is damaged.
        while let Some(link) = self.next.take() {
            let node = resolve(&self.checkpoint, &link)?;
            self.next = node.left.clone();
            self.ahead.push(node);
        }
        let node = self.ahead.pop();
        self.next = node.as_ref().and_then(|node| node.right.clone());
        Ok(node)
    }
}

impl Iterator for InOrder {
    type Item = Result<Arc<TreeNode>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// Returns the node at `key`.
pub(crate) fn find(
    tree: &Subtree,
    key: &[u8],
    checkpoint: &Checkpoint,
) -> Result<Option<Arc<TreeNode>>, Error> {
    let mut ahead = tree.clone();
    while let Some(link) = ahead {
        let node = resolve(checkpoint, &link)?;
        ahead = match key.cmp(&*node.key) {
            std::cmp::Ordering::Less => node.left.clone(),
            std::cmp::Ordering::Greater => node.right.clone(),
            std::cmp::Ordering::Equal => return Ok(Some(node)),
        };
    }
    Ok(None)
}

/// Calls `write` with the key and the bytes of each record that commits after `serial` changed, in key order.
pub(crate) fn each_changed(
    tree: &Subtree,
    serial: u64,
    write: &mut dyn FnMut(&Shared, Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(Link { place: Place::Memory(node), is_apart, .. }) = tree else { return Ok(()) };
    if node.serial <= serial {
        return Ok(());
    }
    each_changed(&node.left, serial, write)?;
    if *is_apart {
        write(&node.key, record::encode(node))?;
    }
    each_changed(&node.right, serial, write)
}

/// Encodes a node as an export has it.
pub(crate) fn encode_node(node: &TreeNode) -> Vec<u8> {
    let link = |side: &Subtree| match side {
        Some(link) => NodeLink { key: link.key(), hash: link.hash, heights: link.heights }.encode(),
        None => NodeLink::encode_none(),
    };
    Node::encode(&node.key, &node.leaf(), &link(&node.left), &link(&node.right))
}
