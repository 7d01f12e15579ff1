//! The tree of `grovedb-merk`: an AVL tree with a hash in every node, in its `Walker` mode.
//!
//! The crate's own `Merk` type never lets go of a node once loaded. Here its parts are used instead:
//! [`Walker::apply_to`] changes the tree in memory and fetches what it lacks, and our [`Commit`]
//! collects the nodes that changed and prunes all but the top levels.

use std::collections::BTreeMap;

use capstan_kernel_ports::Hash;
use grovedb_costs::{CostResult, CostsExt as _, storage_cost::removal::StorageRemovedBytes};
use grovedb_merk::{
    Error as MerkError, Op, TreeFeatureType,
    tree::{Commit, Fetch, Link, TreeNode, Walker, kv::ValueDefinedCostType},
};
use grovedb_version::version::{GroveVersion, v4::GROVE_V4};

use crate::{
    Error,
    node::Node,
    snapshot::NodeTable,
    tree::{Applied, Change, StateTree},
};

/// A tree whose top levels are in memory.
pub(crate) struct MerkTree {
    root: Option<TreeNode>,
    keep_levels: u8,
}

impl StateTree for MerkTree {
    fn open(root_key: Option<&[u8]>, nodes: &NodeTable, keep_levels: u8) -> Result<Self, Error> {
        let root = root_key.map(|key| load(nodes, key)).transpose()?;
        Ok(Self { root, keep_levels })
    }

    fn apply(&mut self, changes: Vec<Change>, nodes: &NodeTable) -> Result<Applied, Error> {
        let batch: Vec<(Vec<u8>, Op)> = changes
            .into_iter()
            .map(|(key, leaf)| match leaf {
                Some(leaf) => (key, Op::Put(leaf.to_vec(), TreeFeatureType::BasicMerkNode)),
                None => (key, Op::Delete),
            })
            .collect();
        let (root, removed) = walk(self.root.take(), &batch, nodes)?;
        let mut collected = removed.into_iter().map(|key| (key, None)).collect();
        let mut applied = Applied::default();
        if let Some(mut root) = root {
            // What was written counts: a rotation may remove a node here and put it back there.
            collect(&mut root, &mut collected, self.keep_levels)?;
            applied.root = Hash(root.hash().value);
            applied.root_key = Some(root.key().to_vec());
            self.root = Some(root);
        }
        applied.nodes = collected;
        Ok(applied)
    }
}

/// The version of the tree's rules. Named, so that an update of the crate cannot change roots.
const RULES: &GroveVersion = &GROVE_V4;

type Collected = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Applies `batch` in memory; returns the new tree, uncommitted, and the keys that were removed.
fn walk(
    root: Option<TreeNode>,
    batch: &[(Vec<u8>, Op)],
    nodes: &NodeTable,
) -> Result<(Option<TreeNode>, Vec<Vec<u8>>), Error> {
    let source = Source(nodes);
    // The callbacks are for the crate's bookkeeping of storage fees, which plays no part here.
    let (root, updates) = Walker::apply_to(
        root.map(|root| Walker::new(root, source)),
        batch,
        source,
        &|_: &Vec<u8>, _: &Vec<u8>| Ok(0),
        NO_COST,
        &|_: &Vec<u8>, _: &Vec<u8>| Ok(None),
        &mut |_: &_, _: &Vec<u8>, _: &mut Vec<u8>| Ok((false, None)),
        &mut |_: &Vec<u8>, key, value| {
            Ok((
                StorageRemovedBytes::BasicStorageRemoval(key),
                StorageRemovedBytes::BasicStorageRemoval(value),
            ))
        },
        &mut |_: &[u8], _: &[u8], _| {},
        RULES,
    )
    .value
    .map_err(tree_error)?;
    let removed = updates.deleted_keys.into_iter().map(|(key, _)| key);
    Ok((root, removed.collect()))
}

/// Hashes what changed, puts the encoded nodes into `collected` and prunes `root`.
fn collect(root: &mut TreeNode, collected: &mut Collected, keep_levels: u8) -> Result<(), Error> {
    let mut collector = Collector { collected, height: root.height(), keep_levels };
    root.commit(&mut collector, &|_, _| Ok(0)).value.map_err(tree_error)
}

/// Reads the node at `key`.
fn load(nodes: &NodeTable, key: &[u8]) -> Result<TreeNode, Error> {
    let missing = || Error::Damaged(format!("the tree node {:?} is missing", printable(key)));
    let guard = nodes.get(key)?.ok_or_else(missing)?;
    // The crate's decoder takes heights that make it overflow later; ours does not.
    Node::parse(guard.value()).map_err(|problem| problem.at(key))?;
    TreeNode::decode(key.to_vec(), guard.value(), NO_COST, RULES).map_err(|error| {
        Error::Damaged(format!("the tree node {:?} is malformed: {error}", printable(key)))
    })
}

/// Keys in messages: text as it is, other bytes escaped, long keys cut.
pub(crate) fn printable(key: &[u8]) -> String {
    match key.split_at_checked(MAX_PRINTED) {
        Some((head, rest)) if !rest.is_empty() => format!("{}...", head.escape_ascii()),
        _ => key.escape_ascii().to_string(),
    }
}

const MAX_PRINTED: usize = 100;

fn tree_error(error: MerkError) -> Error {
    Error::Tree(error.to_string())
}

/// The committed nodes, for the walker.
#[derive(Clone, Copy)]
struct Source<'a>(&'a NodeTable);

impl Fetch for Source<'_> {
    fn fetch(
        &self,
        link: &Link,
        _: Option<&impl Fn(&[u8], &GroveVersion) -> Option<ValueDefinedCostType>>,
        _: &GroveVersion,
    ) -> CostResult<TreeNode, MerkError> {
        load(self.0, link.key())
            .map_err(|error| {
                MerkError::StorageError(grovedb_storage::Error::StorageError(error.to_string()))
            })
            .wrap_with_cost(Default::default())
    }
}

/// Collects the encoded nodes of one batch and prunes the tree.
struct Collector<'a> {
    collected: &'a mut Collected,
    /// The height of the whole tree.
    height: u8,
    keep_levels: u8,
}

impl Commit for Collector<'_> {
    fn write(
        &mut self,
        node: &mut TreeNode,
        _: &impl Fn(&Vec<u8>, &Vec<u8>) -> Result<u32, MerkError>,
    ) -> Result<(), MerkError> {
        self.collected.insert(node.key().to_vec(), Some(node.encode()));
        Ok(())
    }

    fn prune(&self, node: &TreeNode) -> (bool, bool) {
        // In a balanced tree a node this much lower than the root is at least this deep.
        let prune = self.height.saturating_sub(node.height()) >= self.keep_levels;
        (prune, prune)
    }
}

/// No value of ours has a cost of its own.
const NO_COST: Option<&CostOf> = None;
type CostOf = fn(&[u8], &GroveVersion) -> Option<ValueDefinedCostType>;
