//! The tree of `grovedb-merk`: an AVL tree with a hash in every node, in its `Walker` mode.
//!
//! The crate's own `Merk` type never lets go of a node once loaded. Here its parts are used instead:
//! [`Walker::apply_to`] changes the tree in memory and fetches what it lacks, and our [`Commit`]
//! collects the nodes that changed. The way down to the nodes that change is ours, since the crate's
//! keeps books of every node that it passes; what it does there is what the crate does, in the
//! same order, so the tree is the same. Two subtrees that do not touch each other are worked on in
//! two threads, which makes no difference to either.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use capstan_kernel_ports::Hash;
use grovedb_costs::{CostResult, CostsExt as _, storage_cost::removal::StorageRemovedBytes};
use grovedb_merk::{
    Error as MerkError, Op, TreeFeatureType,
    tree::{Commit, Fetch, Link, TreeNode, Walker, kv::ValueDefinedCostType},
};
use grovedb_version::version::{GroveVersion, v4::GROVE_V4};

use crate::{
    Error, Snapshot,
    evict::Eviction,
    memory::{Shared, Written},
    node::Node,
    threads::both,
    tree::{Applied, Change, StateTree},
};

/// A tree of which part is in memory.
pub(crate) struct MerkTree {
    root: Option<TreeNode>,
    eviction: Eviction,
}

impl StateTree for MerkTree {
    fn open(state: &Snapshot, keep_nodes: usize) -> Result<Self, Error> {
        let root = state.meta().root_key.as_deref().map(|key| load(state, key)).transpose()?;
        Ok(Self { root, eviction: Eviction::new(keep_nodes) })
    }

    fn apply<C: AsRef<[Change]>>(
        &mut self,
        commits: &[C],
        state: &Snapshot,
    ) -> Result<Applied, Error> {
        let (fetched, fault) = (AtomicUsize::new(0), Mutex::new(None));
        let source = Source { state, fetched: &fetched, fault: &fault };
        let applied = self.apply_with(commits, source);
        // The crate's errors are texts; what was wrong with a node is told as it was found.
        applied.map_err(|error| {
            fault.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or(error)
        })
    }
}

impl MerkTree {
    fn apply_with<C: AsRef<[Change]>>(
        &mut self,
        commits: &[C],
        source: Source<'_>,
    ) -> Result<Applied, Error> {
        let mut work = Work { source, collected: Collected::new(), added: 0 };
        let mut root = self.root.take();
        let mut collected = Collected::new();
        for (index, changes) in commits.iter().enumerate() {
            let fork = index + 1 == commits.len();
            let batch: Vec<(Vec<u8>, Op)> = changes.as_ref().iter().map(operation).collect();
            for (key, operation) in &batch {
                if matches!(operation, Op::Delete) {
                    collected.insert(key.as_slice().into(), None);
                }
            }
            root = work.descend(root, &batch, fork)?;
        }
        // What was written counts: a key may have been removed by one commit and set by the next.
        let mut applied = Applied::default();
        if let Some(mut root) = root {
            work.collect(&mut root)?;
            applied.root = Hash(root.hash().value);
            applied.root_key = Some(root.key().to_vec());
            self.eviction.evict(&mut root, source.fetched.load(Ordering::Relaxed) + work.added)?;
            self.root = Some(root);
            collected.extend(work.collected);
        }
        applied.nodes = collected.into_iter().collect::<Vec<Written>>();
        Ok(applied)
    }
}

/// The version of the tree's rules. Named, so that an update of the crate cannot change roots.
const RULES: &GroveVersion = &GROVE_V4;

fn operation((key, leaf): &Change) -> (Vec<u8>, Op) {
    match leaf {
        Some(leaf) => (key.clone(), put(leaf.to_vec())),
        None => (key.clone(), Op::Delete),
    }
}

fn put(leaf: Vec<u8>) -> Op {
    Op::Put(leaf, TreeFeatureType::BasicMerkNode)
}

/// Nodes by their key; none where one was removed. Never gone through where the order matters.
type Collected = HashMap<Shared, Option<Shared>>;

type Batch<'a> = &'a [(Vec<u8>, Op)];

/// One thread's part of the work on a tree.
struct Work<'a> {
    source: Source<'a>,
    /// The nodes that changed.
    collected: Collected,
    /// How many nodes are new, at most.
    added: usize,
}

