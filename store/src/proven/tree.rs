//! Changes of the proven tree: those of IAVL, step by step, so that the shape and the hashes are the same.

use std::cmp::Ordering;

use crate::{
    Error, StateView,
    changes::Written,
    proven::node::{Inner, Leaf, Link, Node, NodeKey},
};

/// A change of the tree: a key with its new value, or `None` if it is removed.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Result of a block's changes.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) root: Option<Link>,
    /// The new nodes.
    pub(crate) nodes: Vec<Written>,
    /// The stored nodes that the tree no longer has.
    pub(crate) orphans: Vec<NodeKey>,
}

/// Applies `changes`, which are in key order, to the tree under `root`, for the block at the height `version`.
///
/// Values that a key has already, and removals of keys that the tree does not have, change nothing.
pub(crate) fn apply(
    state: &StateView,
    root: Option<Link>,
    version: u64,
    changes: &[Change],
) -> Result<Applied, Error> {
    let mut tree = Tree { state, version, root: root.map(Child::Stored), orphans: Vec::new() };
    for (key, value) in changes {
        if tree.has(key, value.as_deref())? {
            continue;
        }
        match value {
            Some(value) => tree.insert(key, value)?,
            None => tree.remove(key)?,
        }
    }
    let mut save = Save { version, nodes: Vec::new() };
    let root = tree.root.map(|root| save.child(root)).transpose()?;
    Ok(Applied { root, nodes: save.nodes, orphans: tree.orphans })
}

/// A tree of which the changed part is in memory.
struct Tree<'a> {
    state: &'a StateView,
    version: u64,
    root: Option<Child>,
    orphans: Vec<NodeKey>,
}

/// A subtree.
enum Child {
    Stored(Link),
    Open(Box<Open>),
}

/// A subtree whose root is in memory. Each node is read once, however many changes go through it.
struct Open {
    node: Fresh,
    /// The stored node, as long as the subtree is the same.
    stored: Option<Link>,
}

/// A node in memory.
enum Fresh {
    Leaf(Leaf),
    Inner(Inner<Child>),
}

/// Result of a removal in a subtree.
struct Removed {
    /// What is left of the subtree.
    rest: Option<Child>,
    /// The first key of the subtree, if it has become another.
    first: Option<Vec<u8>>,
}

impl Child {
    fn height(&self) -> u8 {
        match self {
            Self::Stored(link) => link.height,
            Self::Open(open) => match &open.node {
                Fresh::Leaf(_) => 0,
                Fresh::Inner(inner) => inner.height,
            },
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Stored(link) => link.size,
            Self::Open(open) => match &open.node {
                Fresh::Leaf(_) => 1,
                Fresh::Inner(inner) => inner.size,
            },
        }
    }
}

impl From<Fresh> for Child {
    fn from(node: Fresh) -> Self {
        Self::Open(Box::new(Open { node, stored: None }))
    }
}

impl Open {
    /// Reads a node for a block at the height `version`, which an inner node has if it changes.
    fn load(state: &StateView, version: u64, link: &Link) -> Result<Self, Error> {
        let node = match Node::load(state, link)? {
            Node::Leaf(leaf) => Fresh::Leaf(leaf),
            Node::Inner(Inner { height, size, key, left, right, .. }) => {
                let (left, right) = (Child::Stored(left), Child::Stored(right));
                Fresh::Inner(Inner { version, height, size, key, left, right })
            }
        };
        Ok(Self { node, stored: Some(link.clone()) })
    }
}

impl Inner<Child> {
    /// Computes the height and the size from the children's.
    fn measured(mut self) -> Self {
        self.height = self.left.height().max(self.right.height()).saturating_add(1);
        self.size = self.left.size().saturating_add(self.right.size());
        self
    }

    /// Returns how much higher the left side is than the right one.
    fn lean(&self) -> i16 {
        i16::from(self.left.height()) - i16::from(self.right.height())
    }
}

