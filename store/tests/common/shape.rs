//! The shape of the tree, read from the bytes of an export.
#![allow(unreachable_pub, clippy::expect_used, reason = "helpers of tests")]

use std::collections::HashMap;

use capstan_store::{Local, StateView};

/// A node's children, left and right, and the heights that it records for them.
struct Links([Option<(Vec<u8>, u8)>; 2]);

/// Returns the number of nodes and the height of the tree.
///
/// # Panics
///
/// Panics if the heights of a node's children differ by more than one or are not those in its links. Panics if keys are
/// out of order, or if the tree is higher than an AVL tree with its number of nodes can be.
pub fn checked_shape(state: &StateView) -> (usize, u8) {
    let (mut stream, mut root, mut nodes) = (Vec::new(), Vec::new(), HashMap::new());
    'chunks: for chunk in state.export(1 << 20, Local::Without) {
        stream.extend(chunk.expect("export"));
        let mut rest = stream.as_slice();
        while let Some((kind, key, value)) = take_record(&mut rest) {
            match kind {
                1 => root = value[4 + 8 + 2 * 32..].to_vec(),
                2 => drop(nodes.insert(key.to_vec(), links(value))),
                _ => break 'chunks,
            }
        }
        stream = rest.to_vec();
    }
    let height = match root.is_empty() {
        true => 0,
        false => check(&nodes, &root),
    };
    let highest = 1.4405 * (nodes.len() as f64 + 2.0).log2();
    assert!(f64::from(height) <= highest, "{} nodes, {height} high", nodes.len());
    (nodes.len(), height)
}

fn check(nodes: &HashMap<Vec<u8>, Links>, root: &[u8]) -> u8 {
    // The path to the current node, and the heights of each node's finished children.
    let mut way: Vec<(&[u8], Vec<u8>)> = vec![(root, Vec::new())];
    let (mut last, mut seen): (Option<&[u8]>, usize) = (None, 0);
    loop {
        let (key, done) = way.last_mut().expect("the root is still on the way");
        let links = &nodes.get(*key).expect("a node that is there").0;
        if done.len() == 1 {
            assert!(last.is_none_or(|last| last < *key), "out of order: {:?}", key.escape_ascii());
            (last, seen) = (Some(*key), seen + 1);
        }
        if let [left, right] = done[..] {
            assert!(left.abs_diff(right) <= 1, "{:?}: {left} {right}", key.escape_ascii());
            let height = 1 + left.max(right);
            way.pop();
            let Some((above, done)) = way.last_mut() else {
                assert_eq!(seen, nodes.len(), "nodes that are not in the tree");
                return height;
            };
            let said = nodes[*above].0[done.len()].as_ref().map(|(_, height)| *height);
            assert_eq!(said, Some(height), "below {:?}", above.escape_ascii());
            done.push(height);
        } else {
            match &links[done.len()] {
                Some((child, _)) => way.push((child, Vec::new())),
                None => done.push(0),
            }
        }
    }
}

/// Takes the first record off `stream`: kind, key and value. Returns `None` if the record is incomplete.
fn take_record<'a>(stream: &mut &'a [u8]) -> Option<(u8, &'a [u8], &'a [u8])> {
    let (head, rest) = stream.split_at_checked(9)?;
    let length =
        |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
    let (key, rest) = rest.split_at_checked(length(1))?;
    let (value, rest) = rest.split_at_checked(length(5))?;
    *stream = rest;
    Some((head[0], key, value))
}

/// Parses the links at the beginning of a node. The store's front page has their format.
fn links(mut node: &[u8]) -> Links {
    Links([(); 2].map(|()| {
        let (present, rest) = node.split_first().expect("a link");
        node = rest;
        (*present == 1).then(|| {
            let length = usize::from(node[0]);
            let key = node[1..=length].to_vec();
            let heights = &node[1 + length + 32..][..2];
            node = &node[1 + length + 32 + 3..];
            (key, 1 + heights[0].max(heights[1]))
        })
    }))
}
