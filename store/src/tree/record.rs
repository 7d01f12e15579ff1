//! The records of the state's file that hold the tree: several nodes in each.
//!
//! A record has a node and those below it of the same *level*. Levels are four heights each: 1 to 4, 5 to 8, and so on.
//! So it has up to fifteen nodes, and a way from the root to a leaf of a million keys goes through five or six
//! records. The record's key is that of its first node. A node that a record could hold may also have one of its own:
//! an import and a restoration write each node alone, and a node that did not change stays where it is.
//!
//! ```text
//! record: node
//! node:   sides (1 byte): left + 3 * right, each 0 no child, 1 child in this record, 2 child in a record of its own
//!         SHA-256 of the value (32), left child?, right child?
//! child:  key length (1), key, hash (32), heights of its children (1, 1), and if it is in this record: node
//! ```

use std::sync::Arc;

use crate::{
    changes::Shared,
    tree::{
        link::{Link, Place, Subtree, TreeNode},
        node::{MAX_HEIGHT, MalformedNode, Node, NodeLink},
    },
};

/// Number of heights in a level.
const LEVEL_HEIGHTS: u8 = 4;

/// Returns the level of a node of this height.
pub(crate) fn level(height: u8) -> u8 {
    height.saturating_sub(1) / LEVEL_HEIGHTS
}

const NONE: u8 = 0;
const WITHIN: u8 = 1;
const APART: u8 = 2;

/// Encodes the record that begins with `node`.
pub(crate) fn encode(node: &TreeNode) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1_024);
    append(node, &mut bytes);
    bytes
}

fn append(node: &TreeNode, bytes: &mut Vec<u8>) {
    bytes.push(kind(&node.left) + 3 * kind(&node.right));
    bytes.extend(node.value);
    for link in [&node.left, &node.right].into_iter().flatten() {
        append_child(link.key(), &link.hash, link.heights, bytes);
        if let (false, Place::Memory(child)) = (link.is_apart, &link.place) {
            append(child, bytes);
        }
    }
}

fn append_child(key: &[u8], hash: &[u8; 32], heights: (u8, u8), bytes: &mut Vec<u8>) {
    bytes.push(key.len() as u8);
    bytes.extend(key);
    bytes.extend(hash);
    bytes.extend([heights.0, heights.1]);
}

fn kind(side: &Subtree) -> u8 {
    match side {
        None => NONE,
        Some(Link { is_apart: false, place: Place::Memory(_), .. }) => WITHIN,
        Some(_) => APART,
    }
}

/// Encodes a record of one node.
pub(crate) fn encode_alone(node: &Node<'_>) -> Vec<u8> {
    let kind = |link: &Option<NodeLink<'_>>| if link.is_some() { APART } else { NONE };
    let mut bytes = vec![kind(&node.left) + 3 * kind(&node.right)];
    bytes.extend(&node.value[1..]);
    for link in [&node.left, &node.right].into_iter().flatten() {
        append_child(link.key, &link.hash, link.heights, &mut bytes);
    }
    bytes
}

/// Decodes the record with this key. Fails if it is not one that this store writes. Returns its first node, and the number
/// of its nodes.
pub(crate) fn decode(key: &Shared, bytes: &[u8]) -> Result<(TreeNode, usize), MalformedNode> {
    let mut reader = Reader { rest: bytes, nodes: 0 };
    let mut node = reader.node(key.clone(), None)?;
    if !reader.rest.is_empty() {
        return Err(MalformedNode("bytes after its end"));
    }
    node.is_apart = true;
    Ok((node, reader.nodes))
}

/// Returns the SHA-256 of the value of the record's first node.
pub(crate) fn first_value(bytes: &[u8]) -> Result<[u8; 32], MalformedNode> {
    let mut reader = Reader { rest: bytes, nodes: 0 };
    reader.byte()?;
    reader.array()
}

struct Reader<'a> {
    rest: &'a [u8],
    nodes: usize,
}

