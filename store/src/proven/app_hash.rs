//! The app hash: one hash over both roots of a state, as the Cosmos SDK makes one over its stores.
//!
//! It is the root of a Merkle tree of RFC 6962 over pairs of a store's name and the SHA-256 of its root, in the order
//! of names.

use capstan_kernel_ports::Hash;
use ics23::{CommitmentProof, ExistenceProof, HashOp, InnerOp, LeafOp, LengthOp, commitment_proof};
use sha2::{Digest, Sha256};

use crate::proven::node::varint;

/// Name of the store whose root is that of the proven tree.
pub const PROVEN_STORE: &str = "capstan";

/// Name of the store whose root is that of the whole state's tree.
pub const STATE_STORE: &str = "state";

/// Returns the app hash of the roots of the proven tree and of the state's tree. Zero stands for an empty tree. Of two
/// empty
/// trees, the app hash is zero.
pub fn app_hash(proven: &Hash, state: &Hash) -> Hash {
    if (*proven, *state) == (Hash::default(), Hash::default()) {
        return Hash::default();
    }
    let proven = leaf(PROVEN_STORE, &store_root(proven).0);
    let (proven, state) = (proven, leaf(STATE_STORE, &state.0));
    Hash(sha(&[&[INNER], &proven, &state]))
}

/// Returns the root of the proven tree as verifiers know it. Without a record it is the hash of nothing, as in IAVL.
pub(crate) fn store_root(proven: &Hash) -> Hash {
    match *proven == Hash::default() {
        true => Hash(sha(&[])),
        false => *proven,
    }
}

/// Returns the proof that the proven tree has its root.
pub(crate) fn prove_store(proven: &Hash, state: &Hash) -> CommitmentProof {
    let inner = InnerOp {
        hash: HashOp::Sha256.into(),
        prefix: vec![INNER],
        suffix: leaf(STATE_STORE, &state.0).to_vec(),
    };
    let leaf = LeafOp {
        hash: HashOp::Sha256.into(),
        prehash_key: HashOp::NoHash.into(),
        prehash_value: HashOp::Sha256.into(),
        length: LengthOp::VarProto.into(),
        prefix: vec![LEAF],
    };
    let exist = ExistenceProof {
        key: PROVEN_STORE.as_bytes().to_vec(),
        value: store_root(proven).0.to_vec(),
        leaf: Some(leaf),
        path: vec![inner],
    };
    CommitmentProof { proof: Some(commitment_proof::Proof::Exist(exist)) }
}

fn leaf(name: &str, root: &[u8; 32]) -> [u8; 32] {
    let (mut name_bytes, mut root_bytes) = (Vec::new(), Vec::new());
    varint(&mut name_bytes, name.len() as u64);
    varint(&mut root_bytes, 32);
    sha(&[&[LEAF], &name_bytes, name.as_bytes(), &root_bytes, &sha(&[root])])
}

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// First bytes of what RFC 6962 hashes.
const LEAF: u8 = 0;
const INNER: u8 = 1;
