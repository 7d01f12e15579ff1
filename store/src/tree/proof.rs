//! Proofs that a key has a value, or none, under a root.
//!
//! A proof is the path of a search for the key, from its end up to the root. Of most nodes on the path it shows only
//! the kv hash, which hides key and value. The absence of a key is shown by the place where the search leaves the
//! tree. The nearest ancestors on both sides of that place show their keys, and the searched key lies between them.
//!
//! The proofs of `grovedb-merk` are not used: their verifier accepts the value of certain nodes without hashing it.
//! Here every hash is computed, from the leaf up.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{Hash, store::LOCAL};

use crate::{
    Error, StateView,
    tree::{
        node::{
            MAX_HEIGHT, NO_CHILD, Node, NodeLink, hash_children, hash_kv, hash_node, printable,
        },
        state_tree::{TAG, tree_key},
    },
    view::entries::Bytes,
};

/// Proof that a key has a value, or none, under one root.
///
/// [`StateView::prove`] makes one, and [`verify`] checks it without the state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proof {
    end: End,
    /// The nodes above the end, the root last.
    steps: Vec<Step>,
}

impl Proof {
    /// Returns the borsh encoding of the proof, which [`Proof::from_bytes`] decodes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to a vector cannot fail, and nothing is longer than borsh's 32-bit lengths.
        let written = self.serialize(&mut bytes);
        debug_assert!(written.is_ok());
        bytes
    }

    /// Decodes a proof from an untrusted source.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        let proof = Self::try_from_slice(bytes)
            .map_err(|error| ProofError::Malformed(error.to_string()))?;
        match proof.steps.len() <= MAX_HEIGHT.into() {
            true => Ok(proof),
            false => Err(ProofError::Malformed("more steps than any tree has levels".into())),
        }
    }
}

/// Reason for which [`verify`] or [`Proof::from_bytes`] refuses a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes are not a proof.
    #[error("not a proof: {0}")]
    Malformed(String),
    /// The proof leads to another root: it is for another key, another state, or forged.
    #[error("the proof leads to root {found}, not to {expected}")]
    Root {
        /// Root to which the proof leads.
        found: Hash,
        /// Root that was expected.
        expected: Hash,
    },
    /// The shown tree entry is not a tag 0 and a SHA-256, the only kind that exists.
    #[error("the proof shows a tree entry of a kind that does not exist")]
    Tag,
    /// The two neighbouring keys do not enclose the place where the key would be.
    #[error("the proof does not show that the key is absent")]
    NotBetween,
    /// The key is node-local and so outside the root hash.
    #[error("a key that begins with `local.` is outside the root hash")]
    Local,
}

/// Verifies a [`Proof`]. Returns the SHA-256 of the value that `key` has under `root`, or `None` if it has none.
pub fn verify(proof: &Proof, root: &Hash, key: &[u8]) -> Result<Option<Hash>, ProofError> {
    if key.starts_with(LOCAL) {
        return Err(ProofError::Local);
    }
    let key = tree_key(key);
    let (value, hash) = match &proof.end {
        End::Absent => {
            check_between(&proof.steps, &key)?;
            (None, NO_CHILD)
        }
        End::Found { leaf, left, right } => {
            if proof.steps.iter().any(Step::is_open) {
                return Err(ProofError::Malformed("it shows more than it needs".into()));
            }
            let value = hash_in_leaf(leaf)?;
            (Some(value), hash_node(&key, leaf, left, right))
        }
    };
    let found = Hash(proof.steps.iter().fold(hash, |below, step| step.hash(&below)));
    match found == *root {
        true => Ok(value),
        false => Err(ProofError::Root { found, expected: *root }),
    }
}

impl StateView {
    /// Proves the value of `key` in this state, or that it has none. [`verify`] is the counterpart.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Local`] for a node-local key, and other errors if the stored tree is damaged.
    pub fn prove(&self, key: &[u8]) -> Result<Proof, Error> {
        if key.starts_with(LOCAL) {
            return Err(Error::Local);
        }
        let key = tree_key(key);
        let mut steps = Vec::new();
        let mut end = End::Absent;
        let mut next = self.meta().root_key.clone();
        while let Some(at) = next {
            let guard = self.node(&at)?;
            let node = Node::parse(&guard).map_err(|problem| problem.at(&at))?;
            if at == *key {
                end = End::Found {
                    leaf: node.value.to_vec(),
                    left: node.child_hash(true),
                    right: node.child_hash(false),
                };
                break;
            }
            let left = *key < *at;
            steps.push(Step {
                node: Revealed::Open { key: at, value_hash: node.value_hash },
                went_right: !left,
                sibling: node.child_hash(!left),
            });
            next = node.child(left).map(|link: &NodeLink<'_>| link.key.to_vec());
            if steps.len() > MAX_HEIGHT.into() {
                return Err(Error::Damaged("the tree is higher than it can be".into()));
            }
        }
        steps.reverse();
        hide(&mut steps, matches!(end, End::Absent));
        Ok(Proof { end, steps })
    }

    /// Returns the bytes of the tree node at `key`.
    pub(crate) fn node(&self, key: &[u8]) -> Result<Bytes, Error> {
        let missing = || Error::Damaged(format!("the tree node {:?} is missing", printable(key)));
        self.lend_node(key)?.ok_or_else(missing)
    }
}

/// The end of the search.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum End {
    /// The search ended next to a node that has no child on that side.
    Absent,
    /// The search ended at the node with the key.
    Found {
        /// The value in the tree: a tag and a hash.
        leaf: Vec<u8>,
        /// Hash of the left child.
        left: [u8; 32],
        /// Hash of the right child.
        right: [u8; 32],
    },
}