impl Reader<'_> {
    /// Reads a node. Within a record it must have these heights of its children, and the children in the record the level of the
    /// first node. So heights fall, and the recursion is as deep as a level is high.
    fn node(&mut self, key: Shared, expected: Option<(u8, u8)>) -> Result<TreeNode, MalformedNode> {
        self.nodes += 1;
        let sides = self.byte()?;
        let mut node = TreeNode::new(key, self.array()?, 0);
        node.left = self.child(sides % 3, expected.map(|(left, _)| left))?;
        node.right = self.child(sides / 3, expected.map(|(_, right)| right))?;
        let (left, right) = node.child_heights();
        if left.abs_diff(right) > 1 {
            return Err(MalformedNode("children whose heights differ by more than one"));
        }
        let fits = |link: &Link| link.is_apart || level(link.height()) == level(node.height());
        match node.left.iter().chain(&node.right).all(fits) {
            true => Ok(node),
            false => Err(MalformedNode("a child that belongs in another record")),
        }
    }

    /// Reads a child, which must have this height if it is known.
    fn child(&mut self, kind: u8, expected: Option<u8>) -> Result<Subtree, MalformedNode> {
        let other_height = MalformedNode("another height than its parent says");
        if kind == NONE {
            return match expected {
                None | Some(0) => Ok(None),
                Some(_) => Err(other_height),
            };
        }
        let length = self.byte()?.into();
        let key: Shared = self.take(length)?.into();
        let (hash, heights) = (self.array()?, (self.byte()?, self.byte()?));
        if heights.0 >= MAX_HEIGHT || heights.1 >= MAX_HEIGHT {
            return Err(MalformedNode("a child higher than any tree"));
        }
        if expected.is_some_and(|height| height != 1 + heights.0.max(heights.1)) {
            return Err(other_height);
        }
        let (place, is_apart) = match kind {
            WITHIN => (Place::Memory(Arc::new(self.node(key, Some(heights))?)), false),
            APART => (Place::Stored(key), true),
            _ => return Err(MalformedNode("a malformed link")),
        };
        Ok(Some(Link { place, hash, heights, is_hashed: true, is_apart }))
    }

    fn byte(&mut self) -> Result<u8, MalformedNode> {
        Ok(self.take(1)?[0])
    }

    fn array(&mut self) -> Result<[u8; 32], MalformedNode> {
        self.take(32)?.try_into().map_err(|_| MalformedNode("an early end"))
    }

    fn take(&mut self, length: usize) -> Result<&[u8], MalformedNode> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or(MalformedNode("an early end"))?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use capstan_kernel_ports::store::Overlay;

    use super::*;
    use crate::{Store, tree::walk::each_changed};

    /// Returns the records of a tree of 300 keys of different lengths.
    fn records() -> Vec<(Shared, Vec<u8>)> {
        let store = Store::in_memory().unwrap();
        let mut block = store.begin_block();
        (0..300_usize).for_each(|i| {
            block.set(&[i.to_be_bytes().to_vec(), vec![7; i % 60]].concat(), vec![1])
        });
        store.commit(store.prepare(block).unwrap(), 1).unwrap();
        let mut records = Vec::new();
        let mut add = |key: &Shared, bytes| {
            records.push((key.clone(), bytes));
            Ok(())
        };
        each_changed(store.reader().tree().unwrap(), 0, &mut add).unwrap();
        records
    }

    #[test]
    fn records_hold_all_nodes_and_come_back_the_same() {
        let mut nodes = 0;
        for (key, bytes) in records() {
            let (node, count) = decode(&key, &bytes).unwrap();
            assert!((1..=15).contains(&count), "{count}");
            assert_eq!(encode(&node), bytes);
            assert_eq!(first_value(&bytes).unwrap(), node.value);
            nodes += count;
        }
        assert_eq!(nodes, 300);
    }

    #[test]
    fn no_part_of_a_record_is_one_and_no_flipped_bit_makes_it_panic() {
        for (key, bytes) in records().into_iter().step_by(5) {
            for end in 0..bytes.len() {
                assert!(decode(&key, &bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
            }
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok((node, _)) = decode(&key, &flipped) {
                    assert_eq!(encode(&node), flipped, "bit {bit}");
                }
            }
        }
    }
}
