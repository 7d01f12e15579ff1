//! Eviction of tree nodes from memory.

use std::sync::Arc;

use crate::tree::link::{Link, Place, Subtree, TreeNode};

/// Keeps the number of nodes in memory near a limit.
///
/// Clock-style eviction: when the limit is exceeded, a sweep resumes where it last stopped and evicts low subtrees,
/// in key order, until enough nodes are gone. The top levels always stay, and so do nodes that the state's file does not have
/// yet. An evicted node that is needed again is read again, so nodes in use return.
pub(crate) struct Eviction {
    keep: usize,
    /// Upper bound of the number of nodes in memory.
    held: usize,
    /// Number of nodes from which the next sweep begins.
    begin: usize,
    /// Serial of the checkpoint at the last sweep.
    stored: u64,
    /// The key at which the last sweep stopped.
    hand: Vec<u8>,
}

impl Eviction {
    pub(crate) fn new(keep: usize) -> Self {
        Self { keep, held: 1, begin: keep, stored: 0, hand: Vec::new() }
    }

    /// Evicts nodes of `tree` if `added` more nodes in memory exceed the limit. The state's file has the commits up to
    /// `stored`.
    pub(crate) fn evict(&mut self, tree: &mut Subtree, added: usize, stored: u64) {
        self.held += added;
        if self.stored != stored {
            (self.stored, self.begin) = (stored, self.keep);
        }
        let Some(Link { place: Place::Memory(root), .. }) = tree else { return };
        if self.held <= self.begin {
            return;
        }
        // The top levels that stay hold a quarter of the limit, if the tree is full there.
        let top_levels = (self.keep / 4).checked_ilog2().unwrap_or(0);
        let low = u32::from(root.height()).saturating_sub(top_levels);
        let excess = self.held.saturating_sub(self.keep);
        let hand = std::mem::take(&mut self.hand);
        let mut sweep = Sweep { low, excess, stored, gone: 0, hand };
        let mut is_enough = sweep.pass(root);
        if !is_enough && !sweep.hand.is_empty() {
            sweep.hand = Vec::new();
            is_enough = sweep.pass(root);
        }
        match is_enough {
            true => {
                self.hand = sweep.hand;
                self.held = self.held.saturating_sub(sweep.gone);
            }
            // The sweep went once around. `held` was an estimate, since removed nodes were counted too. What is left is
            // not stored yet, so the next sweep waits until there is more by a part.
            false => {
                self.held = count(root);
                self.begin = self.keep.max(self.held + self.held / 4);
            }
        }
    }
}

/// One sweep of the clock's hand.
struct Sweep {
    /// Height up to which subtrees are evicted.
    low: u32,
    /// Number of nodes to evict.
    excess: usize,
    /// Serial up to which the state's file has all nodes.
    stored: u64,
    gone: usize,
    hand: Vec<u8>,
}

impl Sweep {
    /// Sweeps through `node` and all below it. Returns whether enough nodes are gone.
    ///
    /// Other states may share the nodes. So those above evicted ones are copied, and no others.
    fn pass(&mut self, node: &mut Arc<TreeNode>) -> bool {
        let ahead = *node.key > *self.hand;
        (ahead && self.side(node, true)) || self.side(node, false)
    }

    fn side(&mut self, node: &mut Arc<TreeNode>, left: bool) -> bool {
        let Some(link) = node.side(left) else { return false };
        let Some(child) = link.node() else { return false };
        let is_low = u32::from(link.height()) <= self.low;
        if is_low && link.is_apart && child.serial <= self.stored {
            self.gone += count(child);
            let stored = Place::Stored(child.key.clone());
            replace(node, left, stored);
            if self.gone >= self.excess {
                self.hand = node.key.to_vec();
            }
            return self.gone >= self.excess;
        }
        let mut swept = child.clone();
        let gone = self.gone;
        let is_enough = self.pass(&mut swept);
        if self.gone > gone {
            replace(node, left, Place::Memory(swept));
        }
        is_enough
    }
}

fn replace(node: &mut Arc<TreeNode>, left: bool, place: Place) {
    if let Some(link) = Arc::make_mut(node).side_mut(left) {
        link.place = place;
    }
}

/// Returns the number of nodes in memory at and below `node`.
fn count(node: &TreeNode) -> usize {
    let below = |side: &Subtree| side.as_ref().and_then(Link::node).map_or(0, |node| count(node));
    1 + below(&node.left) + below(&node.right)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use capstan_kernel_ports::store::Overlay;

    use super::*;
    use crate::{Options, Store};

    #[test]
    fn nodes_in_memory_stay_near_the_limit_and_all_are_found_again() {
        let keep = 2_000;
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            tree_nodes: keep,
            journal_bytes: 300_000,
            retain_heights: 0,
            background: false,
            ..Options::default()
        };
        let store = Store::open(dir.path(), options).unwrap();
        let mut most = 0;
        for height in 1..=300_u64 {
            let mut block = store.begin_block();
            for i in 0..100 {
                block.set(&(height * 7_919 + i * 104_729).to_le_bytes(), vec![height as u8]);
            }
            store.commit(store.prepare(block).unwrap(), height).unwrap();
            let state = store.reader();
            let tree = state.tree().unwrap();
            most = most.max(tree.as_ref().and_then(Link::node).map_or(0, |root| count(root)));
        }
        // Between two checkpoints some 270 keys change, with up to 16 nodes each and their records.
        assert!(most < keep + 8_000, "{most} nodes in memory");
        let report = store.reader().check_integrity().unwrap();
        assert!(report.keys > 20_000, "{report:?}");
    }
}