/// A node on the path above the end.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Step {
    node: Revealed,
    /// `true` if the search continued to the right.
    went_right: bool,
    /// Hash of the child on the other side.
    sibling: [u8; 32],
}

/// The part of a node that a proof shows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum Revealed {
    /// Only the kv hash.
    Hidden([u8; 32]),
    /// The key and the hash of the leaf.
    Open {
        /// Tree key of the node.
        key: Vec<u8>,
        /// Hash of the leaf.
        value_hash: [u8; 32],
    },
}

impl Step {
    fn is_open(&self) -> bool {
        matches!(self.node, Revealed::Open { .. })
    }

    /// Returns the hash of the node. `below` is the hash of the child to which the search went.
    fn hash(&self, below: &[u8; 32]) -> [u8; 32] {
        let kv = match &self.node {
            Revealed::Hidden(kv) => *kv,
            Revealed::Open { key, value_hash } => hash_kv(key, value_hash),
        };
        match self.went_right {
            true => hash_children(&kv, &self.sibling, below),
            false => hash_children(&kv, below, &self.sibling),
        }
    }
}

/// Hides all that the proof does not need: for an absent key all but the two neighbours, else everything.
fn hide(steps: &mut [Step], absent: bool) {
    let enclosing = enclosing(steps);
    for (index, step) in steps.iter_mut().enumerate() {
        if absent && enclosing.contains(&Some(index)) {
            continue;
        }
        if let Revealed::Open { key, value_hash } = &step.node {
            step.node = Revealed::Hidden(hash_kv(key, value_hash));
        }
    }
}

/// Returns the nearest steps from which the search went right and left, the neighbours of its end. One is missing at
/// the edge of the tree.
fn enclosing(steps: &[Step]) -> [Option<usize>; 2] {
    [true, false].map(|right| steps.iter().position(|step| step.went_right == right))
}

/// Checks that exactly the neighbours are shown and that `key` lies between them.
fn check_between(steps: &[Step], key: &[u8]) -> Result<(), ProofError> {
    let enclosing = enclosing(steps);
    for (index, step) in steps.iter().enumerate() {
        let in_order = match &step.node {
            Revealed::Hidden(_) => !enclosing.contains(&Some(index)),
            Revealed::Open { key: at, .. } => {
                enclosing.contains(&Some(index))
                    && match step.went_right {
                        true => at.as_slice() < key,
                        false => at.as_slice() > key,
                    }
            }
        };
        if !in_order {
            return Err(ProofError::NotBetween);
        }
    }
    Ok(())
}

fn hash_in_leaf(leaf: &[u8]) -> Result<Hash, ProofError> {
    match leaf.split_first() {
        Some((&TAG, hash)) => hash.try_into().map(Hash).map_err(|_| ProofError::Tag),
        _ => Err(ProofError::Tag),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Store, tree::state_tree::leaf};
    use capstan_kernel_ports::store::Overlay;

    fn state() -> (StateView, Hash) {
        let store = Store::in_memory().unwrap();
        let mut block = store.begin_block();
        for i in 0..200u32 {
            block.set(format!("key {i:03}").as_bytes(), vec![i as u8; 9]);
        }
        store.commit(store.prepare(block).unwrap(), 1).unwrap();
        (store.reader(), store.root())
    }

    #[test]
    fn a_value_beside_its_hash_is_never_believed() {
        // `grovedb-merk` 6.1.1 accepts a proof in which a node's value is replaced by anything that begins with 1 or
        // 2, as long as the hash of the true value is given with it.
        let (state, root) = state();
        let honest = state.prove(b"key 077").unwrap();
        assert!(verify(&honest, &root, b"key 077").unwrap().is_some());
        for tag in 0..=255 {
            for length in [0, 31, 32, 33] {
                let mut forged = honest.clone();
                let End::Found { leaf, .. } = &mut forged.end else { panic!("an existence proof") };
                *leaf = vec![0xEE; length];
                leaf.insert(0, tag);
                assert!(verify(&forged, &root, b"key 077").is_err(), "{tag} {length}");
            }
        }
    }

    #[test]
    fn a_leaf_with_another_tag_is_refused_even_under_a_matching_root() {
        for tag in 1..=255 {
            let mut forged = leaf(b"forged");
            forged[0] = tag;
            let root = Hash(hash_node(b"key", &forged, &NO_CHILD, &NO_CHILD));
            let proof = Proof {
                end: End::Found { leaf: forged.to_vec(), left: NO_CHILD, right: NO_CHILD },
                steps: Vec::new(),
            };
            assert_eq!(verify(&proof, &root, b"key"), Err(ProofError::Tag));
        }
    }

    #[test]
    fn absence_cannot_be_shown_from_a_place_where_the_key_would_not_be() {
        // The path to another gap is a true path under the root. Only the order of keys tells.
        let (state, root) = state();
        let elsewhere = state.prove(b"key 010x").unwrap();
        assert_eq!(verify(&elsewhere, &root, b"key 010x"), Ok(None));
        for key in [&b"key 077"[..], b"key 010", b"key 011", b"a", b"z"] {
            assert_eq!(
                verify(&elsewhere, &root, key),
                Err(ProofError::NotBetween),
                "{}",
                key.escape_ascii()
            );
        }
    }

    #[test]
    fn hiding_a_neighbour_does_not_pass() {
        let (state, root) = state();
        let mut proof = state.prove(b"key 010x").unwrap();
        for step in &mut proof.steps {
            if let Revealed::Open { key, value_hash } = &step.node {
                step.node = Revealed::Hidden(hash_kv(key, value_hash));
            }
        }
        assert_eq!(verify(&proof, &root, b"key 077"), Err(ProofError::NotBetween));
    }
}