impl Tree<'_> {
    /// Returns true if the tree has this value at `key`, or nothing for `None`.
    fn has(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<bool, Error> {
        let (state, version) = (self.state, self.version);
        let Some(mut child) = self.root.as_mut() else { return Ok(value.is_none()) };
        loop {
            match child {
                Child::Stored(link) => {
                    let open = Open::load(state, version, link)?;
                    *child = Child::Open(Box::new(open));
                }
                Child::Open(open) => match &mut open.node {
                    Fresh::Leaf(leaf) => {
                        return Ok((leaf.key == key).then_some(leaf.value.as_slice()) == value);
                    }
                    Fresh::Inner(inner) => {
                        let is_left = key < inner.key.as_slice();
                        child = if is_left { &mut inner.left } else { &mut inner.right };
                    }
                },
            }
        }
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let root = match self.root.take() {
            Some(root) => self.insert_below(root, key, value)?,
            None => self.leaf(key, value),
        };
        self.root = Some(root);
        Ok(())
    }

    fn insert_below(&mut self, child: Child, key: &[u8], value: &[u8]) -> Result<Child, Error> {
        let (node, stored) = self.open(child)?;
        match node {
            Fresh::Leaf(leaf) => Ok(self.insert_at(leaf, stored, key, value)),
            Fresh::Inner(mut inner) => {
                self.replace(stored);
                match key < inner.key.as_slice() {
                    true => inner.left = self.insert_below(inner.left, key, value)?,
                    false => inner.right = self.insert_below(inner.right, key, value)?,
                }
                self.balanced(inner.measured())
            }
        }
    }

    /// Inserts at a leaf: replaces it, or puts both under a new node.
    fn insert_at(&mut self, leaf: Leaf, stored: Option<Link>, key: &[u8], value: &[u8]) -> Child {
        let new = self.leaf(key, value);
        let order = key.cmp(&leaf.key);
        if order == Ordering::Equal {
            self.replace(stored);
            return new;
        }
        let old_key = leaf.key.clone();
        let old = stored.map_or_else(|| Fresh::Leaf(leaf).into(), Child::Stored);
        let (key, left, right) = match order {
            Ordering::Less => (old_key, new, old),
            _ => (key.to_vec(), old, new),
        };
        Fresh::Inner(Inner { version: self.version, height: 1, size: 2, key, left, right }).into()
    }

    /// Removes a key that the tree has.
    fn remove(&mut self, key: &[u8]) -> Result<(), Error> {
        if let Some(root) = self.root.take() {
            self.root = self.remove_below(root, key)?.rest;
        }
        Ok(())
    }

    fn remove_below(&mut self, child: Child, key: &[u8]) -> Result<Removed, Error> {
        let (node, stored) = self.open(child)?;
        self.replace(stored);
        let mut inner = match node {
            Fresh::Leaf(_) => return Ok(Removed { rest: None, first: None }),
            Fresh::Inner(inner) => inner,
        };
        if key < inner.key.as_slice() {
            let Removed { rest, first } = self.remove_below(inner.left, key)?;
            let Some(left) = rest else {
                return Ok(Removed { rest: Some(inner.right), first: Some(inner.key) });
            };
            inner.left = left;
            let rest = Some(self.balanced(inner.measured())?);
            return Ok(Removed { rest, first });
        }
        let Removed { rest, first } = self.remove_below(inner.right, key)?;
        let Some(right) = rest else {
            return Ok(Removed { rest: Some(inner.left), first: None });
        };
        inner.right = right;
        inner.key = first.unwrap_or(inner.key);
        Ok(Removed { rest: Some(self.balanced(inner.measured())?), first: None })
    }

    /// Rotates a node whose sides differ by two in height.
    fn balanced(&mut self, mut inner: Inner<Child>) -> Result<Child, Error> {
        match inner.lean() {
            lean if lean > 1 => {
                let left = self.take_inner(inner.left)?;
                inner.left = match left.lean() >= 0 {
                    true => Fresh::Inner(left).into(),
                    false => self.rotated_left(left)?,
                };
                self.rotated_right(inner)
            }
            lean if lean < -1 => {
                let right = self.take_inner(inner.right)?;
                inner.right = match right.lean() <= 0 {
                    true => Fresh::Inner(right).into(),
                    false => self.rotated_right(right)?,
                };
                self.rotated_left(inner)
            }
            _ => Ok(Fresh::Inner(inner).into()),
        }
    }

    fn rotated_right(&mut self, mut node: Inner<Child>) -> Result<Child, Error> {
        let mut left = self.take_inner(node.left)?;
        node.left = left.right;
        left.right = Fresh::Inner(node.measured()).into();
        Ok(Fresh::Inner(left.measured()).into())
    }

    fn rotated_left(&mut self, mut node: Inner<Child>) -> Result<Child, Error> {
        let mut right = self.take_inner(node.right)?;
        node.right = right.left;
        right.left = Fresh::Inner(node.measured()).into();
        Ok(Fresh::Inner(right.measured()).into())
    }

    /// Takes an inner node to change it.
    fn take_inner(&mut self, child: Child) -> Result<Inner<Child>, Error> {
        let (node, stored) = self.open(child)?;
        self.replace(stored);
        match node {
            Fresh::Inner(inner) => Ok(inner),
            Fresh::Leaf(leaf) => {
                let key = String::from_utf8_lossy(&leaf.key).into_owned();
                Err(Error::Damaged(format!("the proven leaf {key:?} stands for a subtree")))
            }
        }
    }

    /// Opens a subtree. Returns the link too if it is as stored.
    fn open(&self, child: Child) -> Result<(Fresh, Option<Link>), Error> {
        let Open { node, stored } = match child {
            Child::Open(open) => *open,
            Child::Stored(link) => Open::load(self.state, self.version, &link)?,
        };
        Ok((node, stored))
    }

    fn leaf(&self, key: &[u8], value: &[u8]) -> Child {
        let (key, value) = (key.to_vec(), value.to_vec());
        Fresh::Leaf(Leaf { version: self.version, key, value }).into()
    }

    fn replace(&mut self, stored: Option<Link>) {
        self.orphans.extend(stored.map(|link| link.node));
    }
}

