//! Offsets of the transactions of a block and of their results in the stored records. With them one is read without decoding the others.
//!
//! To find the last one of a block, the lengths of all before it are read. So the places of the last blocks that were asked for
//! are remembered: whoever asks for all transactions of a block, one by one, has each block read through once.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tendermint_proto::v0_38::abci::ExecTxResult;

use super::block_store::{BlockStoreError, TxPosition, decode};

/// Tag of the field `data` in a `Block`.
const BLOCK_DATA: u32 = 2;
/// Tag of the field `txs` in the data of a `Block`.
const DATA_TXS: u32 = 1;
/// Tag of the field `tx_results` in a `ResponseFinalizeBlock`.
const TX_RESULTS: u32 = 2;

/// Number of blocks whose places are remembered.
const BLOCKS: usize = 16;
/// Maximum number of transactions of such a block. The places of all together take 16 MiB at most.
const TXS: usize = 1 << 16;

/// The places of a block's transactions and of their results.
#[derive(Debug)]
struct Places {
    height: i64,
    /// The lengths of both records, to which the places belong.
    lengths: (usize, usize),
    txs: Vec<Place>,
    results: Vec<Place>,
}

/// The first byte and the end.
type Place = (u32, u32);

/// The places of the last blocks that were asked for.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<VecDeque<Arc<Places>>>);

impl Cache {
    /// Returns a transaction and its result from the records of its block.
    pub(super) fn tx(
        &self,
        (height, index): TxPosition,
        block: &[u8],
        results: &[u8],
    ) -> Result<Option<(Vec<u8>, ExecTxResult)>, BlockStoreError> {
        let places = self.of(height, block, results)?;
        let index = index as usize;
        let (Some(tx), Some(result)) = (places.txs.get(index), places.results.get(index)) else {
            return Ok(None);
        };
        let result = decode("a transaction's result", part("results", results, *result)?)?;
        Ok(Some((part("block", block, *tx)?.to_vec(), result)))
    }

    /// Forgets the places of a block that is stored anew.
    pub(super) fn forget(&self, height: i64) {
        self.lock().retain(|known| known.height != height);
    }

