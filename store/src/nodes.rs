//! The nodes of a committed tree: those in the tree's file, and those that later commits changed.

use std::{
    collections::{BTreeMap, HashMap, btree_map},
    iter::Peekable,
    ops::{Bound, Deref},
    sync::Arc,
};

use crate::{
    Error,
    checkpoint::Checkpoint,
    snapshot::{Entries, Lent},
};

/// Encoded nodes by their tree key; none where one was removed. Looked up, and sorted before it is
/// gone through.
pub(crate) type NodeMap = HashMap<Arc<[u8]>, Option<Arc<[u8]>>>;

/// What one commit, or several in a row, made of the nodes.
pub(crate) struct Layer {
    /// The number of the last of these commits among those that changed the tree.
    pub(crate) serial: u64,
    pub(crate) nodes: NodeMap,
}

/// All nodes of one committed tree.
#[derive(Clone)]
pub(crate) struct Nodes {
    checkpoint: Arc<Checkpoint>,
    /// What came after the checkpoint, the oldest first.
    layers: Vec<Arc<Layer>>,
}

impl Nodes {
    /// The tree in the file.
    pub(crate) fn stored(checkpoint: Arc<Checkpoint>) -> Self {
        Self { checkpoint, layers: Vec::new() }
    }

    pub(crate) fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// The node at `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<NodeBytes>, Error> {
        for layer in self.layers.iter().rev() {
            if let Some(node) = layer.nodes.get(key) {
                return Ok(node.clone().map(NodeBytes::Kept));
            }
        }
        Ok(self.checkpoint.nodes.get(key)?.map(NodeBytes::Lent))
    }

    /// The tree after one more commit.
    pub(crate) fn with(&self, layer: Layer) -> Self {
        let mut layers = self.layers.clone();
        let mut last = layer;
        // Small layers are joined, as in a binary counter: else many small blocks would make many
        // layers to look through.
        while let Some(below) =
            layers.pop_if(|below| below.nodes.len() <= SMALL.min(2 * last.nodes.len()))
        {
            last = join(&below, last);
        }
        layers.push(Arc::new(last));
        Self { checkpoint: self.checkpoint.clone(), layers }
    }

    /// The same tree over a later checkpoint, which holds what the layers up to its own commit say.
    pub(crate) fn over(&self, checkpoint: Arc<Checkpoint>) -> Self {
        // A layer that was joined with later ones stays whole: what it says is still true.
        let later = self.layers.iter().filter(|layer| layer.serial > checkpoint.mark.serial);
        Self { layers: later.cloned().collect(), checkpoint }
    }

    /// All nodes in key order.
    pub(crate) fn iter(&self) -> Result<NodeIter, Error> {
        let mut written = BTreeMap::new();
        for layer in &self.layers {
            written.extend(layer.nodes.iter().map(|(key, node)| (key.clone(), node.clone())));
        }
        let everything: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);
        Ok(NodeIter {
            stored: self.checkpoint.nodes.range::<&[u8]>(everything)?.peekable(),
            written: written.into_iter().peekable(),
        })
    }
}

/// The bytes of a node.
pub(crate) enum NodeBytes {
    /// Of the database.
    Lent(Lent),
    /// Of a layer.
    Kept(Arc<[u8]>),
}

impl Deref for NodeBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(guard) => guard.value(),
            Self::Kept(bytes) => bytes,
        }
    }
}

/// Nodes in key order.
pub(crate) struct NodeIter {
    stored: Peekable<Entries>,
    written: Peekable<btree_map::IntoIter<Arc<[u8]>, Option<Arc<[u8]>>>>,
}

impl Iterator for NodeIter {
    /// A tree key and the node there.
    type Item = Result<(Arc<[u8]>, NodeBytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let stored = match self.stored.peek() {
                Some(Ok((key, _))) => Some(key.value()),
                Some(Err(_)) => return self.next_stored(),
                None => None,
            };
            let written = match (self.written.peek(), stored) {
                (None, _) => return self.next_stored(),
                (Some((key, _)), Some(stored)) if stored < &**key => return self.next_stored(),
                (Some((key, _)), stored) => stored == Some(&**key),
            };
            if written {
                self.stored.next(); // written over
            }
            if let Some((key, Some(node))) = self.written.next() {
                return Some(Ok((key, NodeBytes::Kept(node))));
            }
        }
    }
}

impl NodeIter {
    fn next_stored(&mut self) -> Option<<Self as Iterator>::Item> {
        let next = self.stored.next()?;
        Some(match next {
            Ok((key, node)) => Ok((key.value().into(), NodeBytes::Lent(node))),
            Err(error) => Err(error.into()),
        })
    }
}

/// Layers with more nodes are not joined: copying them would cost more than looking through them.
const SMALL: usize = 4096;

/// One layer of two that follow each other.
fn join(below: &Layer, above: Layer) -> Layer {
    let mut nodes = below.nodes.clone();
    nodes.extend(above.nodes);
    Layer { serial: above.serial, nodes }
}
