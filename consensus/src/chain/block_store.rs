//! The block store: blocks, results and indexes in one redb file.
//!
//! It is a database and not a set of append-only files, because blocks are looked up by hash, and transactions by hash
//! and by event. redb is in the workspace anyway. Its transactions make storing a block one durable step, and storing
//! its results and indexes another one.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | `format`: version; `genesis`: the document; `initial`: the [`InitialState`] |
//! | `blocks` | height | the block, protobuf `tendermint.types.Block` |
//! | `block_metas` | height | `tendermint.types.BlockMeta`: id, header, size, number of transactions |
//! | `seen_commits` | height | `tendermint.types.Commit`: the validator's votes when the block was made |
//! | `block_hashes` | hash | height |
//! | `results` | height | `tendermint.abci.ResponseFinalizeBlock` |
//! | `params` | height from which they hold | `tendermint.types.ConsensusParams` |
//! | `txs` | hash of the transaction | height, index in the block |
//! | `tx_events` | see [`super::tx_index`] | indexes in the block |
//! | `block_events` | see [`super::block_index`] | nothing |
//! | `block_bytes`, `block_bytes_sum` | height, nothing | see [`super::history`] |
//!
//! A block without results was being executed when the process ended.

use std::path::{Path, PathBuf};

use prost::Message;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use tendermint_proto::v0_38::abci::{ExecTxResult, ResponseFinalizeBlock};
use tendermint_proto::v0_38::types::{Block, BlockId, BlockMeta, Commit, ConsensusParams};

use super::history::{History, entry_bytes, tx_bytes};
use super::merkle::sha256;
use super::places::{self, tx_result};
use super::{block_index, tx_index};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const BLOCKS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("blocks");
pub(super) const BLOCK_METAS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("block_metas");
pub(super) const SEEN_COMMITS: TableDefinition<'_, i64, &[u8]> =
    TableDefinition::new("seen_commits");
pub(super) const BLOCK_HASHES: TableDefinition<'_, &[u8], i64> =
    TableDefinition::new("block_hashes");
pub(super) const RESULTS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("results");
pub(super) const PARAMS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("params");
pub(super) const TXS: TableDefinition<'_, &[u8], (i64, u32)> = TableDefinition::new("txs");
pub(super) const TX_EVENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tx_events");
pub(super) const BLOCK_EVENTS: TableDefinition<'_, &[u8], ()> =
    TableDefinition::new("block_events");

/// The version of the layout above.
const FORMAT: &[u8] = b"3";

/// The event index.
pub(crate) type TxEvents = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Position of a transaction: the height of its block and its index in the block.
pub(crate) type TxPosition = (i64, u32);

/// Reason why a block store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlockStoreError {
    /// Another process has the file open.
    #[error("{} is in use by another process; is a node running on this home already?", path.display())]
    InUse {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file has another format: another version of this program wrote it.
    #[error("{} has block store format {found:?}, this version reads \"3\"; use another home", path.display())]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Format of the file.
        found: String,
    },
    /// The database fails: a full or broken disk, missing permissions, a file that is no database.
    #[error("the block store fails: {0}")]
    Database(Box<redb::Error>),
    /// A record cannot be decoded or is missing.
    #[error("the block store is damaged: {0}")]
    Damaged(String),
}

impl<E: Into<redb::Error>> From<E> for BlockStoreError {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

/// The state before the first block, as `InitChain` returned it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct InitialState {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) app_hash: Vec<u8>,
    #[prost(message, required, tag = "2")]
    pub(crate) params: ConsensusParams,
}

/// The store of blocks, results and indexes. Reads see the last write that has finished.
#[derive(Debug)]
pub(crate) struct BlockStore {
    database: Database,
    history: History,
    places: places::Cache,
}

