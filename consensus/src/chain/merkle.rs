//! CometBFT's hashes over lists: RFC 6962 Merkle trees of SHA-256, as in `crypto/merkle` of
//! CometBFT.

use prost::Message;
use sha2::{Digest, Sha256};
use tendermint::merkle::simple_hash_from_byte_vectors;
use tendermint_proto::v0_38::abci::ExecTxResult;
use tendermint_proto::v0_38::crypto::Proof;
use tendermint_proto::v0_38::types::{Block, Commit, ConsensusParams, HashedParams, PartSetHeader};

/// A SHA-256 hash, 32 bytes.
pub(crate) type Hash = [u8; 32];

/// The size of the parts into which CometBFT cuts an encoded block for gossip, in bytes.
const BLOCK_PART_BYTES: usize = 65_536;

/// Returns the SHA-256 of `bytes`, which is the hash of a transaction.
pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Returns the Merkle root over `leaves`. Without leaves, it is the SHA-256 of nothing.
pub(crate) fn root(leaves: &[impl AsRef<[u8]>]) -> Hash {
    simple_hash_from_byte_vectors::<Sha256>(leaves)
}

/// `data_hash`: the root over the transactions' hashes.
pub(crate) fn data_hash(txs: &[impl AsRef<[u8]>]) -> Hash {
    root(&tx_hashes(txs))
}

/// `last_commit_hash`: the root over the encoded signatures.
pub(crate) fn commit_hash(commit: &Commit) -> Hash {
    let leaves: Vec<Vec<u8>> = commit.signatures.iter().map(Message::encode_to_vec).collect();
    root(&leaves)
}

/// `last_results_hash`: the root over the results with only what is deterministic left in them:
/// code, data and gas.
pub(crate) fn results_hash(results: &[ExecTxResult]) -> Hash {
    let leaves: Vec<Vec<u8>> = results
        .iter()
        .map(|result| {
            let kept = ExecTxResult {
                code: result.code,
                data: result.data.clone(),
                gas_wanted: result.gas_wanted,
                gas_used: result.gas_used,
                ..ExecTxResult::default()
            };
            kept.encode_to_vec()
        })
        .collect();
    root(&leaves)
}

/// `consensus_hash`: the hash of the parameters that CometBFT 0.38 hashes, which are the block's
/// limits only.
pub(crate) fn consensus_hash(params: &ConsensusParams) -> Hash {
    let block = params.block.unwrap_or_default();
    let hashed = HashedParams { block_max_bytes: block.max_bytes, block_max_gas: block.max_gas };
    sha256(&hashed.encode_to_vec())
}

/// The header of the part set of a block, and the length of the encoded block in bytes.
pub(crate) fn part_set(block: &Block) -> (PartSetHeader, usize) {
    let bytes = block.encode_to_vec();
    let parts: Vec<&[u8]> = bytes.chunks(BLOCK_PART_BYTES).collect();
    // A block is at most 100 MiB, so 1,600 parts.
    let total = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    (PartSetHeader { total, hash: root(&parts).to_vec() }, bytes.len())
}

/// The proof that transaction `index` is in a block whose transactions have the hashes `leaves`. `None` if there is no such
/// transaction.
pub(crate) fn tx_proof(leaves: &[Hash], index: usize) -> Option<Proof> {
    let leaf = leaves.get(index)?;
    let mut aunts = Vec::new();
    collect_aunts(leaves, index, &mut aunts);
    Some(Proof {
        total: i64::try_from(leaves.len()).ok()?,
        index: i64::try_from(index).ok()?,
        leaf_hash: root(&[leaf]).to_vec(),
        aunts,
    })
}

/// Returns the hashes of transactions.
pub(crate) fn tx_hashes(txs: &[impl AsRef<[u8]>]) -> Vec<Hash> {
    txs.iter().map(|tx| sha256(tx.as_ref())).collect()
}

/// Appends the roots of the sibling subtrees on the way from leaf `index` up, the leaf's sibling
/// first.
fn collect_aunts(leaves: &[Hash], index: usize, aunts: &mut Vec<Vec<u8>>) {
    if leaves.len() < 2 {
        return;
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if index < left.len() {
        collect_aunts(left, index, aunts);
        aunts.push(root(right).to_vec());
    } else {
        collect_aunts(right, index - left.len(), aunts);
        aunts.push(root(left).to_vec());
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn consensus_hash_is_cometbfts() {
        // What a CometBFT 0.38 node reports in its headers for max_bytes 22020096 and max_gas -1.
        let params = crate::chain::params::defaults();
        let expected = "048091bc7ddc283f77bfbf91d73c44da58c3df8a9cbc867405d8b7f3daada22f";
        assert_eq!(hex::encode(consensus_hash(&params)), expected);
    }

    #[test]
    fn every_transaction_of_a_block_has_a_proof_that_verifies() {
        for count in 1..20_usize {
            let txs: Vec<Vec<u8>> =
                (0..count).map(|n| vec![u8::try_from(n).unwrap(); n + 1]).collect();
            let root = data_hash(&txs);
            for (index, tx) in txs.iter().enumerate() {
                let proof = tx_proof(&tx_hashes(&txs), index).unwrap();
                assert_eq!(computed_root(&proof, sha256(tx)), root, "{index} of {count}");
            }
            assert!(tx_proof(&tx_hashes(&txs), count).is_none());
        }
    }

    /// Recomputes the root as a verifier does, written apart from the code above: top down by index
    /// and total.
    fn computed_root(proof: &Proof, leaf: Hash) -> Hash {
        fn inner(left: &[u8], right: &[u8]) -> Hash {
            sha256(&[&[1], left, right].concat())
        }
        fn walk(index: i64, total: i64, leaf: Hash, aunts: &[Vec<u8>]) -> Hash {
            if total == 1 {
                assert!(aunts.is_empty());
                return leaf;
            }
            let split =
                i64::try_from(u64::try_from(total).unwrap().next_power_of_two() / 2).unwrap();
            let (last, rest) = aunts.split_last().unwrap();
            if index < split {
                inner(&walk(index, split, leaf, rest), last)
            } else {
                inner(last, &walk(index - split, total - split, leaf, rest))
            }
        }
        walk(proof.index, proof.total, sha256(&[&[0], leaf.as_slice()].concat()), &proof.aunts)
    }
}
