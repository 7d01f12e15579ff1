//! Eviction of tree nodes from memory.

use grovedb_merk::tree::TreeNode;

use crate::{
    Error,
    tree::link::{PLACEHOLDER, tree_error},
};

/// Keeps the number of nodes in memory near a limit.
///
/// Clock-style eviction: when the limit is exceeded, a sweep resumes where it last stopped and evicts low subtrees,
/// in key order, until enough nodes are gone. The top levels always stay. An evicted node that is needed again is
/// read again, so nodes in use return.
pub(crate) struct Eviction {
    keep: usize,
    /// Upper bound of the number of nodes in memory.
    held: usize,
    /// The key at which the last sweep stopped.
    hand: Vec<u8>,
}

impl Eviction {
    pub(crate) fn new(keep: usize) -> Self {
        Self { keep, held: 1, hand: Vec::new() }
    }

    /// Evicts nodes below `root`, which is committed, if `added` more nodes in memory exceed the limit.
    pub(crate) fn evict(&mut self, root: &mut TreeNode, added: usize) -> Result<(), Error> {
        self.held += added;
        if self.held <= self.keep {
            return Ok(());
        }
        // The top levels that stay hold a quarter of the limit, if the tree is full there.
        let top_levels = (self.keep / 4).checked_ilog2().unwrap_or(0);
        let low = u32::from(root.height()).saturating_sub(top_levels);
        let excess = self.held - self.keep;
        let mut sweep = Sweep { low, excess, gone: 0, hand: std::mem::take(&mut self.hand) };
        match sweep.pass(root)? {
            true => {
                self.hand = sweep.hand;
                self.held = self.held.saturating_sub(sweep.gone);
            }
            // The sweep went once around. `held` was an estimate, since removed nodes were counted too.
            false => self.held = count(root),
        }
        Ok(())
    }
}

/// One sweep of the clock's hand.
struct Sweep {
    /// Height up to which subtrees are evicted.
    low: u32,
    /// Number of nodes to evict.
    excess: usize,
    gone: usize,
    hand: Vec<u8>,
}

impl Sweep {
    /// Sweeps through `node` and all below it. Returns whether enough nodes are gone.
    fn pass(&mut self, node: &mut TreeNode) -> Result<bool, Error> {
        let ahead = node.key() > self.hand.as_slice();
        Ok((ahead && self.side(node, true)?) || self.side(node, false)?)
    }

    fn side(&mut self, node: &mut TreeNode, left: bool) -> Result<bool, Error> {
        let Some(link) = node.link_mut(left) else {
            return Ok(false);
        };
        let Some(child) = link.tree() else {
            return Ok(false);
        };
        if u32::from(link.height()) > self.low {
            return node.child_mut(left).map_or(Ok(false), |child| self.pass(child));
        }
        self.gone += count(child);
        let held = std::mem::replace(link, PLACEHOLDER);
        *link = held.into_reference().map_err(tree_error)?;
        if self.gone < self.excess {
            return Ok(false);
        }
        self.hand = node.key().to_vec();
        Ok(true)
    }
}

/// Returns the number of nodes in memory at and below `node`.
fn count(node: &TreeNode) -> usize {
    let below = |left| node.child(left).map_or(0, count);
    1 + below(true) + below(false)
}
