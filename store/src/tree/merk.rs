//! The tree of `grovedb-merk`: an AVL tree with a hash in every node, partly in memory.
//!
//! The crate's own `Merk` type never evicts a node once loaded, and its walk through a batch recurses once for each
//! removed key. Only the crate's nodes, links and hashes are used here. A batch is applied from the root down. A node
//! divides the batch at its key, each half goes to the subtree on its side, and the two results are joined again,
//! with the node or without it ([`crate::tree::join`]). So the tree is an AVL tree after every batch, and the
//! recursion is as deep as the tree is high.
//!
//! Two subtrees are changed in two threads if both have enough work. Neither that nor the set of nodes in memory
//! influences the result, which is a function of the tree and the batch.

use std::collections::HashMap;

use capstan_kernel_ports::Hash;
use grovedb_merk::tree::{AggregateData, Link, TreeNode};

use crate::{
    Error, StateView,
    changes::{Shared, Written},
    threads::both,
    tree::{
        evict::Eviction,
        link::{PLACEHOLDER, Subtree, modified, new_node, take, with_leaf},
        loader::{Loader, load},
        state_tree::{Applied, Change, Leaf, StateTree},
    },
};

/// A Merkle tree, partly in memory.
pub(crate) struct MerkTree {
    root: Option<TreeNode>,
    eviction: Eviction,
}

impl StateTree for MerkTree {
    fn open(state: &StateView, keep_nodes: usize) -> Result<Self, Error> {
        let root = state.meta().root_key.as_deref();
        let root = root.map(|key| load(state, key, None)).transpose()?;
        Ok(Self { root, eviction: Eviction::new(keep_nodes) })
    }

    fn apply<C: AsRef<[Change]>>(
        &mut self,
        commits: &[C],
        state: &StateView,
    ) -> Result<Applied, Error> {
        let mut work = Work::new(state);
        let mut collected = Collected::new();
        let mut tree = self.root.take().and_then(modified);
        for (index, changes) in commits.iter().enumerate() {
            let changes = changes.as_ref();
            let removed = changes.iter().filter(|(_, leaf)| leaf.is_none());
            collected.extend(removed.map(|(key, _)| (key.as_slice().into(), None)));
            let fork = index + 1 == commits.len();
            work.apply(&mut tree, changes, fork)?;
        }
        // A written node wins: a key may have been removed by one commit and set by the next.
        let mut applied = Applied::default();
        if let Some(link) = tree {
            let mut root = work.loader.load(link)?;
            work.hash(&mut root);
            applied.root = Hash(root.hash().value);
            applied.root_key = Some(root.key().to_vec());
            self.eviction.evict(&mut root, work.loader.fetched + work.added)?;
            self.root = Some(root);
            collected.extend(work.collected);
        }
        applied.nodes = collected.into_iter().collect::<Vec<Written>>();
        Ok(applied)
    }
}

/// Changed nodes by key, `None` if removed. It is never iterated where the order matters.
type Collected = HashMap<Shared, Option<Shared>>;

/// One thread's share of the work on a tree.
struct Work<'a> {
    loader: Loader<'a>,
    /// The nodes that were hashed.
    collected: Collected,
    /// Number of new nodes.
    added: usize,
}

impl<'a> Work<'a> {
    fn new(state: &'a StateView) -> Self {
        Self { loader: Loader { state, fetched: 0 }, collected: Collected::new(), added: 0 }
    }

