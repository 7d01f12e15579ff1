//! Verification of a block's signatures ahead of its checks, on all processors.
//!
//! A node that did not see a block's transactions before, as one that catches up, would verify them one by one. What is
//! verified here is only noted in the [`SignatureCache`]. The checks that follow come to the same result without it. So
//! an error here says nothing, and whatever cannot be verified yet is left to the checks.

use std::thread;

use capstan_store::StateView;

use crate::{
    admission::{ChainContext, SignatureCache, ante},
    records::{account, chain::Chain},
    tx::{Tx, TxHash},
};

/// Number of unknown transactions for each thread. With fewer, starting it takes longer than it saves.
const TXS_A_THREAD: usize = 8;

/// Upper bound of the threads.
const MAX_THREADS: usize = 16;

/// Verifies the signatures of `txs` that are not known yet, for the block after `state`.
pub(crate) fn verify<T: AsRef<[u8]> + Sync>(
    state: &StateView,
    chain: &Chain,
    signatures: &SignatureCache,
    txs: &[T],
) {
    let is_new = |tx: &&[u8]| !signatures.knows(&TxHash::digest(tx));
    let new: Vec<&[u8]> = txs.iter().map(AsRef::as_ref).filter(is_new).collect();
    let most = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let threads = most.min(new.len() / TXS_A_THREAD);
    if threads < 2 {
        return;
    }
    let context = ChainContext {
        chain_id: &chain.id,
        height: state.height() + 1,
        params: &chain.params,
        signatures,
    };
    let each = new.len().div_ceil(threads);
    thread::scope(|scope| {
        for part in new.chunks(each) {
            let work = move || part.iter().for_each(|tx| verify_one(state, context, tx));
            // Without a thread the checks verify the rest.
            let _ = thread::Builder::new().name("signatures".to_owned()).spawn_scoped(scope, work);
        }
    });
}

fn verify_one(state: &StateView, chain: ChainContext<'_>, tx: &[u8]) {
    let Ok(tx) = Tx::decode(tx, chain.params) else { return };
    if let Ok(Some(account)) = account::get(state, tx.signer) {
        ante::verify_ahead(&tx, &account, chain);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use capstan_genesis::Params;
    use capstan_store::Store;

    use super::*;

    #[test]
    fn what_cannot_be_verified_ahead_is_left_to_the_checks() {
        let store = Store::in_memory().unwrap();
        let chain =
            Chain { id: "c".into(), initial_height: 1, params: Params::default(), max_gas: None };
        let signatures = SignatureCache::default();
        let txs: Vec<Vec<u8>> = (0..100).map(|n| vec![n; usize::from(n)]).collect();
        verify(&store.reader(), &chain, &signatures, &txs);
        assert!(!txs.iter().any(|tx| signatures.knows(&TxHash::digest(tx))));
    }
}
