//! Changing the tree: an AVL tree with a hash in every node, partly in memory.
//!
//! The hashes are those of `grovedb-merk`. Nothing else of the crate is used: its tree keeps every node in memory, and its
//! walk through a batch recurses once for each removed key. A batch is applied from the root down. A node
//! divides the batch at its key, each half goes to the subtree on its side, and the two results are joined again,
//! with the node or without it ([`crate::tree::join`]). So the tree is an AVL tree after every batch, and the
//! recursion is as deep as the tree is high.
//!
//! The nodes on the way to a change are copied, and the others shared with the tree before. So each state has its tree.
//!
//! Two subtrees are changed in two threads if both have enough work. Neither that nor the set of nodes in memory
//! influences the result, which is a function of the tree and the batch.

use std::sync::Arc;

use capstan_kernel_ports::Hash;

use crate::{
    Error,
    changes::Shared,
    counts::TreeCounts,
    disk::checkpoint::Checkpoint,
    threads::both,
    tree::{
        link::{Link, Place, Subtree, TreeNode, modified, take},
        loader::Loader,
        record::level,
        state_tree::{Applied, Change, ValueHash},
    },
};

/// Applies commits one after the other to `tree`, which lies over `checkpoint`. The changed nodes get `serial`.
///
/// Each commit lists its changes in key order, at most one for a key, and removes only existing keys.
pub(crate) fn apply<C: AsRef<[Change]>>(
    mut tree: Subtree,
    commits: &[C],
    checkpoint: &Checkpoint,
    serial: u64,
) -> Result<Applied, Error> {
    let mut work = Work::new(checkpoint, serial);
    for (index, changes) in commits.iter().enumerate() {
        let fork = index + 1 == commits.len();
        work.apply(&mut tree, changes.as_ref(), fork)?;
    }
    if let Some(link) = &mut tree {
        work.settle(link, None);
    }
    let Work { loader, gone, added, hashed } = work;
    let counts = TreeCounts {
        visited: (loader.visited + added) as u64,
        loaded: loader.records as u64,
        hashed: hashed as u64,
    };
    let root = Hash(tree.as_ref().map_or([0; 32], |link| link.hash));
    Ok(Applied { root, tree, gone, added: loader.fetched + added, counts })
}

/// One thread's share of the work on a tree.
struct Work<'a> {
    loader: Loader<'a>,
    /// Keys of records that are no longer the first of a record.
    gone: Vec<Shared>,
    /// Number of new nodes.
    added: usize,
    /// Number of nodes that were hashed.
    hashed: usize,
}

impl<'a> Work<'a> {
    fn new(checkpoint: &'a Checkpoint, serial: u64) -> Self {
        Self { loader: Loader::new(checkpoint, serial), gone: Vec::new(), added: 0, hashed: 0 }
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
        let place = batch.binary_search_by(|(key, _)| (**key).cmp(&*open.node.key));
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
        self.close(tree, *open, operation)
    }