    /// Applies `batch` to `tree`, without hashing. Only subtrees that were changed in two threads are hashed. `fork`
    /// allows a second thread.
    ///
    /// The recursion is as deep as the tree is high, and below it as the logarithm of the number of added keys. Large
    /// values lie on the heap meanwhile, so a level takes little stack.
    fn apply(&mut self, tree: &mut Subtree, batch: &[Change], fork: bool) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let Some(mut open) = self.open(tree)? else {
            return self.build(tree, batch);
        };
        let place = batch.binary_search_by(|(key, _)| key.as_slice().cmp(open.node.key()));
        let (left, right) = match place {
            Ok(at) => (&batch[..at], &batch[at + 1..]),
            Err(at) => batch.split_at(at),
        };
        match fork && left.len().min(right.len()) >= FORK {
            true => self.fork((&mut open.left, left), (&mut open.right, right))?,
            false => {
                self.apply(&mut open.left, left, fork)?;
                self.apply(&mut open.right, right, fork)?;
            }
        }
        let operation = place.ok().map(|at| batch[at].1.as_ref());
        self.close(tree, open, operation)
    }

    /// Builds a tree of the keys that `batch` sets.
    fn build(&mut self, tree: &mut Subtree, batch: &[Change]) -> Result<(), Error> {
        let (left, rest) = batch.split_at(batch.len() / 2);
        let Some(((key, leaf), right)) = rest.split_first() else {
            return Ok(());
        };
        let Some(leaf) = leaf else {
            return self.build_around(tree, left, right);
        };
        let mut open = self.open_new(key, leaf);
        self.build(&mut open.left, left)?;
        self.build(&mut open.right, right)?;
        self.close(tree, open, None)
    }

    /// Builds a tree of the keys set on both sides of a key that is removed, though it did not exist.
    #[inline(never)]
    fn build_around(
        &mut self,
        tree: &mut Subtree,
        left_batch: &[Change],
        right_batch: &[Change],
    ) -> Result<(), Error> {
        let (mut left, mut right) = (None, None);
        self.build(&mut left, left_batch)?;
        self.build(&mut right, right_batch)?;
        *tree = self.loader.concatenate(left, right)?;
        Ok(())
    }

    /// Takes the root off a tree. Returns `None` if the tree is empty.
    // Never inlined, like others here: its temporaries would occupy the stack at each level of recursion.
    #[inline(never)]
    fn open(&mut self, tree: &mut Subtree) -> Result<Option<Box<Open>>, Error> {
        let Some(link) = tree.take() else {
            return Ok(None);
        };
        let mut node = self.loader.load(link)?;
        let (left, right) = (take(&mut node, true), take(&mut node, false));
        Ok(Some(Box::new(Open { node, left, right })))
    }

    #[inline(never)]
    fn open_new(&mut self, key: &[u8], leaf: &Leaf) -> Box<Open> {
        self.added += 1;
        Box::new(Open { node: new_node(key, leaf), left: None, right: None })
    }

    /// Puts a tree together again, whose root gets a new leaf, is removed, or stays.
    #[inline(never)]
    fn close(
        &mut self,
        tree: &mut Subtree,
        open: Box<Open>,
        operation: Option<Option<&Leaf>>,
    ) -> Result<(), Error> {
        let Open { node, left, right } = *open;
        let node = match operation {
            None => node,
            Some(Some(leaf)) => with_leaf(node, leaf),
            Some(None) => {
                *tree = self.loader.concatenate(left, right)?;
                return Ok(());
            }
        };
        *tree = modified(self.loader.join(left, node, right)?);
        Ok(())
    }

    /// Applies a batch to each of two trees, in two threads, and hashes the results.
    #[inline(never)]
    fn fork(
        &mut self,
        left: (&mut Subtree, &[Change]),
        right: (&mut Subtree, &[Change]),
    ) -> Result<(), Error> {
        let mut other = Work::new(self.loader.state);
        both(|| other.whole(left), || self.whole(right))?;
        self.collected.extend(other.collected);
        self.loader.fetched += other.loader.fetched;
        self.added += other.added;
        Ok(())
    }

    fn whole(&mut self, (tree, batch): (&mut Subtree, &[Change])) -> Result<(), Error> {
        self.apply(tree, batch, false)?;
        if let Some(link) = tree {
            self.hash_link(link);
        }
        Ok(())
    }

    /// Hashes all changes at and below `node`, and collects the changed nodes.
    fn hash(&mut self, node: &mut TreeNode) {
        for left in [true, false] {
            if let Some(link) = node.link_mut(left) {
                self.hash_link(link);
            }
        }
        self.collect(node);
    }

    fn hash_link(&mut self, link: &mut Link) {
        if let Link::Modified { tree, .. } = link {
            self.hash(tree);
            set_hash(link);
        }
    }

    #[inline(never)]
    fn collect(&mut self, node: &TreeNode) {
        self.collected.insert(node.key().into(), Some(node.encode().into()));
    }
}

/// A tree whose root is taken off. It is boxed, since one is open at each level of recursion.
struct Open {
    node: TreeNode,
    left: Subtree,
    right: Subtree,
}

/// Writes its hash into the link to a node below which all is hashed.
#[inline(never)]
fn set_hash(link: &mut Link) {
    *link = match std::mem::replace(link, PLACEHOLDER) {
        Link::Modified { tree, child_heights, .. } => Link::Loaded {
            hash: tree.hash().value,
            child_heights,
            tree,
            aggregate_data: AggregateData::NoAggregateData,
        },
        other => other,
    };
}

/// Number of changes on each side from which two threads are worth their cost.
const FORK: usize = 100;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use capstan_kernel_ports::store::Overlay;

    use super::*;
    use crate::{Store, tree::state_tree::leaf};

    #[test]
    fn two_threads_change_the_same_nodes_as_one() {
        let store = Store::in_memory().unwrap();
        let mut block = store.begin_block();
        (0..4_000_u32).for_each(|i| block.set(&(2 * i).to_be_bytes(), vec![1]));
        store.commit(store.prepare(block).unwrap(), 1).unwrap();
        let state = store.reader();
        let removed = |from: u32, to: u32| (from..to).map(|i| (2 * i, None));
        let set = |from: u32, to: u32| (from..to).map(|i| (i, Some(leaf(b"2"))));
        let batches: [BTreeMap<u32, Option<crate::tree::state_tree::Leaf>>; 6] = [
            set(0, 8_000).collect(),
            removed(0, 4_000).skip(1).collect(),
            removed(0, 1_900).chain(set(4_001, 8_000)).collect(),
            removed(100, 3_900).collect(),
            set(3_000, 3_400).chain(removed(3_000, 3_900)).collect(),
            set(8_000, 20_000).chain(removed(0, 150)).collect(),
        ];
        for (number, batch) in batches.into_iter().enumerate() {
            let batch: Vec<Change> =
                batch.into_iter().map(|(key, leaf)| (key.to_be_bytes().to_vec(), leaf)).collect();
            // Of several commits only the last one is applied in two threads.
            let [two, one] = [vec![batch.clone()], vec![batch, Vec::new()]].map(|commits| {
                let mut tree = MerkTree::open(&state, 100).unwrap();
                let mut applied = tree.apply(&commits, &state).unwrap();
                applied.nodes.sort();
                applied
            });
            assert_eq!(two, one, "batch {number}");
        }
    }
}
