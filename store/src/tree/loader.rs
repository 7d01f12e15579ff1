//! Loading of tree nodes into memory.

use std::sync::Arc;

use crate::{
    Error,
    changes::Shared,
    disk::checkpoint::Checkpoint,
    tree::{
        link::{Link, Place, TreeNode},
        node::printable,
        record,
    },
};

/// Loads nodes into memory and joins trees that are partly on disk.
///
/// A subtree that only moves is not read.
pub(crate) struct Loader<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    /// Serial of the commit that changes the tree.
    pub(crate) serial: u64,
    /// Number of nodes read so far.
    pub(crate) fetched: usize,
    /// Number of nodes copied, made and read to be changed so far.
    pub(crate) visited: usize,
    /// Number of records read so far.
    pub(crate) records: usize,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, serial: u64) -> Self {
        Self { checkpoint, serial, fetched: 0, visited: 0, records: 0 }
    }

    /// Loads the root of a subtree, to be changed. Its children stay links.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Damaged`] if the stored bytes are no record, or their first node is not as high as the parent says.
    /// So heights fall by at least one from node to node, in a damaged file too.
    pub(crate) fn load(&mut self, link: Link) -> Result<Arc<TreeNode>, Error> {
        let mut node = match link.place {
            Place::Memory(node) => node,
            Place::Stored(_) => {
                let (node, nodes) = read(self.checkpoint, &link)?;
                self.fetched += nodes;
                self.records += 1;
                node
            }
        };
        self.own(&mut node);
        Ok(node)
    }

    /// Makes a node one that only the changed tree has.
    pub(crate) fn own(&mut self, node: &mut Arc<TreeNode>) {
        let own = Arc::make_mut(node);
        if own.serial != self.serial {
            own.serial = self.serial;
            self.visited += 1;
        }
    }
}

/// Returns the node of a link.
pub(crate) fn resolve(checkpoint: &Checkpoint, link: &Link) -> Result<Arc<TreeNode>, Error> {
    match &link.place {
        Place::Memory(node) => Ok(node.clone()),
        Place::Stored(_) => read(checkpoint, link).map(|(node, _)| node),
    }
}

/// Reads the record of a link that is not in memory. Returns its first node, and the number of its nodes.
fn read(checkpoint: &Checkpoint, link: &Link) -> Result<(Arc<TreeNode>, usize), Error> {
    let (node, nodes) = read_record(checkpoint, link.key())?;
    match node.child_heights() == link.heights {
        true => Ok((Arc::new(node), nodes)),
        false => Err(damaged(link.key(), "not as high as its parent says")),
    }
}

/// Reads the record of the root of a checkpoint's tree.
pub(crate) fn read_root(checkpoint: &Checkpoint) -> Result<Option<Link>, Error> {
    let Some(key) = &checkpoint.meta.root_key else { return Ok(None) };
    let (node, _) = read_record(checkpoint, &key.as_slice().into())?;
    Ok(Some(Link {
        heights: node.child_heights(),
        place: Place::Memory(Arc::new(node)),
        hash: checkpoint.meta.root.0,
        is_hashed: true,
        is_apart: true,
    }))
}

fn read_record(checkpoint: &Checkpoint, key: &Shared) -> Result<(TreeNode, usize), Error> {
    let bytes = checkpoint.tree.get(&**key)?.ok_or_else(|| damaged(key, "missing"))?;
    record::decode(key, bytes.value()).map_err(|problem| problem.at(key))
}

fn damaged(key: &[u8], what: &str) -> Error {
    Error::Damaged(format!("the tree node {:?} is {what}", printable(key)))
}
