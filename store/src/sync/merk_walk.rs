//! The state's tree, node by node from the root downwards, out of one store and into another.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Hash;

use crate::{
    Error, StateView,
    sync::format::{ChildRecord, NodeRecord},
    tree::{
        link::{Link, Place, TreeNode},
        loader::resolve,
        node::{MAX_HEIGHT, NO_CHILD, hash_node, printable},
        record,
        state_tree::leaf_of_hash,
    },
};

/// Calls `visit` with each node of the tree of `state`: a node, then all below its left child, then all below its right
/// one.
pub(crate) fn each_node(
    state: &StateView,
    mut visit: impl FnMut(&[u8], &NodeRecord) -> Result<(), Error>,
) -> Result<(), Error> {
    // Heights fall, so it has at most one link for each height and one more.
    let mut ahead: Vec<Link> = state.tree()?.clone().into_iter().collect();
    while let Some(link) = ahead.pop() {
        let node = resolve(state.checkpoint(), &link)?;
        let child = |link: &Link| ChildRecord { hash: link.hash, heights: link.heights };
        let record = NodeRecord {
            value: node.value,
            left: node.left.as_ref().map(child),
            right: node.right.as_ref().map(child),
        };
        visit(&node.key, &record)?;
        ahead.extend([&node.right, &node.left].into_iter().flatten().cloned());
    }
    Ok(())
}

/// A tree that arrives. Each node is checked when it comes, and given out when its children's keys are known.
#[derive(Clone, Debug, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct MerkWalk {
    /// Key of the root, once it has come.
    pub(crate) root_key: Option<Vec<u8>>,
    /// Nodes of which not all below has come, from the root downwards.
    open: Vec<Open>,
    /// The greatest key so far whose left side is complete.
    last: Option<Vec<u8>>,
    /// Number of nodes so far.
    pub(crate) nodes: u64,
}

/// A node that waits for its children.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Open {
    key: Vec<u8>,
    node: NodeRecord,
    left_key: Option<Vec<u8>>,
    /// Whether all below the left child has come.
    is_left_done: bool,
}

/// A node that is complete: its key and its record.
pub(crate) type Done = (Vec<u8>, Vec<u8>);

impl MerkWalk {
    /// Takes the next node of the tree with this root. Adds the nodes that are complete to `done`.
    pub(crate) fn take(
        &mut self,
        root: &Hash,
        key: &[u8],
        node: NodeRecord,
        done: &mut Vec<Done>,
    ) -> Result<(), Error> {
        self.check(root, key, &node)?;
        self.nodes += 1;
        self.link_to_parent(key, done);
        let is_left_done = node.left.is_none();
        if is_left_done {
            self.visit(key)?;
        }
        let is_leaf = is_left_done && node.right.is_none();
        let open = Open { key: key.to_vec(), node, left_key: None, is_left_done };
        if is_leaf {
            done.push(open.finish(None));
            return self.left_side_done(done);
        }
        self.open.push(open);
        Ok(())
    }

    /// Returns whether the whole tree with this root has come.
    pub(crate) fn is_complete(&self, root: &Hash) -> bool {
        self.open.is_empty() && (self.root_key.is_some() != (*root == Hash::default()))
    }

    /// Checks a node against its parent, or against the root.
    fn check(&self, root: &Hash, key: &[u8], node: &NodeRecord) -> Result<(), Error> {
        let heights = (height(node.left.as_ref())?, height(node.right.as_ref())?);
        if key.is_empty() || key.len() > MAX_TREE_KEY || heights.0.abs_diff(heights.1) > 1 {
            return Err(wrong(key, "is malformed"));
        }
        let child = |child: Option<&ChildRecord>| child.map_or(NO_CHILD, |child| child.hash);
        let (left, right) = (child(node.left.as_ref()), child(node.right.as_ref()));
        let hash = hash_node(key, &leaf_of_hash(&node.value), &left, &right);
        let expected = match self.open.last() {
            Some(parent) if !parent.is_left_done => parent.node.left,
            Some(parent) => parent.node.right,
            None if self.root_key.is_none() => Some(ChildRecord { hash: root.0, heights }),
            None => None,
        };
        match expected {
            Some(expected) if expected == (ChildRecord { hash, heights }) => Ok(()),
            Some(_) => Err(wrong(key, "has another hash or height than its parent says")),
            None => Err(wrong(key, "has no place in the tree")),
        }
    }

    /// Tells the parent the key of its child. A parent that has come to its right child needs nothing more.
    fn link_to_parent(&mut self, key: &[u8], done: &mut Vec<Done>) {
        match self.open.last_mut() {
            None => self.root_key = Some(key.to_vec()),
            Some(parent) if !parent.is_left_done => parent.left_key = Some(key.to_vec()),
            Some(_) => done.extend(self.open.pop().map(|parent| parent.finish(Some(key)))),
        }
    }

    /// Notes that all below the left child of the last open node has come, and so on upwards.
    fn left_side_done(&mut self, done: &mut Vec<Done>) -> Result<(), Error> {
        while let Some(parent) = self.open.last_mut() {
            parent.is_left_done = true;
            let (key, has_right) = (parent.key.clone(), parent.node.right.is_some());
            self.visit(&key)?;
            if has_right {
                return Ok(());
            }
            done.extend(self.open.pop().map(|parent| parent.finish(None)));
        }
        Ok(())
    }

    /// Checks that keys ascend from left to right.
    fn visit(&mut self, key: &[u8]) -> Result<(), Error> {
        if self.last.as_deref().is_some_and(|last| last >= key) {
            return Err(wrong(key, "is out of the order of keys"));
        }
        self.last = Some(key.to_vec());
        Ok(())
    }
}

impl Open {
    /// Returns the node's record, now that the keys of its children are known.
    fn finish(self, right_key: Option<&[u8]>) -> Done {
        let link = |child: Option<ChildRecord>, key: Option<&[u8]>| {
            let (ChildRecord { hash, heights }, key) = (child?, key?.into());
            Some(Link { place: Place::Stored(key), hash, heights, is_hashed: true, is_apart: true })
        };
        let mut node = TreeNode::new(self.key.as_slice().into(), self.node.value, 0);
        node.left = link(self.node.left, self.left_key.as_deref());
        node.right = link(self.node.right, right_key);
        (self.key, record::encode(&node))
    }
}

/// Length of the longest tree key.
const MAX_TREE_KEY: usize = 255;

/// Returns the height of a child, 0 for none.
fn height(child: Option<&ChildRecord>) -> Result<u8, Error> {
    let Some(ChildRecord { heights: (left, right), .. }) = child else { return Ok(0) };
    match 1 + *left.max(right) as u16 {
        height if height < u16::from(MAX_HEIGHT) => Ok(height as u8),
        _ => Err(Error::Snapshot("it has a tree node higher than any tree".to_owned())),
    }
}

fn wrong(key: &[u8], what: &str) -> Error {
    Error::Snapshot(format!("the tree node {:?} {what}", printable(key)))
}
