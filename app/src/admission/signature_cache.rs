use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

use crate::tx::{Multisig, PublicKey, Tx, TxHash};

/// Number of checks in a generation. Two generations of two hashes of 32 bytes a check take about 4 MB.
const GENERATION: usize = 1 << 15;

/// A cache of valid signatures. Each node verifies a signature once, in CheckTx, in a proposal or in the block.
///
/// The cache never changes a result: an entry's key covers every input of the verification, and a miss verifies
/// again. Its size is bounded. When the young generation is full, the old one is dropped.
#[derive(Debug, Default)]
pub(crate) struct SignatureCache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    checks: BTreeSet<Check>,
    /// The transactions of these checks, to find out quickly that all of a block are known.
    txs: BTreeSet<TxHash>,
}

/// Key of a cache entry: a SHA-256 of all inputs of a verification.
///
/// The inputs are the transaction's hash, the public key or the multisig's threshold and keys, the account's number in 8 bytes and the chain's id. The
/// transaction's hash covers the signed bytes and the signature.
pub(super) type Check = [u8; 32];

/// Returns the [`Check`] of the signature of `tx`.
pub(super) fn check_of(tx: &Tx, key: &PublicKey, account_number: u64, chain_id: &str) -> Check {
    let mut hash = Sha256::new().chain_update(tx.hash.0);
    match key {
        PublicKey::Secp256k1(key) => hash.update(key),
        PublicKey::Multisig(Multisig { threshold, keys }) => {
            hash.update(threshold.to_be_bytes());
            keys.iter().for_each(|key| hash.update(key));
        }
    }
    hash.chain_update(account_number.to_be_bytes()).chain_update(chain_id).finalize().into()
}

impl SignatureCache {
    /// Returns whether this [`Check`] has passed before.
    pub(super) fn contains(&self, check: &Check) -> bool {
        let generations = self.lock();
        generations.young.checks.contains(check) || generations.old.checks.contains(check)
    }

    /// Returns whether some [`Check`] of this transaction has passed before.
    pub(super) fn knows(&self, tx: &TxHash) -> bool {
        let generations = self.lock();
        generations.young.txs.contains(tx) || generations.old.txs.contains(tx)
    }

    /// Records that this [`Check`] of a transaction has passed.
    pub(super) fn insert(&self, check: Check, tx: TxHash) {
        let mut generations = self.lock();
        if generations.young.checks.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.checks.insert(check);
        generations.young.txs.insert(tx);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Each entry is valid by itself, so a panic cannot have left an inconsistent cache.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stays() {
        let signatures = SignatureCache::default();
        let check = |n: usize| {
            let mut check = [0; 32];
            check[..8].copy_from_slice(&n.to_be_bytes());
            check
        };
        let count = 5 * GENERATION / 2;
        let tx = |n: usize| TxHash(check(n));
        (0..count).for_each(|n| signatures.insert(check(n), tx(n)));
        let newest = count - GENERATION..count;
        assert!(newest.clone().all(|n| signatures.contains(&check(n)) && signatures.knows(&tx(n))));
        assert!(!signatures.contains(&check(0)) && !signatures.knows(&tx(0)));
        let Generations { young, old } = &*signatures.lock();
        assert!(young.checks.len() + old.checks.len() <= 2 * GENERATION);
        assert!(young.txs.len() + old.txs.len() <= 2 * GENERATION);
    }
}
