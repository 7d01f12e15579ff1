//! Which nodes of the tree stay in memory.

use grovedb_merk::tree::TreeNode;

use crate::{
    Error,
    tree::link::{PLACEHOLDER, tree_error},
};

/// Keeps the number of nodes in memory near a limit.
///
/// When there are more, a hand goes on through the tree in key order from where it last stopped, and
/// lets go of the low subtrees it passes until enough nodes are gone. The top of the tree always
/// stays. What is let go of and needed again is read again: so what is in use comes back, and what
/// is not does not.
pub(crate) struct Eviction {
    keep: usize,
    /// How many nodes are in memory, at most.
    held: usize,
    /// Up to here the hand has come.
    hand: Vec<u8>,
}

impl Eviction {
    pub(crate) fn new(keep: usize) -> Self {
        Self { keep, held: 1, hand: Vec::new() }
    }

    /// Lets go of nodes below `root`, which is committed, if `added` more nodes in memory are too many.
    pub(crate) fn evict(&mut self, root: &mut TreeNode, added: usize) -> Result<(), Error> {
        self.held += added;
        if self.held <= self.keep {
            return Ok(());
        }
        // The top levels that stay are a quarter of what is kept, as far as the tree is full.
        let top_levels = (self.keep / 4).checked_ilog2().unwrap_or(0);
        let low = u32::from(root.height()).saturating_sub(top_levels);
        let excess = self.held - self.keep;
        let mut sweep = Sweep { low, excess, gone: 0, hand: std::mem::take(&mut self.hand) };
        match sweep.pass(root)? {
            true => {
                self.hand = sweep.hand;
                self.held = self.held.saturating_sub(sweep.gone);
            }
            // Once around. What was added is an estimate where nodes were removed.
            false => self.held = count(root),
        }
        Ok(())
    }
}

/// One move of the hand.
struct Sweep {
    /// Subtrees up to this height go.
    low: u32,
    /// So many nodes are too many.
    excess: usize,
    gone: usize,
    hand: Vec<u8>,
}

impl Sweep {
    /// Goes on through `node` and what is below it: whether enough is gone.
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

/// How many nodes are in memory from `node` on.
fn count(node: &TreeNode) -> usize {
    let below = |left| node.child(left).map_or(0, count);
    1 + below(true) + below(false)
}
