//! The Merkle tree as the rest of the store sees it: the shape of its entries, and the trait of a tree.

use std::borrow::Cow;

use capstan_kernel_ports::Hash;
use sha2::{Digest, Sha256};

use crate::{Error, StateView, changes::Written};

/// First byte of every value in the tree. `grovedb-merk` accepts the value of a node that begins with 1 or 2
/// unverified, so no other tag may ever be accepted.
pub(crate) const TAG: u8 = 0;

/// Value of a tree entry: [`TAG`] and the SHA-256 of the value under the key.
pub(crate) type Leaf = [u8; 33];

/// Length of the longest key that enters the tree unchanged. `grovedb-merk` takes up to 255 bytes, and keys of
/// exactly that length are those that [`tree_key`] makes.
const MAX_PLAIN_KEY: usize = 254;
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

/// Returns the leaf of a value.
pub(crate) fn leaf(value: &[u8]) -> Leaf {
    leaf_of_hash(&Sha256::digest(value).into())
}

/// Returns the leaf of a value with this SHA-256.
pub(crate) fn leaf_of_hash(hash: &[u8; 32]) -> Leaf {
    let mut leaf = [TAG; 33];
    leaf[1..].copy_from_slice(hash);
    leaf
}

/// A tree key with its new leaf, or `None` if it is removed.
pub(crate) type Change = (Vec<u8>, Option<Leaf>);

/// Result of changes to a tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// New root hash.
    pub(crate) root: Hash,
    /// Tree key of the new root node.
    pub(crate) root_key: Option<Vec<u8>>,
    /// Changed nodes and the keys of removed ones, in any order.
    pub(crate) nodes: Vec<Written>,
}

/// An authenticated tree over tree keys.
///
/// It may keep part of its nodes in memory. Roots, changed nodes and shape must not depend on which.
pub(crate) trait StateTree: Sized {
    /// Opens the tree of `state`, which keeps about `keep_nodes` nodes in memory.
    fn open(state: &StateView, keep_nodes: usize) -> Result<Self, Error>;

    /// Applies commits one after the other to the committed `state`.
    ///
    /// Each commit lists its changes in key order, at most one for a key, and removes only existing keys. After an
    /// error the tree must be dropped.
    fn apply<C: AsRef<[Change]>>(
        &mut self,
        commits: &[C],
        state: &StateView,
    ) -> Result<Applied, Error>;
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
