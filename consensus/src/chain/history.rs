//! The bound of the block store: the oldest blocks are removed once all of them take more than some bytes.
//!
//! The table `block_bytes` has the bytes of each block with its results and index entries. Their sum is in memory, and in
//! `block_bytes_sum`, so that no opening has to add them up. A block is removed in the transaction that stores the results of a
//! later one, so that it costs no durable step of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use tendermint_proto::v0_38::abci::ResponseFinalizeBlock;
use tendermint_proto::v0_38::types::{Block, BlockMeta};

use super::block_store::{
    BLOCK_EVENTS, BLOCK_HASHES, BLOCK_METAS, BLOCKS, BlockStoreError, PARAMS, RESULTS,
    SEEN_COMMITS, TX_EVENTS, TXS, decode,
};
use super::merkle::sha256;
use super::{block_index, tx_index};

const BLOCK_BYTES: TableDefinition<'_, i64, u64> = TableDefinition::new("block_bytes");
const BLOCK_BYTES_SUM: TableDefinition<'_, (), u64> = TableDefinition::new("block_bytes_sum");

/// Number of the last blocks that are kept, however large they are. A node may have to execute some again.
const LEAST_BLOCKS: i64 = 100;

/// Maximum number of blocks that one block removes. A lower bound is so reached over many blocks.
const REMOVED_AT_ONCE: usize = 16;

/// The bytes of all stored blocks, and their bound.
#[derive(Debug)]
pub(super) struct History {
    bytes: AtomicU64,
    max_bytes: u64,
}

impl History {
    /// Reads the sum of what is stored. Makes the tables if there are none. Adds up a store that an earlier version has
    /// written without a sum.
    pub(super) fn open(write: &WriteTransaction) -> Result<Self, BlockStoreError> {
        let mut sum = write.open_table(BLOCK_BYTES_SUM)?;
        let known = sum.get(())?.map(|bytes| bytes.value());
        let bytes = match known {
            Some(bytes) => bytes,
            None => {
                let mut bytes = 0_u64;
                for entry in write.open_table(BLOCK_BYTES)?.iter()? {
                    bytes = bytes.saturating_add(entry?.1.value());
                }
                sum.insert((), bytes)?;
                bytes
            }
        };
        Ok(Self { bytes: AtomicU64::new(bytes), max_bytes: u64::MAX })
    }

    /// Sets the bound.
    pub(super) fn bound(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes;
    }

    /// Adds bytes that were stored for a block, and removes the oldest blocks if all take too much. Returns the number
    /// of bytes to give to [`History::committed`] after the commit.
    pub(super) fn add(
        &self,
        write: &WriteTransaction,
        height: i64,
        bytes: u64,
    ) -> Result<u64, BlockStoreError> {
        let mut sizes = write.open_table(BLOCK_BYTES)?;
        let before = sizes.get(height)?.map_or(0, |bytes| bytes.value());
        sizes.insert(height, before.saturating_add(bytes))?;
        let mut total = self.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        let mut removed = 0;
        while total > self.max_bytes && removed < REMOVED_AT_ONCE {
            let oldest = write.open_table(BLOCKS)?.first()?.map(|(height, _)| height.value());
            let Some(oldest) = oldest.filter(|oldest| *oldest <= height - LEAST_BLOCKS) else {
                break;
            };
            remove(write, oldest)?;
            total = total.saturating_sub(sizes.remove(oldest)?.map_or(0, |bytes| bytes.value()));
            removed += 1;
        }
        write.open_table(BLOCK_BYTES_SUM)?.insert((), total)?;
        Ok(total)
    }

