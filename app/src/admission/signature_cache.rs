use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

use crate::tx::Tx;

/// Number of checks that a generation remembers. Two are kept, of 32 bytes a check, about 2 MB.
const GENERATION: usize = 1 << 15;

/// Signatures that were found good, so that this node verifies each once: in CheckTx, in a proposal or in the block,
/// whatever comes first.
///
/// It changes when something is computed, never what comes out: an entry names all that a signature is checked
/// against, and what is not remembered is signatures again. Bounded: the older half is forgotten at once.
#[derive(Debug, Default)]
pub(crate) struct SignatureCache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: BTreeSet<Check>,
    old: BTreeSet<Check>,
}

/// SHA-256 over the transaction's hash (which covers what was signed, and the signature), the key, the account's
/// number in 8 bytes, and the chain's id.
pub(super) type Check = [u8; 32];

/// Returns the hash of everything that the signature of `tx` is checked against.
pub(super) fn check_of(tx: &Tx, key: &[u8; 33], account_number: u64, chain_id: &str) -> Check {
    let hash = Sha256::new().chain_update(tx.hash.0).chain_update(key);
    hash.chain_update(account_number.to_be_bytes()).chain_update(chain_id).finalize().into()
}

impl SignatureCache {
    /// Returns whether this check has passed before.
    pub(super) fn contains(&self, check: &Check) -> bool {
        let generations = self.lock();
        generations.young.contains(check) || generations.old.contains(check)
    }

    /// Remembers that this check has passed.
    pub(super) fn insert(&self, check: Check) {
        let mut generations = self.lock();
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(check);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Every entry is true, whatever else a panic left undone.
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
        (0..count).for_each(|n| signatures.insert(check(n)));
        assert!((count - GENERATION..count).all(|n| signatures.contains(&check(n))));
        assert!(!signatures.contains(&check(0)));
        let generations = signatures.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
    }
}