impl Work<'_> {
    /// Applies `batch` below `node`; what is returned is not hashed yet, but for the subtrees that were
    /// worked on in two threads. `fork`: so they may.
    fn descend(
        &mut self,
        node: Option<TreeNode>,
        batch: Batch<'_>,
        fork: bool,
    ) -> Result<Option<TreeNode>, Error> {
        let Some(node) = node else {
            self.added += batch.len();
            return walk(None, batch, &self.source);
        };
        let (node, left, right) =
            match batch.binary_search_by(|(key, _)| key.as_slice().cmp(node.key())) {
                // Another node takes its place, then the rest of the batch is applied.
                Ok(at) if matches!(batch[at].1, Op::Delete) => {
                    self.added += batch.len() - 1;
                    return walk(Some(node), batch, &self.source);
                }
                Ok(at) => {
                    let node = self.operate(node, &batch[at..=at])?;
                    (node, &batch[..at], &batch[at + 1..])
                }
                Err(at) => (node, &batch[..at], &batch[at..]),
            };
        let node = match fork && left.len() >= FORK && right.len() >= FORK {
            true => self.fork(node, left, right)?,
            false => {
                let node = self.child(node, true, left, fork)?;
                self.child(node, false, right, fork)?
            }
        };
        self.balance(node).map(Some)
    }

    fn child(
        &mut self,
        node: TreeNode,
        left: bool,
        batch: Batch<'_>,
        fork: bool,
    ) -> Result<TreeNode, Error> {
        if batch.is_empty() {
            return Ok(node);
        }
        let (node, child) = self.detach(node, left)?;
        let child = self.descend(child, batch, fork)?;
        node.attach(left, child).map_err(tree_error)
    }

    /// Both children of `node`, each hashed, in a thread of its own.
    fn fork(
        &mut self,
        node: TreeNode,
        left_batch: Batch<'_>,
        right_batch: Batch<'_>,
    ) -> Result<TreeNode, Error> {
        let (node, left) = self.detach(node, true)?;
        let (node, right) = self.detach(node, false)?;
        let mut other = Work { collected: Collected::new(), added: 0, ..*self };
        let (left, right) =
            both(|| other.whole(left, left_batch), || self.whole(right, right_batch))?;
        self.collected.extend(other.collected);
        self.added += other.added;
        let node = node.attach(true, left).map_err(tree_error)?;
        node.attach(false, right).map_err(tree_error)
    }

    /// Applies `batch` below `node` and hashes the result.
    fn whole(
        &mut self,
        node: Option<TreeNode>,
        batch: Batch<'_>,
    ) -> Result<Option<TreeNode>, Error> {
        let mut node = self.descend(node, batch, false)?;
        if let Some(node) = &mut node {
            self.collect(node)?;
        }
        Ok(node)
    }

    fn detach(&self, node: TreeNode, left: bool) -> Result<(TreeNode, Option<TreeNode>), Error> {
        let walker = Walker::new(node, self.source);
        let (walker, child) = walker.detach(left, NO_COST, RULES).value.map_err(tree_error)?;
        Ok((walker.into_inner(), child.map(Walker::into_inner)))
    }

    /// Does what has no need of a rotation. The crate's rotations are not public; but putting a node's
    /// own leaf into it changes nothing and ends with one if the children's heights ask for it.
    fn balance(&self, node: TreeNode) -> Result<TreeNode, Error> {
        if node.balance_factor().abs() <= 1 {
            return Ok(node);
        }
        let batch = [(node.key().to_vec(), put(node.value_ref().clone()))];
        self.operate(node, &batch)
    }

    /// Applies `batch`, which removes nothing, to `node`.
    fn operate(&self, node: TreeNode, batch: Batch<'_>) -> Result<TreeNode, Error> {
        walk(Some(node), batch, &self.source)?
            .ok_or_else(|| Error::Tree("a node is gone that was not removed".into()))
    }

    /// Hashes what changed below `root` and collects the changed nodes.
    fn collect(&mut self, root: &mut TreeNode) -> Result<(), Error> {
        let mut collector = Collector(&mut self.collected);
        root.commit(&mut collector, &|_, _| Ok(0)).value.map_err(tree_error)
    }
}

/// From so many changes on each side two threads are worth while.
const FORK: usize = 100;

/// Applies `batch` in memory, by the crate's rules; returns the new tree, not hashed.
fn walk(
    root: Option<TreeNode>,
    batch: Batch<'_>,
    source: &Source<'_>,
) -> Result<Option<TreeNode>, Error> {
    let source = *source;
    // The callbacks are for the crate's bookkeeping of storage fees, which plays no part here.
    let (root, _) = Walker::apply_to(
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
    Ok(root)
}

/// Reads the node at `key`.
fn load(state: &Snapshot, key: &[u8]) -> Result<TreeNode, Error> {
    let missing = || Error::Damaged(format!("the tree node {:?} is missing", printable(key)));
    let bytes = state.lend_node(key)?.ok_or_else(missing)?;
    // The crate's decoder takes heights that make it overflow later; ours does not.
    Node::parse(&bytes).map_err(|problem| problem.at(key))?;
    TreeNode::decode(key.to_vec(), &bytes, NO_COST, RULES).map_err(|error| {
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

pub(crate) fn tree_error(error: MerkError) -> Error {
    Error::Tree(error.to_string())
}

/// The committed nodes, for the walker.
#[derive(Clone, Copy)]
struct Source<'a> {
    state: &'a Snapshot,
    /// How many were read.
    fetched: &'a AtomicUsize,
    /// Why one could not be.
    fault: &'a Mutex<Option<Error>>,
}

impl Fetch for Source<'_> {
    fn fetch(
        &self,
        link: &Link,
        _: Option<&impl Fn(&[u8], &GroveVersion) -> Option<ValueDefinedCostType>>,
        _: &GroveVersion,
    ) -> CostResult<TreeNode, MerkError> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        load(self.state, link.key())
            .map_err(|error| {
                let text = error.to_string();
                *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                MerkError::StorageError(grovedb_storage::Error::StorageError(text))
            })
            .wrap_with_cost(Default::default())
    }
}

/// Collects the encoded nodes that changed.
struct Collector<'a>(&'a mut Collected);

impl Commit for Collector<'_> {
    fn write(
        &mut self,
        node: &mut TreeNode,
        _: &impl Fn(&Vec<u8>, &Vec<u8>) -> Result<u32, MerkError>,
    ) -> Result<(), MerkError> {
        self.0.insert(node.key().into(), Some(node.encode().into()));
        Ok(())
    }

    fn prune(&self, _: &TreeNode) -> (bool, bool) {
        (false, false) // `Eviction` does that
    }
}

/// No value of ours has a cost of its own.
const NO_COST: Option<&CostOf> = None;
type CostOf = fn(&[u8], &GroveVersion) -> Option<ValueDefinedCostType>;
