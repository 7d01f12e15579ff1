//! Joining and splitting of AVL trees.
//!
//! Every change of the tree's shape comes down to two operations. [`Loader::join`] makes one tree of two and a node
//! between them. [`Loader::concatenate`] makes one of two alone. Both take AVL trees of any heights and return an AVL
//! tree: at every node the heights of the two sides differ by at most one.
//!
//! *Correctness of `join`.* Let `tall` be higher than `low` by two or more. The descent along the inner side of
//! `tall` ends at the first subtree that is at most one higher than `low`. Its parent was higher by two or more, and
//! a child is at most two lower than its parent, so this subtree is not lower than `low`. The node with these two as
//! children is therefore balanced, and one higher than the subtree that it replaces. At each node on the way back one
//! side is thus as high as before or one higher, and the difference is at most two. A single or double rotation
//! corrects a difference of two. It gives a tree as high as the higher side or one higher, which again is at most one
//! higher than what was there before.
//!
//! *Correctness of `concatenate`.* Removing the outermost node makes each subtree on the path to it at most one
//! lower, which a rotation corrects in the same way. The rest is a `join`.
//!
//! This is the algebra of "Just Join for Parallel Ordered Sets" (Blelloch, Ferizovic and Sun, SPAA 2016). Nothing
//! here is recursive: a descent is a loop that keeps its nodes in a vector.

use std::sync::Arc;

use crate::{
    Error,
    tree::{
        link::{Link, Subtree, TreeNode, height, modified, put, take},
        loader::Loader,
    },
};

impl Loader<'_> {
    /// Joins `left`, `node` and `right`, whose keys are in this order. The present children of `node` are ignored.
    pub(crate) fn join(
        &mut self,
        left: Subtree,
        node: Arc<TreeNode>,
        right: Subtree,
    ) -> Result<Arc<TreeNode>, Error> {
        let (left_height, right_height) = (height(&left), height(&right));
        if left_height > right_height + 1 {
            self.join_below(left, node, right, true)
        } else if right_height > left_height + 1 {
            self.join_below(right, node, left, false)
        } else {
            Ok(put(put(node, true, left), false, right))
        }
    }

    /// Joins `left` and `right`, whose keys are in this order.
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
        node: Arc<TreeNode>,
        low: Subtree,
        left: bool,
    ) -> Result<Arc<TreeNode>, Error> {
        let mut above = Vec::new();
        let mut inner = tall;
        while height(&inner) > height(&low) + 1
            && let Some(link) = inner
        {
            let mut parent = self.load(link)?;
            inner = take(&mut parent, !left);
            above.push(parent);
        }
        let mut joined = put(put(node, left, inner), !left, low);
        while let Some(parent) = above.pop() {
            joined = self.rebalance(put(parent, !left, modified(joined)))?;
        }
        Ok(joined)
    }

    /// Splits off the first or the last node. Returns the rest of the tree and that node.
    fn split_off_edge(
        &mut self,
        tree: Link,
        first: bool,
    ) -> Result<(Subtree, Arc<TreeNode>), Error> {
        let mut above = Vec::new();
        let mut edge = self.load(tree)?;
        while let Some(next) = take(&mut edge, first) {
            above.push(edge);
            edge = self.load(next)?;
        }
        let mut rest = take(&mut edge, !first);
        while let Some(parent) = above.pop() {
            rest = modified(self.rebalance(put(parent, first, rest))?);
        }
        Ok((rest, edge))
    }

    /// Rotates if the heights of the two sides differ by two. All below `node` must be balanced.
    fn rebalance(&mut self, mut node: Arc<TreeNode>) -> Result<Arc<TreeNode>, Error> {
        let (left_height, right_height) = node.child_heights();
        if left_height.abs_diff(right_height) <= 1 {
            return Ok(node);
        }
        let left = left_height > right_height;
        let mut child = self.take_loaded(&mut node, left)?;
        if height(child.side(!left)) > height(child.side(left)) {
            child = self.rotate(child, !left)?;
        }
        let node = put(node, left, modified(child));
        self.rotate(node, left)
    }

    /// Makes the child on the side `left` the root.
    fn rotate(&mut self, mut node: Arc<TreeNode>, left: bool) -> Result<Arc<TreeNode>, Error> {
        let mut child = self.take_loaded(&mut node, left)?;
        let inner = take(&mut child, !left);
        let node = put(node, left, inner);
        Ok(put(child, !left, modified(node)))
    }

    fn take_loaded(
        &mut self,
        node: &mut Arc<TreeNode>,
        left: bool,
    ) -> Result<Arc<TreeNode>, Error> {
        let child = take(node, left);
        self.load(child.ok_or_else(|| Error::Tree("the higher side is empty".into()))?)
    }
}