    /// Sets the number of bytes after a commit.
    pub(super) fn committed(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// Removes a block, its results and its index entries, and parameters that hold for no block any more.
fn remove(write: &WriteTransaction, height: i64) -> Result<(), BlockStoreError> {
    let block = take::<Block>(&mut write.open_table(BLOCKS)?, height, "block")?;
    let meta = take::<BlockMeta>(&mut write.open_table(BLOCK_METAS)?, height, "block meta")?;
    let mut results = write.open_table(RESULTS)?;
    let results = take::<ResponseFinalizeBlock>(&mut results, height, "results")?;
    write.open_table(SEEN_COMMITS)?.remove(height)?;
    if let Some(id) = meta.and_then(|meta| meta.block_id) {
        write.open_table(BLOCK_HASHES)?.remove(id.hash.as_slice())?;
    }
    let (mut txs, mut events) = (write.open_table(TXS)?, write.open_table(TX_EVENTS)?);
    let results = results.unwrap_or_default();
    let mut block_events = write.open_table(BLOCK_EVENTS)?;
    for key in block_index::keys(height, &results.events) {
        block_events.remove(key.as_slice())?;
    }
    let data = block.and_then(|block| block.data).map(|data| data.txs).unwrap_or_default();
    let mut indexed = tx_index::Entries::new(height);
    for (index, (tx, result)) in (0_u32..).zip(data.iter().zip(&results.tx_results)) {
        let position = (height, index);
        indexed.add(index, &result.events);
        let hash = sha256(tx);
        // A later repetition of the transaction stays findable.
        if txs.get(hash.as_slice())?.map(|found| found.value()) == Some(position) {
            txs.remove(hash.as_slice())?;
        }
    }
    for (key, _) in indexed.sorted() {
        events.remove(key.as_slice())?;
    }
    remove_params(write, height + 1)
}

/// Removes parameters that later ones have replaced at the lowest height that is left.
fn remove_params(write: &WriteTransaction, lowest: i64) -> Result<(), BlockStoreError> {
    let mut params = write.open_table(PARAMS)?;
    loop {
        let mut known = params.range(..=lowest)?;
        let first = known.next().transpose()?.map(|(height, _)| height.value());
        let is_replaced = known.next().transpose()?.is_some();
        drop(known);
        match first {
            Some(first) if is_replaced => drop(params.remove(first)?),
            _ => return Ok(()),
        }
    }
}

fn take<T: prost::Message + Default>(
    table: &mut Table<'_, i64, &'static [u8]>,
    height: i64,
    what: &str,
) -> Result<Option<T>, BlockStoreError> {
    let Some(bytes) = table.remove(height)? else { return Ok(None) };
    decode(what, bytes.value()).map(Some)
}

/// Returns the bytes of index entries with these keys.
pub(super) fn entry_bytes(keys: &[Vec<u8>]) -> usize {
    keys.iter().map(|key| key.len() + ENTRY_BYTES).sum()
}

/// Returns the bytes of the entries of so many transactions, of which the block's index has these, besides those of their
/// results.
pub(super) fn tx_bytes(count: usize, indexed: &[(Vec<u8>, Vec<u8>)]) -> usize {
    let entries = indexed.iter().map(|(key, list)| key.len() + list.len() + ENTRY_BYTES);
    count * TX_BYTES + entries.sum::<usize>()
}

/// Bytes of an entry in the table of transactions: hash, position and what the database adds.
const TX_BYTES: usize = 32 + 12 + ENTRY_BYTES;

/// Bytes that the database adds to an entry.
const ENTRY_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tendermint_proto::v0_38::abci::{Event, EventAttribute, ExecTxResult};
    use tendermint_proto::v0_38::types::{BlockId, Commit, ConsensusParams, Data, Header};

    use super::*;
    use crate::chain::block_store::BlockStore;

    /// Bytes of the one transaction in each block.
    const TX: usize = 1000;

    fn tx(height: i64) -> Vec<u8> {
        vec![height.to_be_bytes(); TX / 8].concat()
    }

    fn hash(height: i64) -> Vec<u8> {
        sha256(&height.to_be_bytes()).to_vec()
    }

    /// Stores a block and its results, with new parameters every tenth time.
    fn save(store: &BlockStore, height: i64) {
        let header = Header { height, ..Header::default() };
        let data = Data { txs: vec![tx(height)] };
        let block = Block { header: Some(header), data: Some(data), ..Block::default() };
        let id = BlockId { hash: hash(height), ..BlockId::default() };
        let meta = BlockMeta { block_id: Some(id), ..BlockMeta::default() };
        store.save_block(&block, &meta, &Commit::default()).unwrap();
        let attribute = EventAttribute { key: "k".into(), value: "v".into(), index: true };
        let event = Event { r#type: "e".into(), attributes: vec![attribute] };
        let result = ExecTxResult { events: vec![event], ..ExecTxResult::default() };
        let results =
            ResponseFinalizeBlock { tx_results: vec![result], ..ResponseFinalizeBlock::default() };
        let params = ConsensusParams::default();
        store.save_results(&block, &results, (height % 10 == 0).then_some(&params)).unwrap();
    }

    fn open(dir: &Path, max_bytes: u64) -> BlockStore {
        BlockStore::open(&dir.join("blocks.redb")).unwrap().keeping(max_bytes)
    }

    fn count(store: &BlockStore, prefix: &[u8]) -> usize {
        let mut found = 0;
        store
            .scan_tx_events(prefix, |_, _| {
                found += 1;
                true
            })
            .unwrap();
        found
    }

    #[test]
    fn old_blocks_go_with_all_that_points_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), 200_000);
        for height in 1..=400 {
            save(&store, height);
        }
        let (first, last) = store.heights().unwrap().unwrap();
        assert!(last == 400 && (220..300).contains(&first), "{first}");
        for gone in [1, first - 1] {
            assert!(store.block(gone).unwrap().is_none());
            assert!(store.block_meta(gone).unwrap().is_none());
            assert!(store.seen_commit(gone).unwrap().is_none());
            assert!(store.results(gone).unwrap().is_none());
            assert_eq!(store.height_of(&hash(gone)).unwrap(), None);
            assert_eq!(store.tx_position(&sha256(&tx(gone))).unwrap(), None);
        }
        assert!(store.results(first).unwrap().is_some());
        assert_eq!(store.height_of(&hash(first)).unwrap(), Some(first));
        assert_eq!(store.tx_position(&sha256(&tx(first))).unwrap(), Some((first, 0)));
        let kept = usize::try_from(last - first + 1).unwrap();
        assert_eq!((count(&store, b"e.k\0"), count(&store, b"tx.height\0")), (kept, kept));
        assert!(store.params(first).unwrap().is_some() && store.params(last).unwrap().is_some());
        assert!(store.params(first - 20).unwrap().is_none(), "replaced parameters are removed");
    }

    #[test]
    fn the_bound_holds_over_restarts_and_a_lower_one_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), u64::MAX);
        for height in 1..=300 {
            save(&store, height);
        }
        assert_eq!(store.heights().unwrap(), Some((1, 300)));
        drop(store);
        let store = open(dir.path(), 200_000);
        for height in 301..=330 {
            save(&store, height);
        }
        let (first, _) = store.heights().unwrap().unwrap();
        assert!(first > 150, "{first}");
        drop(store);
        // Without room for anything, the last hundred stay.
        let store = open(dir.path(), 0);
        for height in 331..=340 {
            save(&store, height);
        }
        assert_eq!(store.heights().unwrap(), Some((241, 340)));
        assert!(store.block(241).unwrap().is_some());
    }

    #[test]
    fn the_sum_is_that_of_all_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), 200_000);
        (1..=400).for_each(|height| save(&store, height));
        drop(store);
        let database = redb::Database::open(dir.path().join("blocks.redb")).unwrap();
        let write = database.begin_write().unwrap();
        let kept = History::open(&write).unwrap().bytes.load(Ordering::Relaxed);
        // As an earlier version left it.
        write.delete_table(BLOCK_BYTES_SUM).unwrap();
        let counted = History::open(&write).unwrap().bytes.load(Ordering::Relaxed);
        assert_eq!(kept, counted);
        assert!((100_000..=200_000).contains(&kept), "{kept}");
    }

    #[test]
    fn the_file_stops_growing() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), 200_000);
        let size_after = |last: i64| {
            let (_, from) = store.heights().unwrap().unwrap_or((0, 0));
            (from + 1..=last).for_each(|height| save(&store, height));
            std::fs::metadata(dir.path().join("blocks.redb")).unwrap().len()
        };
        let before = size_after(600);
        assert_eq!(size_after(1500), before);
    }
}
