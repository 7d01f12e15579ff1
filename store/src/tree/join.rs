//! Trees put together and taken apart.
//!
//! Everything that changes the tree's shape comes down to two operations: [`Loader::join`] makes one tree of
//! two and a node between them, [`Loader::concatenate`] makes one of two alone. Both take AVL trees of
//! any heights and give an AVL tree: at every node the heights of the two sides differ by one at most.
//!
//! *Why `join` does.* Let `tall` be higher than `low` by two or more. The way down the inner side of `tall`
//! ends at the first subtree that is higher than `low` by one at most. Its parent was higher by two or more,
//! and a child is lower than its parent by two at most, so this subtree is not lower than `low`. The node
//! with these two as children is therefore balanced, and one higher than the subtree whose place it takes.
//! So at each node on the way back one side is as high as before or one higher, and the difference is two at
//! most. A rotation, single or double, mends a difference of two and gives a tree that is as high as the
//! higher side or one higher: again no more than one higher than what was there before.
//!
//! *Why `concatenate` does.* Taking the outermost node off a tree makes each subtree on the way to it lower
//! by one at most, which a rotation mends in the same way; `join` does the rest.
//!
//! This is the algebra of "Just Join for Parallel Ordered Sets" (Blelloch, Ferizovic and Sun, SPAA 2016).
//! Nothing here calls itself: a way down is a loop and its nodes are kept in a vector.

use grovedb_merk::tree::{Link, TreeNode};

use crate::{
    Error,
    tree::{
        link::{Subtree, height, modified, put, take},
        loader::Loader,
    },
};

impl Loader<'_> {
    /// The tree of `left`, `node` and `right`, whose keys are in this order. What `node` has for children is
    /// taken for nothing.
    pub(crate) fn join(
        &mut self,
        left: Subtree,
        node: TreeNode,
        right: Subtree,
    ) -> Result<TreeNode, Error> {
        let (left_height, right_height) = (height(&left), height(&right));
        if left_height > right_height + 1 {
            self.join_below(left, node, right, true)
        } else if right_height > left_height + 1 {
            self.join_below(right, node, left, false)
        } else {
            put(put(node, true, left)?, false, right)
        }
    }

    /// The tree of `left` and `right`, whose keys are in this order.
    pub(crate) fn concatenate(&mut self, left: Subtree, right: Subtree) -> Result<Subtree, Error> {
        let left_is_higher = height(&left) > height(&right);
        let (left, node, right) = match (left, right) {
            (None, only) | (only, None) => return Ok(only),
            (Some(left), right) if left_is_higher => {
                let (rest, last) = self.split_off_edge(left, false)?;
                (rest, last, right)
            }
            (left, Some(right)) => {
                let (rest, first) = self.split_off_edge(right, true)?;
                (left, first, rest)
            }
        };
        self.join(left, node, right).map(modified)
    }

    /// Joins below `tall`, which is higher than `low` by two or more and lies on the side `left` of `node`.
    fn join_below(
        &mut self,
        tall: Subtree,
        node: TreeNode,
        low: Subtree,
        left: bool,
    ) -> Result<TreeNode, Error> {
        let mut above = Vec::new();
        let mut inner = tall;
        while height(&inner) > height(&low) + 1
            && let Some(link) = inner
        {
            let mut parent = self.load(link)?;
            inner = take(&mut parent, !left);
            above.push(parent);
        }
        let mut joined = put(put(node, left, inner)?, !left, low)?;
        while let Some(parent) = above.pop() {
            joined = self.rebalance(put(parent, !left, modified(joined))?)?;
        }
        Ok(joined)
    }

    /// The tree without its first node, or its last one, and that node.
    fn split_off_edge(&mut self, tree: Link, first: bool) -> Result<(Subtree, TreeNode), Error> {
        let mut above = Vec::new();
        let mut edge = self.load(tree)?;
        while let Some(next) = take(&mut edge, first) {
            above.push(edge);
            edge = self.load(next)?;
        }
        let mut rest = take(&mut edge, !first);
        while let Some(parent) = above.pop() {
            rest = modified(self.rebalance(put(parent, first, rest)?)?);
        }
        Ok((rest, edge))
    }

    /// Rotates if the heights of the two sides differ by two. Below `node` all is balanced.
    fn rebalance(&mut self, mut node: TreeNode) -> Result<TreeNode, Error> {
        let difference = node.balance_factor();
        if difference.abs() <= 1 {
            return Ok(node);
        }
        let left = difference < 0;
        let mut child = self.take_loaded(&mut node, left)?;
        if child.child_height(!left) > child.child_height(left) {
            child = self.rotate(child, !left)?;
        }
        let node = put(node, left, modified(child))?;
        self.rotate(node, left)
    }

    /// Makes the child on one side the root.
    fn rotate(&mut self, mut node: TreeNode, left: bool) -> Result<TreeNode, Error> {
        let mut child = self.take_loaded(&mut node, left)?;
        let inner = take(&mut child, !left);
        let node = put(node, left, inner)?;
        put(child, !left, modified(node))
    }

    fn take_loaded(&mut self, node: &mut TreeNode, left: bool) -> Result<TreeNode, Error> {
        let child = take(node, left);
        self.load(child.ok_or_else(|| Error::Tree("the higher side is empty".into()))?)
    }
}
