//! The encoding of a tree node.
//!
//! It is that of `grovedb-merk`, in exports and snapshots. The decoder is for untrusted bytes. It borrows and never panics. The
//! encoding:
//!
//! ```text
//! node: link?, link?, feature (1 byte, 0), kv hash (32), value hash (32), value (the rest)
//! link?: 0, or 1 and: key length (1), key, hash (32), left height (1), right height (1), 0
//! ```
//!
//! The heights are those of the child's own children. All hashes are BLAKE3:
//!
//! ```text
//! value hash = H(varint(length of value), value)
//! kv hash    = H(varint(length of key), key, value hash)
//! node hash  = H(kv hash, node hash of left child, node hash of right child); 32 zeros if absent
//! ```

use grovedb_merk::tree::{kv_digest_to_kv_hash, node_hash, value_hash};

use crate::{Error, tree::state_tree::Leaf};

/// A stored node, borrowed from its bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node<'a> {
    pub(crate) left: Option<NodeLink<'a>>,
    pub(crate) right: Option<NodeLink<'a>>,
    pub(crate) kv_hash: [u8; 32],
    pub(crate) value_hash: [u8; 32],
    pub(crate) value: Leaf,
}

/// A node's record of a child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NodeLink<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) hash: [u8; 32],
    /// Heights of the child's own children, left and right.
    pub(crate) heights: (u8, u8),
}

/// Reason for which bytes are not a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedNode(pub(crate) &'static str);

impl<'a> Node<'a> {
    /// Decodes a node. Fails if it is not one that this store writes.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, MalformedNode> {
        let mut rest = bytes;
        let left = NodeLink::parse(&mut rest)?;
        let right = NodeLink::parse(&mut rest)?;
        let height = |link: &Option<NodeLink<'_>>| link.as_ref().map_or(0, NodeLink::height);
        if height(&left).abs_diff(height(&right)) > 1 {
            return Err(MalformedNode("children whose heights differ by more than one"));
        }
        if byte(&mut rest)? != 0 {
            return Err(MalformedNode("a feature that is not in use"));
        }
        Ok(Self {
            left,
            right,
            kv_hash: array(&mut rest)?,
            value_hash: array(&mut rest)?,
            value: rest
                .try_into()
                .map_err(|_| MalformedNode("a value that is not a tag and a hash"))?,
        })
    }

    /// Encodes a node with this key, leaf and encoded links.
    pub(crate) fn encode(key: &[u8], value: &Leaf, left: &[u8], right: &[u8]) -> Vec<u8> {
        let value_hash = hash_value(value);
        let kv_hash = hash_kv(key, &value_hash);
        [left, right, &[0], &kv_hash, &value_hash, value].concat()
    }
}

impl NodeLink<'_> {
    /// Encodes the link. Its key has at most 255 bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (left, right) = self.heights;
        [&[1, self.key.len() as u8], self.key, &self.hash, &[left, right, 0]].concat()
    }

    /// Encodes the absence of a child.
    pub(crate) fn encode_none() -> Vec<u8> {
        vec![0]
    }

    /// Returns the height of the child, 1 for a node without children.
    pub(crate) fn height(&self) -> u8 {
        1 + self.heights.0.max(self.heights.1) // at most MAX_HEIGHT, by `parse`
    }
}

impl MalformedNode {
    /// Returns the error for the node at `key`.
    pub(crate) fn at(self, key: &[u8]) -> Error {
        Error::Damaged(format!("the tree node {:?} has {}", printable(key), self.0))
    }
}

/// Hash in place of an absent child's, and root of the empty tree.
pub(crate) const NO_CHILD: [u8; 32] = [0; 32];

/// Upper bound of a tree's height. An AVL tree of this height has more than 2^64 nodes.
pub(crate) const MAX_HEIGHT: u8 = 96;

/// Returns the hash of a node with this key, leaf and children.
pub(crate) fn hash_node(key: &[u8], value: &[u8], left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    hash_children(&hash_kv(key, &hash_value(value)), left, right)
}

/// Returns the hash of a leaf.
pub(crate) fn hash_value(value: &[u8]) -> [u8; 32] {
    value_hash(value).value
}

/// Returns the hash of a key and of its leaf's hash.
pub(crate) fn hash_kv(key: &[u8], value_hash: &[u8; 32]) -> [u8; 32] {
    kv_digest_to_kv_hash(key, value_hash).value
}

/// Returns the hash of a node with this kv hash and these children.
pub(crate) fn hash_children(kv: &[u8; 32], left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    node_hash(kv, left, right).value
}

/// Formats a key for messages: bytes other than text are escaped, and long keys are cut.
pub(crate) fn printable(key: &[u8]) -> String {
    match key.split_at_checked(MAX_PRINTED) {
        Some((head, rest)) if !rest.is_empty() => format!("{}...", head.escape_ascii()),
        _ => key.escape_ascii().to_string(),
    }
}

const MAX_PRINTED: usize = 100;

impl<'a> NodeLink<'a> {
    fn parse(rest: &mut &'a [u8]) -> Result<Option<Self>, MalformedNode> {
        match byte(rest)? {
            0 => return Ok(None),
            1 => {}
            _ => return Err(MalformedNode("a malformed link")),
        }
        let length = byte(rest)?.into();
        let link = Self {
            key: take(rest, length)?,
            hash: array(rest)?,
            heights: (byte(rest)?, byte(rest)?),
        };
        if link.heights.0 >= MAX_HEIGHT || link.heights.1 >= MAX_HEIGHT {
            return Err(MalformedNode("a child higher than any tree"));
        }
        match byte(rest)? {
            0 => Ok(Some(link)),
            _ => Err(MalformedNode("a link with a sum that is not in use")),
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], MalformedNode> {
    let (taken, after) = rest.split_at_checked(length).ok_or(MalformedNode("an early end"))?;
    *rest = after;
    Ok(taken)
}

fn byte(rest: &mut &[u8]) -> Result<u8, MalformedNode> {
    Ok(take(rest, 1)?[0])
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], MalformedNode> {
    take(rest, N)?.try_into().map_err(|_| MalformedNode("an early end"))
}