    fn of(
        &self,
        height: i64,
        block: &[u8],
        results: &[u8],
    ) -> Result<Arc<Places>, BlockStoreError> {
        let lengths = (block.len(), results.len());
        let is_it = |known: &&Arc<Places>| known.height == height && known.lengths == lengths;
        if let Some(known) = self.lock().iter().find(is_it) {
            return Ok(Arc::clone(known));
        }
        let places = Arc::new(Places {
            height,
            lengths,
            txs: txs_of(block)?,
            results: all("results", results, 0..results.len(), TX_RESULTS)?,
        });
        if places.txs.len().max(places.results.len()) <= TXS {
            let mut known = self.lock();
            known.truncate(BLOCKS - 1);
            known.push_front(Arc::clone(&places));
        }
        Ok(places)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Places>>> {
        // Each entry is whole, so a panic cannot have left half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decodes the result of one transaction from the stored results of a block.
pub(super) fn tx_result(
    results: &[u8],
    index: u32,
) -> Result<Option<ExecTxResult>, BlockStoreError> {
    let (mut before, mut found) = (0, None);
    each("results", results, 0..results.len(), TX_RESULTS, |place| {
        found = (before == index).then_some(place);
        before = before.saturating_add(1);
        found.is_none()
    })?;
    found
        .map(|place| decode("a transaction's result", part("results", results, place)?))
        .transpose()
}

fn txs_of(block: &[u8]) -> Result<Vec<Place>, BlockStoreError> {
    match all("block", block, 0..block.len(), BLOCK_DATA)?.first() {
        Some((from, to)) => all("transactions", block, *from as usize..*to as usize, DATA_TXS),
        None => Ok(Vec::new()),
    }
}

fn all(
    what: &str,
    record: &[u8],
    message: Range<usize>,
    tag: u32,
) -> Result<Vec<Place>, BlockStoreError> {
    let mut places = Vec::new();
    each(what, record, message, tag, |place| {
        places.push(place);
        true
    })?;
    Ok(places)
}

/// Calls `visit` with the places of the fields with this tag, in order, for as long as it returns true. No field is decoded. The
/// message is the part `message` of `record`.
fn each(
    what: &str,
    record: &[u8],
    message: Range<usize>,
    tag: u32,
    mut visit: impl FnMut(Place) -> bool,
) -> Result<(), BlockStoreError> {
    let damaged = |error: DecodeError| BlockStoreError::Damaged(format!("{what}: {error}"));
    let cut_off = || BlockStoreError::Damaged(format!("{what}: a field is cut off"));
    let end = message.end;
    let mut rest = record.get(message).ok_or_else(cut_off)?;
    while !rest.is_empty() {
        let (found, wire) = decode_key(&mut rest).map_err(damaged)?;
        if found != tag || wire != WireType::LengthDelimited {
            skip_field(wire, found, &mut rest, DecodeContext::default()).map_err(damaged)?;
            continue;
        }
        let length = decode_varint(&mut rest).map_err(damaged)?;
        let from = end - rest.len();
        let split = usize::try_from(length).ok().and_then(|at| rest.split_at_checked(at));
        let (field, after) = split.ok_or_else(cut_off)?;
        let place = (u32::try_from(from), u32::try_from(from + field.len()));
        let (Ok(from), Ok(to)) = place else { return Err(cut_off()) };
        if !visit((from, to)) {
            return Ok(());
        }
        rest = after;
    }
    Ok(())
}

fn part<'a>(what: &str, record: &'a [u8], place: Place) -> Result<&'a [u8], BlockStoreError> {
    let found = record.get(place.0 as usize..place.1 as usize);
    found.ok_or_else(|| BlockStoreError::Damaged(format!("{what}: a field is cut off")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use prost::Message as _;
    use tendermint_proto::v0_38::abci::ResponseFinalizeBlock;
    use tendermint_proto::v0_38::types::{Block, Commit, Data, Header};

    use super::*;

    fn records(height: i64, count: usize) -> (Vec<u8>, Vec<u8>) {
        let txs = (0..count).map(|n| vec![height as u8; n]).collect();
        let block = Block {
            header: Some(Header { height, chain_id: "c".into(), ..Header::default() }),
            data: Some(Data { txs }),
            last_commit: Some(Commit { height: height - 1, ..Commit::default() }),
            ..Block::default()
        };
        let result = |n| ExecTxResult { gas_used: n as i64, ..ExecTxResult::default() };
        let results = ResponseFinalizeBlock {
            tx_results: (0..count).map(result).collect(),
            app_hash: vec![1; 32].into(),
            ..ResponseFinalizeBlock::default()
        };
        (block.encode_to_vec(), results.encode_to_vec())
    }

    #[test]
    fn each_transaction_is_found_at_its_place() {
        let cache = Cache::default();
        for height in 1..=40 {
            let (block, results) = records(height, 5);
            for index in [4, 0, 3] {
                let (tx, result) = cache.tx((height, index), &block, &results).unwrap().unwrap();
                assert_eq!((tx.len(), result.gas_used), (index as usize, i64::from(index)));
                assert_eq!(tx_result(&results, index).unwrap().unwrap(), result);
                assert!(tx.iter().all(|byte| i64::from(*byte) == height));
            }
            assert!(cache.tx((height, 5), &block, &results).unwrap().is_none());
            assert!(tx_result(&results, 5).unwrap().is_none());
        }
        assert_eq!(cache.lock().len(), BLOCKS);
        assert_eq!(cache.lock().iter().map(|known| known.height).max(), Some(40));
    }

    #[test]
    fn a_block_that_is_stored_anew_is_read_anew() {
        let cache = Cache::default();
        let (block, results) = records(1, 3);
        assert!(cache.tx((1, 2), &block, &results).unwrap().is_some());
        // Of other lengths.
        let (block, results) = records(1, 2);
        assert!(cache.tx((1, 2), &block, &results).unwrap().is_none());
        assert_eq!(cache.tx((1, 1), &block, &results).unwrap().unwrap().1.gas_used, 1);
        cache.forget(1);
        assert!(cache.lock().is_empty());
    }

    #[test]
    fn what_is_cut_off_is_damage() {
        let (block, results) = records(1, 3);
        let cache = Cache::default();
        for cut in [block.len() - 1, block.len() / 2] {
            let error = cache.tx((1, 0), &block[..cut], &results).unwrap_err();
            assert!(error.to_string().contains("block store is damaged"), "{error}");
        }
        assert!(cache.tx((1, 0), &block, &results[..results.len() - 1]).is_err());
        assert!(cache.lock().is_empty());
    }

    #[test]
    fn a_block_with_too_many_transactions_is_not_remembered() {
        let cache = Cache::default();
        let data = Data { txs: vec![vec![]; TXS + 1] };
        let block = Block { data: Some(data), ..Block::default() }.encode_to_vec();
        let tx_results = vec![ExecTxResult::default(); TXS + 1];
        let results = ResponseFinalizeBlock { tx_results, ..ResponseFinalizeBlock::default() };
        let last = u32::try_from(TXS).unwrap();
        assert!(cache.tx((1, last), &block, &results.encode_to_vec()).unwrap().is_some());
        assert!(cache.lock().is_empty());
    }
}
