//! Comparison of traces for the first crank at which two nodes differ.

use std::{collections::BTreeMap, path::Path};

use super::{BlockTrace, Link, TraceError, Value, Written, heights};

/// Result of comparing the traces of two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All blocks that both nodes have traces of agree.
    Same {
        /// Lowest and highest height of which both have traces, or `None` if there is no such block.
        compared: Option<(u64, u64)>,
    },
    /// The nodes had diverged before the first block that both have traces of.
    Before {
        /// Height of the first block that both nodes have a trace of.
        height: u64,
    },
    /// First crank, or change by a transaction, that differs.
    Link {
        /// Height of the block.
        height: u64,
        /// Index of the link in the block.
        position: usize,
        /// [`Link`] of each node, or `None` if its block had ended before.
        links: Box<[Option<Link>; 2]>,
        /// [`KeyDifference`]s of the two nodes' writes.
        keys: Vec<KeyDifference>,
    },
    /// All cranks of the block agree, but the application's own writes differ.
    App {
        /// Height of the block.
        height: u64,
        /// [`KeyDifference`]s of the two nodes' writes.
        keys: Vec<KeyDifference>,
    },
    /// All writes agree, and yet the app hashes differ. Either a store is damaged, or the nodes began the block on
    /// states that differ in parts that the crank chain does not cover.
    Hash {
        /// Height of the block.
        height: u64,
    },
}

/// A key to which two nodes wrote different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDifference {
    /// Key in the state.
    pub key: Vec<u8>,
    /// [`Write`] of each node to the key.
    pub writes: [Write; 2],
}

/// A node's write to a key of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The node did not write the key.
    Untouched,
    /// The node deleted the key.
    Deleted,
    /// The node set the key.
    Set(Value),
}

/// Compares the traces in two directories, block by block, from the first that both have. Returns the first
/// difference as a [`Finding`].
pub fn bisect(a: &Path, b: &Path) -> Result<Finding, TraceError> {
    let in_b = heights(b)?;
    let common: Vec<u64> =
        heights(a)?.into_iter().filter(|height| in_b.binary_search(height).is_ok()).collect();
    for height in &common {
        let (left, right) = (BlockTrace::read(a, *height)?, BlockTrace::read(b, *height)?);
        if let Some(finding) = compare(&left, &right) {
            return Ok(finding);
        }
    }
    Ok(Finding::Same { compared: common.first().copied().zip(common.last().copied()) })
}

/// Returns the first difference between two [`BlockTrace`]s of one block, or `None` if they agree.
pub fn compare(a: &BlockTrace, b: &BlockTrace) -> Option<Finding> {
    let height = a.height;
    if a.before != b.before {
        return Some(Finding::Before { height });
    }
    let hash = |link: Option<&Link>| link.map(|link| link.hash);
    for position in 0..a.links.len().max(b.links.len()) {
        let (left, right) = (a.links.get(position), b.links.get(position));
        if hash(left) != hash(right) {
            let writes = |link: Option<&Link>| link.map_or(Vec::new(), |link| link.writes.clone());
            let keys = differences(&writes(left), &writes(right));
            let links = Box::new([left.cloned(), right.cloned()]);
            return Some(Finding::Link { height, position, links, keys });
        }
    }
    let keys = differences(&a.app_writes, &b.app_writes);
    match keys.is_empty() {
        false => Some(Finding::App { height, keys }),
        true => (a.app_hash != b.app_hash).then_some(Finding::Hash { height }),
    }
}

fn differences(a: &[Written], b: &[Written]) -> Vec<KeyDifference> {
    let mut keys: BTreeMap<&[u8], [Write; 2]> = BTreeMap::new();
    for (side, writes) in [a, b].into_iter().enumerate() {
        for written in writes {
            let both = keys.entry(&written.key).or_insert([Write::Untouched, Write::Untouched]);
            both[side] = written.value.clone().map_or(Write::Deleted, Write::Set);
        }
    }
    let differ = keys.into_iter().filter(|(_, [left, right])| left != right);
    differ.map(|(key, writes)| KeyDifference { key: key.to_vec(), writes }).collect()
}

#[cfg(test)]
mod tests {
    use capstan_kernel_ports::Hash;

    use super::*;

    fn link(crank: u64, hash: u8, writes: &[(&str, &str)]) -> Link {
        let written =
            |(key, value): &(&str, &str)| Written::new(key.as_bytes(), Some(value.as_bytes()));
        Link {
            crank: Some(crank),
            about: vec![],
            hash: Hash([hash; 32]),
            writes: writes.iter().map(written).collect(),
            place: None,
            cause: None,
            moved: vec![],
        }
    }

    fn block(links: Vec<Link>) -> BlockTrace {
        BlockTrace { height: 5, links, app_hash: Some(Hash([9; 32])), ..BlockTrace::default() }
    }

    #[test]
    fn the_first_link_that_differs_is_named_with_its_keys_alone() {
        let one = link(1, 1, &[("x", "1")]);
        let a = block(vec![one.clone(), link(2, 2, &[("k", "1"), ("same", "s"), ("only a", "1")])]);
        let b = block(vec![one, link(2, 3, &[("k", "2"), ("same", "s")]), link(3, 4, &[])]);
        let Some(Finding::Link { height: 5, position: 1, keys, .. }) = compare(&a, &b) else {
            panic!("{:?}", compare(&a, &b));
        };
        let names: Vec<_> = keys.iter().map(|k| String::from_utf8_lossy(&k.key)).collect();
        assert_eq!(names, ["k", "only a"]);
        assert_eq!(keys[1].writes[1], Write::Untouched);
        // One block continues where the other, equal so far, has ended.
        let longer = block(vec![a.links[0].clone(), a.links[1].clone(), link(3, 4, &[])]);
        let found = compare(&a, &longer);
        assert!(matches!(found, Some(Finding::Link { position: 2, .. })), "{found:?}");
    }

    #[test]
    fn what_lies_outside_of_cranks_is_told_apart() {
        let a = block(vec![link(1, 1, &[])]);
        assert_eq!(compare(&a, &a), None);
        let other = BlockTrace { app_writes: vec![Written::new(b"a.x", None)], ..a.clone() };
        assert!(matches!(compare(&a, &other), Some(Finding::App { height: 5, .. })));
        let other = BlockTrace { app_hash: None, ..a.clone() };
        assert_eq!(compare(&a, &other), Some(Finding::Hash { height: 5 }));
        let other = BlockTrace { before: Hash([8; 32]), ..a.clone() };
        assert_eq!(compare(&a, &other), Some(Finding::Before { height: 5 }));
    }
}
