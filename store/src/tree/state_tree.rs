//! The Merkle tree as the rest of the store sees it: its entries, and the result of changes.

use std::borrow::Cow;

use capstan_kernel_ports::Hash;
use sha2::{Digest, Sha256};

use crate::{changes::Shared, counts::TreeCounts, tree::link::Subtree};

/// First byte of every value in the tree. `grovedb-merk` accepts the value of a node that begins with 1 or 2
/// unverified, so no other tag may ever be accepted.
pub(crate) const TAG: u8 = 0;

/// Value of a tree entry: [`TAG`] and the SHA-256 of the value under the key.
pub(crate) type Leaf = [u8; 33];

/// Length of the longest key that enters the tree unchanged. `grovedb-merk` takes up to 255 bytes, and keys of
/// exactly that length are those that [`tree_key`] makes.
pub(crate) const MAX_PLAIN_KEY: usize = 254;
/// Length of the part of a longer key that its tree key keeps.
const LONG_KEY_HEAD: usize = 223;

/// Returns the tree key of `key`: the key itself up to 254 bytes, else its first 223 bytes and the SHA-256 of the
/// whole. No two keys share one, since the lengths tell the two kinds apart.
pub(crate) fn tree_key(key: &[u8]) -> Cow<'_, [u8]> {
    match key.len() <= MAX_PLAIN_KEY {
        true => Cow::Borrowed(key),
        false => {
            let hash: [u8; 32] = Sha256::digest(key).into();
            Cow::Owned([&key[..LONG_KEY_HEAD], &hash].concat())
        }
    }
}

/// SHA-256 of a value.
pub(crate) type ValueHash = [u8; 32];

/// Returns the SHA-256 of a value.
pub(crate) fn value_hash(value: &[u8]) -> ValueHash {
    Sha256::digest(value).into()
}

/// Returns the leaf of a value with this SHA-256.
pub(crate) fn leaf_of_hash(hash: &ValueHash) -> Leaf {
    let mut leaf = [TAG; 33];
    leaf[1..].copy_from_slice(hash);
    leaf
}

/// A tree key with the hash of its new value, or `None` if it is removed.
pub(crate) type Change = (Shared, Option<ValueHash>);

/// Result of changes to a tree.
pub(crate) struct Applied {
    /// New root hash.
    pub(crate) root: Hash,
    /// The new tree, hashed.
    pub(crate) tree: Subtree,
    /// Keys of records that the state's file has and the new tree has not, as far as these changes made them so.
    pub(crate) gone: Vec<Shared>,
    /// Number of nodes that came into memory.
    pub(crate) added: usize,
    pub(crate) counts: TreeCounts,
}

impl Applied {
    /// Returns the tree key of the new root node.
    pub(crate) fn root_key(&self) -> Option<Vec<u8>> {
        self.tree.as_ref().map(|link| link.key().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_keys_are_distinct_even_for_keys_made_to_collide() {
        let long = vec![b'x'; 1000];
        let imitation = tree_key(&long).into_owned();
        assert_eq!(imitation.len(), 255);
        assert_ne!(tree_key(&imitation), tree_key(&long));
        assert_eq!(tree_key(&[b'y'; 254]).as_ref(), &[b'y'; 254]);
        assert_eq!(tree_key(&[b'y'; 256]).len(), 255);
    }
}