/// Returns the value of `key` in a stored tree.
pub(crate) fn get(state: &StateView, root: &Link, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut link = root.clone();
    loop {
        link = match Node::load(state, &link)? {
            Node::Leaf(leaf) => return Ok((leaf.key == key).then_some(leaf.value)),
            Node::Inner(inner) if key < inner.key.as_slice() => inner.left,
            Node::Inner(inner) => inner.right,
        };
    }
}

/// Hashes and encodes the new nodes, children first.
struct Save {
    version: u64,
    nodes: Vec<Written>,
}

impl Save {
    fn child(&mut self, child: Child) -> Result<Link, Error> {
        let node = match child {
            Child::Stored(link) => return Ok(link),
            Child::Open(open) => match *open {
                Open { stored: Some(link), .. } => return Ok(link),
                Open { node, stored: None } => node,
            },
        };
        let node = match node {
            Fresh::Leaf(leaf) => Node::Leaf(leaf),
            Fresh::Inner(Inner { version, height, size, key, left, right }) => {
                let (left, right) = (self.child(left)?, self.child(right)?);
                Node::Inner(Inner { version, height, size, key, left, right })
            }
        };
        // Each node stands in memory, so their number fits.
        let key = NodeKey { version: self.version, number: self.nodes.len() as u32 };
        let bytes = borsh::to_vec(&node).map_err(unwritable)?;
        self.nodes.push((key.entry_key().into(), Some(bytes.into())));
        let (height, size) = node.shape();
        Ok(Link { node: key, hash: node.hash(), height, size })
    }
}

/// Reports that a value cannot be encoded, which writing to memory never does.
pub(crate) fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::Damaged(format!("a record of the proven tree cannot be encoded: {error}"))
}