    /// Builds a tree of the keys that `batch` sets.
    fn build(&mut self, tree: &mut Subtree, batch: &[Change]) -> Result<(), Error> {
        let (left, rest) = batch.split_at(batch.len() / 2);
        let Some(((key, value), right)) = rest.split_first() else {
            return Ok(());
        };
        let Some(value) = value else {
            return self.build_around(tree, left, right);
        };
        let mut open = self.open_new(key, value);
        self.build(&mut open.left, left)?;
        self.build(&mut open.right, right)?;
        self.close(tree, *open, None)
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
    fn open_new(&mut self, key: &Shared, value: &ValueHash) -> Box<Open> {
        self.added += 1;
        let node = TreeNode::new(key.clone(), *value, self.loader.serial);
        Box::new(Open { node: Arc::new(node), left: None, right: None })
    }

    /// Puts a tree together again, whose root gets a new value, is removed, or stays.
    #[inline(never)]
    fn close(
        &mut self,
        tree: &mut Subtree,
        open: Open,
        operation: Option<Option<&ValueHash>>,
    ) -> Result<(), Error> {
        let Open { mut node, left, right } = open;
        match operation {
            None => {}
            Some(Some(value)) => Arc::make_mut(&mut node).set_value(*value),
            Some(None) => {
                if node.is_apart {
                    self.gone.push(node.key.clone());
                }
                *tree = self.loader.concatenate(left, right)?;
                return Ok(());
            }
        }
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
        let mut other = Work::new(self.loader.checkpoint, self.loader.serial);
        both(|| other.whole(left), || self.whole(right))?;
        self.gone.extend(other.gone);
        self.loader.fetched += other.loader.fetched;
        self.loader.visited += other.loader.visited;
        self.loader.records += other.loader.records;
        self.added += other.added;
        self.hashed += other.hashed;
        Ok(())
    }

    fn whole(&mut self, (tree, batch): (&mut Subtree, &[Change])) -> Result<(), Error> {
        self.apply(tree, batch, false)?;
        if let Some(link) = tree {
            self.hash_link(link);
        }
        Ok(())
    }

    /// Hashes all changes below a link.
    fn hash_link(&mut self, link: &mut Link) {
        let (false, Place::Memory(node)) = (link.is_hashed, &mut link.place) else { return };
        let node = Arc::make_mut(node);
        let level = level(node.height());
        for left in [true, false] {
            if let Some(link) = node.side_mut(left) {
                self.settle(link, Some(level));
            }
        }
        self.hashed += 1;
        (link.hash, link.is_hashed) = (node.hash(), true);
    }

    /// Hashes all changes below a link, and decides whether its node begins a record. `above` is the level of its parent.
    ///
    /// A node that did not change keeps its record. One that did not begin a record, and must now, counts as changed.
    #[inline(never)]
    fn settle(&mut self, link: &mut Link, above: Option<u8>) {
        self.hash_link(link);
        let begins = above.is_none_or(|above| level(link.height()) < above);
        let Place::Memory(node) = &mut link.place else { return };
        if link.is_apart == begins || (!begins && node.serial != self.loader.serial) {
            return;
        }
        match begins {
            true => self.loader.own(node),
            false => self.gone.push(node.key.clone()),
        }
        Arc::make_mut(node).is_apart = begins;
        link.is_apart = begins;
    }
}

/// A tree whose root is taken off. It is boxed, since one is open at each level of recursion.
struct Open {
    node: Arc<TreeNode>,
    left: Subtree,
    right: Subtree,
}

/// Number of changes on each side from which two threads are worth their cost.
const FORK: usize = 100;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use capstan_kernel_ports::store::Overlay;

    use super::*;
    use crate::{
        Store,
        tree::{state_tree::value_hash, walk::each_changed},
    };

    #[test]
    fn two_threads_change_the_same_nodes_as_one() {
        let store = Store::in_memory().unwrap();
        let mut block = store.begin_block();
        (0..4_000_u32).for_each(|i| block.set(&(2 * i).to_be_bytes(), vec![1]));
        store.commit(store.prepare(block).unwrap(), 1).unwrap();
        let state = store.reader();
        let removed = |from: u32, to: u32| (from..to).map(|i| (2 * i, None));
        let set = |from: u32, to: u32| (from..to).map(|i| (i, Some(value_hash(b"2"))));
        let batches: [BTreeMap<u32, Option<ValueHash>>; 6] = [
            set(0, 8_000).collect(),
            removed(0, 4_000).skip(1).collect(),
            removed(0, 1_900).chain(set(4_001, 8_000)).collect(),
            removed(100, 3_900).collect(),
            set(3_000, 3_400).chain(removed(3_000, 3_900)).collect(),
            set(8_000, 20_000).chain(removed(0, 150)).collect(),
        ];
        for (number, batch) in batches.into_iter().enumerate() {
            let batch: Vec<Change> = batch
                .into_iter()
                .map(|(key, value)| (Shared::from(key.to_be_bytes()), value))
                .collect();
            // Of several commits only the last one is applied in two threads.
            let [two, one] = [vec![batch.clone()], vec![batch, Vec::new()]].map(|commits| {
                let tree = state.tree().unwrap().clone();
                let applied = apply(tree, &commits, state.checkpoint(), 2).unwrap();
                let mut records = Vec::new();
                each_changed(&applied.tree, 1, &mut |key, bytes| {
                    records.push((key.to_vec(), bytes));
                    Ok(())
                })
                .unwrap();
                (applied.root, records)
            });
            assert_eq!(two, one, "batch {number}");
        }
    }
}
