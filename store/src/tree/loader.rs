//! Nodes brought into memory.

use grovedb_merk::tree::{Link, TreeNode, kv::ValueDefinedCostType};
use grovedb_version::version::{GroveVersion, v4::GROVE_V4};

use crate::{
    Error, StateView,
    tree::node::{Node, printable},
};

/// Brings nodes into memory, and puts trees together that may lie outside of it.
///
/// Of the subtrees that only move, none is read.
pub(crate) struct Loader<'a> {
    pub(crate) state: &'a StateView,
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
}

/// Reads the node at `key`, whose children must be as high as its parent says, if it has one.
pub(crate) fn load(
    state: &StateView,
    key: &[u8],
    child_heights: Option<(u8, u8)>,
) -> Result<TreeNode, Error> {
    let damaged =
        |what: String| Error::Damaged(format!("the tree node {:?} is {what}", printable(key)));
    let bytes = state.lend_node(key)?.ok_or_else(|| damaged("missing".into()))?;
    // The crate's decoder takes heights that make it overflow later; ours does not.
    Node::parse(&bytes).map_err(|problem| problem.at(key))?;
    let node = TreeNode::decode(key.to_vec(), &bytes, NO_COST, RULES)
        .map_err(|error| damaged(format!("malformed: {error}")))?;
    match child_heights.is_none_or(|heights| heights == node.child_heights()) {
        true => Ok(node),
        false => Err(damaged("not as high as its parent says".into())),
    }
}

/// The version of the tree's rules. Named, so that an update of the crate cannot change roots.
const RULES: &GroveVersion = &GROVE_V4;

/// No value of ours has a cost of its own.
const NO_COST: Option<&CostOf> = None;
type CostOf = fn(&[u8], &GroveVersion) -> Option<ValueDefinedCostType>;
