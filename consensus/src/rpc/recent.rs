//! The transactions of the last blocks, in memory. Most clients ask for a transaction soon after its block, and such a question needs neither
//! the store nor a thread that may wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use prost::Message as _;
use tendermint_proto::v0_38::abci::{ExecTxResult, ResponseFinalizeBlock};
use tendermint_proto::v0_38::types::Block;

use super::context::Committed;
use crate::chain::execution::txs_of;
use crate::chain::merkle::{Hash, sha256};

/// Maximum number of blocks.
const BLOCKS: usize = 16;
/// Maximum size of all blocks with their results, encoded, in bytes. In memory they take a few times as much.
const BYTES: usize = 8 << 20;
/// Bytes that a transaction counts besides its own and those of its result.
const TX_BYTES: usize = 64;

/// The last blocks, the newest first.
#[derive(Default)]
pub(crate) struct Recent(RwLock<VecDeque<Kept>>);

/// A block and its results, without the events that subscribers get.
struct Kept {
    block: Arc<Block>,
    results: Arc<ResponseFinalizeBlock>,
    /// The transactions that succeeded. `None` stands for one that was repeated in the block and failed then: the store tells
    /// what is found. A repetition in a later block that fails hides no success in the store, and none here.
    succeeded: HashMap<Hash, Option<u32>>,
    bytes: usize,
}

impl Recent {
    /// Adds a block that is committed. The oldest make room. A block that is too large is not kept.
    pub(crate) fn add(&self, block: &Arc<Committed>) {
        let txs = txs_of(&block.block);
        let bytes = txs.iter().map(|tx| tx.len() + TX_BYTES).sum::<usize>();
        let bytes = bytes.saturating_add(block.results.encoded_len());
        if bytes > BYTES {
            // Those before it might have been repeated in it.
            let kept = std::mem::take(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner));
            drop(kept);
            return;
        }
        let mut succeeded = HashMap::new();
        for (index, (tx, result)) in (0_u32..).zip(txs.iter().zip(&block.results.tx_results)) {
            let hash = sha256(tx);
            match result.code {
                0 => drop(succeeded.insert(hash, Some(index))),
                _ => drop(succeeded.get_mut(&hash).map(Option::take)),
            }
        }
        let (block, results) = (Arc::clone(&block.block), Arc::clone(&block.results));
        let mut oldest = Vec::new();
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.push_front(Kept { block, results, succeeded, bytes });
        let mut total: usize = kept.iter().map(|kept| kept.bytes).sum();
        while total > BYTES || kept.len() > BLOCKS {
            let Some(last) = kept.pop_back() else { break };
            total -= last.bytes;
            oldest.push(last);
        }
        // Nobody waits while these are dropped.
        drop(kept);
        drop(oldest);
    }

    /// Shows `see` the transaction with this hash: its height, its index, its bytes and its result. Returns `None` if it is not among
    /// those that are kept and succeeded.
    pub(crate) fn see<T>(
        &self,
        hash: &[u8],
        see: impl FnOnce(i64, u32, &[u8], &ExecTxResult) -> T,
    ) -> Option<T> {
        let hash: Hash = hash.try_into().ok()?;
        let (block, results, index) = {
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let of_block = |kept: &Kept| {
                let index = *kept.succeeded.get(&hash)?;
                Some((Arc::clone(&kept.block), Arc::clone(&kept.results), index))
            };
            kept.iter().find_map(of_block)?
        };
        let index = index?;
        let height = block.header.as_ref()?.height;
        let tx = txs_of(&block).get(index as usize)?;
        Some(see(height, index, tx, results.tx_results.get(index as usize)?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use tendermint_proto::v0_38::types::{BlockId, Commit, Data, Header};

    use super::super::context::{Author, Feed, Head};
    use super::*;
    use crate::chain::execution::Validator;
    use crate::key::ValidatorKey;

    fn feed() -> Feed {
        let key = ValidatorKey::from_seed([1; 32]);
        let validator = Validator { key, power: 1, set_hash: vec![] };
        Feed::new(Head::default(), Author { validator, chain_id: "c".into() })
    }

    /// Publishes a block with transactions, each with its code.
    fn publish(feed: &Feed, height: i64, txs: &[(&[u8], u32)]) {
        let header = Some(Header { height, ..Header::default() });
        let data = Some(Data { txs: txs.iter().map(|(tx, _)| tx.to_vec()).collect() });
        let result = |code: u32| ExecTxResult { code, gas_used: height, ..ExecTxResult::default() };
        let tx_results = txs.iter().map(|(_, code)| result(*code)).collect();
        let results = ResponseFinalizeBlock { tx_results, ..ResponseFinalizeBlock::default() };
        let block = Block { header, data, ..Block::default() };
        feed.publish(block, BlockId::default(), results, Commit::default());
    }

    fn found(feed: &Feed, tx: &[u8]) -> Option<(i64, u32)> {
        feed.recent().see(&sha256(tx), |height, index, bytes, result| {
            assert_eq!((bytes, result.code, result.gas_used), (tx, 0, height));
            (height, index)
        })
    }

    #[test]
    fn the_last_success_of_a_transaction_is_found_as_in_the_store() {
        let feed = feed();
        publish(&feed, 1, &[(b"a", 0), (b"b", 5), (b"c", 0)]);
        publish(&feed, 2, &[(b"a", 5), (b"c", 0), (b"d", 0), (b"d", 5)]);
        assert_eq!(found(&feed, b"a"), Some((1, 0)));
        assert_eq!(found(&feed, b"b"), None);
        assert_eq!(found(&feed, b"c"), Some((2, 1)));
        // The store has the failure, as CometBFT's index does.
        assert_eq!(found(&feed, b"d"), None);
        assert_eq!(feed.recent().see(b"short", |height, _, _, _| height), None);
    }

    #[test]
    fn blocks_and_bytes_are_bounded() {
        let feed = feed();
        for height in 1..=BLOCKS as i64 + 1 {
            publish(&feed, height, &[(&[height as u8], 0)]);
        }
        assert_eq!((found(&feed, &[1]), found(&feed, &[2])), (None, Some((2, 0))));
        let large = vec![0; BYTES / 2];
        publish(&feed, 100, &[(&large, 0)]);
        assert_eq!(found(&feed, &[2]), None, "there are as many as may be");
        assert_eq!(found(&feed, &[3]), Some((3, 0)));
        publish(&feed, 101, &[(&[large.as_slice(), b"x"].concat(), 0)]);
        assert_eq!(found(&feed, &[3]), None, "the large ones leave no room");
        assert_eq!(found(&feed, &large), None);
        publish(&feed, 102, &[(&vec![1; BYTES], 0)]);
        assert_eq!(found(&feed, &vec![1; BYTES]), None);
        assert_eq!(
            found(&feed, &[large.as_slice(), b"x"].concat()),
            None,
            "it may be in the block"
        );
    }
}
