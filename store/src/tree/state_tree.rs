//! What the Merkle tree is for the store: the shape of its entries, and the trait behind which the
//! implementation lies.

use std::borrow::Cow;

use capstan_kernel_ports::Hash;
use sha2::{Digest, Sha256};

use crate::{Error, StateView, changes::Written};

/// The first byte of every value in the tree. `grovedb-merk` reads meaning into others: it takes the
/// value of a node that begins with 1 or 2 on faith, so nothing but this may ever be accepted.
pub(crate) const TAG: u8 = 0;

/// The value of an entry of the tree: [`TAG`] and the SHA-256 of the value under the key.
pub(crate) type Leaf = [u8; 33];

/// The longest key that enters the tree as it is. `grovedb-merk` takes up to 255 bytes, and the keys
/// of just that length are those that [`tree_key`] makes.
const MAX_PLAIN_KEY: usize = 254;
/// How much of a longer key its tree key begins with.
const LONG_KEY_HEAD: usize = 223;

/// The key under which `key` enters the tree: itself up to 254 bytes, else its first 223 bytes and
/// the SHA-256 of the whole. No two keys share one, since the lengths tell the two kinds apart.
pub(crate) fn tree_key(key: &[u8]) -> Cow<'_, [u8]> {
    match key.len() <= MAX_PLAIN_KEY {
        true => Cow::Borrowed(key),
        false => {
            let hash: [u8; 32] = Sha256::digest(key).into();
            Cow::Owned([&key[..LONG_KEY_HEAD], &hash].concat())
        }
    }
}

/// The leaf of a value.
pub(crate) fn leaf(value: &[u8]) -> Leaf {
    leaf_of_hash(&Sha256::digest(value).into())
}

/// The leaf of a value with this SHA-256.
pub(crate) fn leaf_of_hash(hash: &[u8; 32]) -> Leaf {
    let mut leaf = [TAG; 33];
    leaf[1..].copy_from_slice(hash);
    leaf
}

/// A tree key and its new leaf; none removes it.
pub(crate) type Change = (Vec<u8>, Option<Leaf>);

/// What changes did to the tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The new root hash.
    pub(crate) root: Hash,
    /// The tree key of the new root node.
    pub(crate) root_key: Option<Vec<u8>>,
    /// The nodes that changed, and the keys of those that were removed, in any order.
    pub(crate) nodes: Vec<Written>,
}

/// An authenticated tree over tree keys.
///
/// It may keep part of the nodes in memory; the roots, the changed nodes and the shape must be the
/// same whatever it keeps.
pub(crate) trait StateTree: Sized {
    /// The tree of `state`.
    fn open(state: &StateView, keep_nodes: usize) -> Result<Self, Error>;

    /// Applies commits one after the other: `commits` are their changes, each in key order, one for a
    /// key, and removing only what is there. `state` is what was committed. After an error the tree
    /// must be dropped.
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
