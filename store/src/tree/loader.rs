//! Loading of tree nodes into memory.

use grovedb_merk::tree::{Link, TreeNode, kv::ValueDefinedCostType};
use grovedb_version::version::{GroveVersion, v4::GROVE_V4};

use crate::{
    Error, StateView,
    tree::node::{Node, printable},
};

/// Loads nodes into memory and joins trees that are partly on disk.
///
/// A subtree that only moves is not read.
pub(crate) struct Loader<'a> {
    pub(crate) state: &'a StateView,
    /// Number of nodes read so far.
    pub(crate) fetched: usize,
}

impl Loader<'_> {
    /// Loads the root of a subtree. Its children stay links.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Damaged`] if the stored bytes are no node, or not as high as the parent says. So heights fall
    /// by at least one from node to node, in a damaged file too.
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
}

/// Reads the node at `key`. If it has a parent, its children must be as high as the parent says.
pub(crate) fn load(
    state: &StateView,
    key: &[u8],
    child_heights: Option<(u8, u8)>,
) -> Result<TreeNode, Error> {
    let damaged =
        |what: String| Error::Damaged(format!("the tree node {:?} is {what}", printable(key)));
    let bytes = state.lend_node(key)?.ok_or_else(|| damaged("missing".into()))?;
    // The crate's decoder accepts heights that make it overflow later. Ours does not.
    Node::parse(&bytes).map_err(|problem| problem.at(key))?;
    let node = TreeNode::decode(key.to_vec(), &bytes, NO_COST, RULES)
        .map_err(|error| damaged(format!("malformed: {error}")))?;
    match child_heights.is_none_or(|heights| heights == node.child_heights()) {
        true => Ok(node),
        false => Err(damaged("not as high as its parent says".into())),
    }
}

/// Version of the tree's rules. It is named, so that an update of the crate cannot change roots.
const RULES: &GroveVersion = &GROVE_V4;

/// The crate's hook for values with a cost of their own, which ours do not have.
const NO_COST: Option<&CostOf> = None;
type CostOf = fn(&[u8], &GroveVersion) -> Option<ValueDefinedCostType>;