impl BlockStore {
    /// Opens the store at `path`, or makes an empty one.
    pub(crate) fn open(path: &Path) -> Result<Self, BlockStoreError> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => BlockStoreError::InUse { path: path.to_owned() },
            other => other.into(),
        })?;
        Self::over(database, path)
    }

    /// Keeps at most so many bytes of blocks from now on. The oldest are removed, but never the last hundred.
    pub(crate) fn keeping(mut self, max_bytes: u64) -> Self {
        self.history.bound(max_bytes);
        self
    }

    /// Opens a store on a [`redb::StorageBackend`] instead of a file.
    #[cfg(test)]
    pub(crate) fn on_backend(backend: impl redb::StorageBackend) -> Result<Self, BlockStoreError> {
        let database = Database::builder().create_with_backend(backend)?;
        Self::over(database, Path::new("the given medium"))
    }

    fn over(database: Database, path: &Path) -> Result<Self, BlockStoreError> {
        let write = database.begin_write()?;
        {
            let mut meta = write.open_table(META)?;
            let found = meta.get("format")?.map(|value| value.value().to_vec());
            match found.as_deref() {
                None => drop(meta.insert("format", FORMAT)?),
                Some(FORMAT) => {}
                Some(other) => {
                    let found = String::from_utf8_lossy(other).into_owned();
                    return Err(BlockStoreError::Format { path: path.to_owned(), found });
                }
            }
            // Tables exist from here on, so that readers need not tell a missing table from an
            // empty one.
            for table in [BLOCKS, BLOCK_METAS, SEEN_COMMITS, RESULTS, PARAMS] {
                write.open_table(table)?;
            }
            write.open_table(BLOCK_HASHES)?;
            write.open_table(TXS)?;
            write.open_table(TX_EVENTS)?;
            write.open_table(BLOCK_EVENTS)?;
        }
        let history = History::open(&write)?;
        write.commit()?;
        Ok(Self { database, history, places: places::Cache::default() })
    }

    /// Returns the genesis document that the store was made with.
    pub(crate) fn genesis(&self) -> Result<Option<Vec<u8>>, BlockStoreError> {
        self.read_meta("genesis")
    }

    /// Stores the genesis document.
    pub(crate) fn set_genesis(&self, document: &[u8]) -> Result<(), BlockStoreError> {
        self.write_meta("genesis", document)
    }

    /// Returns the state before the first block, or `None` if `InitChain` was not called yet.
    pub(crate) fn initial(&self) -> Result<Option<InitialState>, BlockStoreError> {
        self.read_meta("initial")?.map(|bytes| decode("initial state", &bytes)).transpose()
    }

    /// Stores the [`InitialState`] and its parameters, which hold from the first block on.
    pub(crate) fn set_initial(
        &self,
        state: &InitialState,
        first_height: i64,
    ) -> Result<(), BlockStoreError> {
        let write = self.database.begin_write()?;
        write.open_table(META)?.insert("initial", state.encode_to_vec().as_slice())?;
        write.open_table(PARAMS)?.insert(first_height, state.params.encode_to_vec().as_slice())?;
        Ok(write.commit()?)
    }

    /// Stores a block before it is executed.
    pub(crate) fn save_block(
        &self,
        block: &Block,
        meta: &BlockMeta,
        seen: &Commit,
    ) -> Result<(), BlockStoreError> {
        let height = block.header.as_ref().map_or(0, |header| header.height);
        let hash = meta.block_id.clone().unwrap_or_default().hash;
        let write = self.database.begin_write()?;
        let (block, meta, seen) =
            (block.encode_to_vec(), meta.encode_to_vec(), seen.encode_to_vec());
        write.open_table(BLOCKS)?.insert(height, block.as_slice())?;
        write.open_table(BLOCK_METAS)?.insert(height, meta.as_slice())?;
        write.open_table(SEEN_COMMITS)?.insert(height, seen.as_slice())?;
        write.open_table(BLOCK_HASHES)?.insert(hash.as_slice(), height)?;
        let bytes = block.len() + meta.len() + seen.len() + hash.len();
        let total = self.history.add(&write, height, bytes as u64)?;
        write.commit()?;
        self.history.committed(total);
        self.places.forget(height);
        Ok(())
    }

    /// Stores the results of a block, the parameters for the next block if they changed, and the indexes.
    pub(crate) fn save_results(
        &self,
        block: &Block,
        results: &ResponseFinalizeBlock,
        new_params: Option<&ConsensusParams>,
    ) -> Result<(), BlockStoreError> {
        let height = block.header.as_ref().map_or(0, |header| header.height);
        let encoded = results.encode_to_vec();
        let write = self.database.begin_write()?;
        let mut bytes = encoded.len() + index_txs(&write, block, results)?;
        let keys = block_index::keys(height, &results.events);
        bytes += entry_bytes(&keys);
        {
            let mut events = write.open_table(BLOCK_EVENTS)?;
            for key in &keys {
                events.insert(key.as_slice(), ())?;
            }
        }
        write.open_table(RESULTS)?.insert(height, encoded.as_slice())?;
        if let Some(params) = new_params {
            write.open_table(PARAMS)?.insert(height + 1, params.encode_to_vec().as_slice())?;
        }
        let total = self.history.add(&write, height, bytes as u64)?;
        write.commit()?;
        self.history.committed(total);
        self.places.forget(height);
        Ok(())
    }

    /// Returns the lowest and the highest stored height, or `None` if there is no block.
    pub(crate) fn heights(&self) -> Result<Option<(i64, i64)>, BlockStoreError> {
        let table = self.database.begin_read()?.open_table(BLOCKS)?;
        let first = table.first()?.map(|(height, _)| height.value());
        let last = table.last()?.map(|(height, _)| height.value());
        Ok(first.zip(last))
    }

    /// Returns the highest height with results.
    pub(crate) fn last_results_height(&self) -> Result<Option<i64>, BlockStoreError> {
        let table = self.database.begin_read()?.open_table(RESULTS)?;
        Ok(table.last()?.map(|(height, _)| height.value()))
    }

    /// Returns the block at `height`.
    pub(crate) fn block(&self, height: i64) -> Result<Option<Block>, BlockStoreError> {
        self.read(BLOCKS, height)
    }

    /// Returns the [`BlockMeta`] of the block at `height`.
    pub(crate) fn block_meta(&self, height: i64) -> Result<Option<BlockMeta>, BlockStoreError> {
        self.read(BLOCK_METAS, height)
    }

    /// Returns the id of the block at `height`.
    pub(crate) fn block_id(&self, height: i64) -> Result<Option<BlockId>, BlockStoreError> {
        Ok(self.block_meta(height)?.and_then(|meta| meta.block_id))
    }

    /// Returns the commit that was signed when the block at `height` was made.
    pub(crate) fn seen_commit(&self, height: i64) -> Result<Option<Commit>, BlockStoreError> {
        self.read(SEEN_COMMITS, height)
    }

    /// Returns the results of the block at `height`.
    pub(crate) fn results(
        &self,
        height: i64,
    ) -> Result<Option<ResponseFinalizeBlock>, BlockStoreError> {
        self.read(RESULTS, height)
    }

    /// Returns the result of the transaction at `position`. The results of other transactions, which may be many, are
    /// not decoded.
    pub(crate) fn tx_result(
        &self,
        (height, index): TxPosition,
    ) -> Result<Option<ExecTxResult>, BlockStoreError> {
        let open = self.database.begin_read()?.open_table(RESULTS)?;
        let Some(bytes) = open.get(height)? else { return Ok(None) };
        tx_result(bytes.value(), index)
    }

    /// Returns the transaction at `position` and its result. Neither the block nor other results are decoded.
    pub(crate) fn tx(
        &self,
        (height, index): TxPosition,
    ) -> Result<Option<(Vec<u8>, ExecTxResult)>, BlockStoreError> {
        let read = self.database.begin_read()?;
        let (blocks, results) = (read.open_table(BLOCKS)?, read.open_table(RESULTS)?);
        let (Some(block), Some(results)) = (blocks.get(height)?, results.get(height)?) else {
            return Ok(None);
        };
        self.places.tx((height, index), block.value(), results.value())
    }

    /// Returns the consensus parameters that hold for the block at `height`.
    pub(crate) fn params(&self, height: i64) -> Result<Option<ConsensusParams>, BlockStoreError> {
        let table = self.database.begin_read()?.open_table(PARAMS)?;
        let last = table.range(..=height)?.next_back().transpose()?;
        last.map(|(_, bytes)| decode("consensus parameters", bytes.value())).transpose()
    }

    /// Returns the height of the block with this hash.
    pub(crate) fn height_of(&self, hash: &[u8]) -> Result<Option<i64>, BlockStoreError> {
        let table = self.database.begin_read()?.open_table(BLOCK_HASHES)?;
        Ok(table.get(hash)?.map(|height| height.value()))
    }

    /// Returns the position of the transaction with this hash.
    pub(crate) fn tx_position(&self, hash: &[u8]) -> Result<Option<TxPosition>, BlockStoreError> {
        let table = self.database.begin_read()?.open_table(TXS)?;
        Ok(table.get(hash)?.map(|position| position.value()))
    }

    /// Returns the event index as it is now.
    pub(crate) fn tx_events(&self) -> Result<TxEvents, BlockStoreError> {
        Ok(self.database.begin_read()?.open_table(TX_EVENTS)?)
    }

    /// Calls `visit` with the entries of the event index that start with `prefix`, in order, for as long as it returns true.
    pub(crate) fn scan_tx_events(
        &self,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), BlockStoreError> {
        self.scan(TX_EVENTS, prefix, visit)
    }

    /// Does the same with the keys of the event index of blocks.
    pub(crate) fn scan_block_events(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), BlockStoreError> {
        self.scan(BLOCK_EVENTS, prefix, |key, ()| visit(key))
    }

    fn scan<V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'static, &'static [u8], V>,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], V::SelfType<'_>) -> bool,
    ) -> Result<(), BlockStoreError> {
        let table = self.database.begin_read()?.open_table(table)?;
        for entry in table.range(prefix..)? {
            let (key, value) = entry?;
            if !key.value().starts_with(prefix) || !visit(key.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }

    fn read<T: Message + Default>(
        &self,
        table: TableDefinition<'static, i64, &'static [u8]>,
        height: i64,
    ) -> Result<Option<T>, BlockStoreError> {
        let open = self.database.begin_read()?.open_table(table)?;
        let Some(bytes) = open.get(height)? else { return Ok(None) };
        decode(&format!("{} of height {height}", redb::TableHandle::name(&table)), bytes.value())
            .map(Some)
    }

    fn read_meta(&self, name: &str) -> Result<Option<Vec<u8>>, BlockStoreError> {
        let table = self.database.begin_read()?.open_table(META)?;
        Ok(table.get(name)?.map(|value| value.value().to_vec()))
    }

    fn write_meta(&self, name: &str, value: &[u8]) -> Result<(), BlockStoreError> {
        let write = self.database.begin_write()?;
        write.open_table(META)?.insert(name, value)?;
        Ok(write.commit()?)
    }
}

/// Indexes the transactions of a block, by hash and by event. Returns the bytes of their entries.
fn index_txs(
    write: &WriteTransaction,
    block: &Block,
    results: &ResponseFinalizeBlock,
) -> Result<usize, BlockStoreError> {
    let height = block.header.as_ref().map_or(0, |header| header.height);
    let stored = write.open_table(RESULTS)?;
    let mut txs = write.open_table(TXS)?;
    let data = block.data.iter().flat_map(|data| &data.txs);
    let mut count = 0;
    let mut indexed = tx_index::Entries::new(height);
    for (index, (tx, result)) in (0_u32..).zip(data.zip(&results.tx_results)) {
        let hash = sha256(tx);
        let known = txs.get(hash.as_slice())?.map(|position| position.value());
        // As in CometBFT, a failed repetition does not hide a success.
        if result.code != 0 && succeeded(&stored, known)? {
            continue;
        }
        txs.insert(hash.as_slice(), (height, index))?;
        indexed.add(index, &result.events);
        count += 1;
    }
    let mut events = write.open_table(TX_EVENTS)?;
    let indexed = indexed.sorted();
    for (key, list) in &indexed {
        events.insert(key.as_slice(), list.as_slice())?;
    }
    Ok(tx_bytes(count, &indexed))
}

/// Returns whether the transaction at `position` exists and succeeded.
fn succeeded(
    results: &impl ReadableTable<i64, &'static [u8]>,
    position: Option<TxPosition>,
) -> Result<bool, BlockStoreError> {
    let Some((height, index)) = position else { return Ok(false) };
    let Some(bytes) = results.get(height)? else { return Ok(false) };
    Ok(tx_result(bytes.value(), index)?.is_some_and(|result| result.code == 0))
}

pub(super) fn decode<T: Message + Default>(what: &str, bytes: &[u8]) -> Result<T, BlockStoreError> {
    T::decode(bytes).map_err(|error| BlockStoreError::Damaged(format!("{what}: {error}")))
}
