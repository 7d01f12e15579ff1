//! Nodes of the proven tree: their hashes, which are those of IAVL, and their encoding, which is not.

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};

use crate::{Error, StateView};

/// A SHA-256.
pub(crate) type Sha = [u8; 32];

/// Identity of a stored node: the height of the block that made it, and its number in that block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) struct NodeKey {
    pub(crate) version: u64,
    pub(crate) number: u32,
}

impl NodeKey {
    /// Returns the key of the node's entry.
    pub(crate) fn entry_key(self) -> Vec<u8> {
        [NODES, &self.version.to_be_bytes()[..], &self.number.to_be_bytes()[..]].concat()
    }
}

/// Reference to a stored node, with what its parent needs to know about it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Link {
    pub(crate) node: NodeKey,
    pub(crate) hash: Sha,
    pub(crate) height: u8,
    pub(crate) size: u64,
}

/// An entry of the tree. It carries the height of the block that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Leaf {
    pub(crate) version: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// An inner node, whose children are of type `C`. Its key is the first one of its right side.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Inner<C> {
    pub(crate) version: u64,
    pub(crate) height: u8,
    pub(crate) size: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) left: C,
    pub(crate) right: C,
}

/// A stored node.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Node {
    Leaf(Leaf),
    Inner(Inner<Link>),
}

impl Leaf {
    /// Returns what IAVL hashes before the key and the hash of the value.
    pub(crate) fn prefix(&self) -> Vec<u8> {
        numbers(0, 1, self.version)
    }

    pub(crate) fn hash(&self) -> Sha {
        let mut hasher = Sha256::new();
        hasher.update(self.prefix());
        hash_bytes(&mut hasher, &self.key);
        hash_bytes(&mut hasher, &Sha256::digest(&self.value));
        hasher.finalize().into()
    }
}

impl<C> Inner<C> {
    /// Returns what IAVL hashes before the children's hashes.
    pub(crate) fn prefix(&self) -> Vec<u8> {
        numbers(self.height, self.size, self.version)
    }

    pub(crate) fn hash(&self, left: &Sha, right: &Sha) -> Sha {
        let mut hasher = Sha256::new();
        hasher.update(self.prefix());
        hash_bytes(&mut hasher, left);
        hash_bytes(&mut hasher, right);
        hasher.finalize().into()
    }
}

impl Node {
    pub(crate) fn hash(&self) -> Sha {
        match self {
            Self::Leaf(leaf) => leaf.hash(),
            Self::Inner(inner) => inner.hash(&inner.left.hash, &inner.right.hash),
        }
    }

    /// Returns the height of the subtree and the number of its leaves.
    pub(crate) fn shape(&self) -> (u8, u64) {
        match self {
            Self::Leaf(_) => (0, 1),
            Self::Inner(inner) => (inner.height, inner.size),
        }
    }

    /// Reads the node of `link`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Damaged`] if the stored bytes are no node, or one of another height than the link says. So a
    /// descent ends in a damaged file too.
    pub(crate) fn load(state: &StateView, link: &Link) -> Result<Self, Error> {
        let damaged = |what| Error::Damaged(format!("the proven node {:?} is {what}", link.node));
        let bytes = state.lend(&link.node.entry_key())?.ok_or_else(|| damaged("missing"))?;
        let node: Self = borsh::from_slice(&bytes).map_err(|_| damaged("malformed"))?;
        match node.shape() == (link.height, link.size) && node.is_taller_than_its_children() {
            true => Ok(node),
            false => Err(damaged("not as its parent says")),
        }
    }

    fn is_taller_than_its_children(&self) -> bool {
        match self {
            Self::Leaf(_) => true,
            Self::Inner(inner) => {
                inner.height.checked_sub(1) == Some(inner.left.height.max(inner.right.height))
            }
        }
    }
}

/// Returns numbers as IAVL writes them: in zigzag form, as varints.
fn numbers(height: u8, size: u64, version: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [u64::from(height), size, version] {
        varint(&mut bytes, number << 1);
    }
    bytes
}

/// Appends a number in the encoding of protobuf.
pub(crate) fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Hashes bytes after their length.
fn hash_bytes(hasher: &mut Sha256, bytes: &[u8]) {
    let mut length = Vec::new();
    varint(&mut length, bytes.len() as u64);
    hasher.update(length);
    hasher.update(bytes);
}

/// Prefix of the nodes' entries.
pub(crate) const NODES: &[u8] = b"local.proven.n.";
