//! The three traits: a keyed storage of four record families, a batch of writes to it, and an
//! ordered cursor over it.
//!
//! The families are data (tree nodes), aux (whatever the caller keeps beside them), roots (the key
//! of the root node) and meta.

use grovedb_costs::{
    ChildrenSizesWithIsSumTree, CostContext, CostResult,
    storage_cost::key_value_cost::KeyValueStorageCost,
};

use crate::Error;

/// The storage of one tree.
pub trait StorageContext<'db> {
    /// Writes that are collected first and applied together.
    type Batch: Batch;

    /// An ordered cursor.
    type RawIterator: RawIterator;

    /// Writes a data record. `children_sizes` and `cost_info` are for the bookkeeping of costs.
    fn put<K: AsRef<[u8]>>(
        &self,
        key: K,
        value: &[u8],
        children_sizes: ChildrenSizesWithIsSumTree,
        cost_info: Option<KeyValueStorageCost>,
    ) -> CostResult<(), Error>;

    /// Writes an aux record.
    fn put_aux<K: AsRef<[u8]>>(
        &self,
        key: K,
        value: &[u8],
        cost_info: Option<KeyValueStorageCost>,
    ) -> CostResult<(), Error>;

    /// Writes a roots record.
    fn put_root<K: AsRef<[u8]>>(
        &self,
        key: K,
        value: &[u8],
        cost_info: Option<KeyValueStorageCost>,
    ) -> CostResult<(), Error>;

    /// Writes a meta record.
    fn put_meta<K: AsRef<[u8]>>(
        &self,
        key: K,
        value: &[u8],
        cost_info: Option<KeyValueStorageCost>,
    ) -> CostResult<(), Error>;

    /// Removes a data record.
    fn delete<K: AsRef<[u8]>>(
        &self,
        key: K,
        cost_info: Option<KeyValueStorageCost>,
    ) -> CostResult<(), Error>;

    /// Removes an aux record.
    fn delete_aux<K: AsRef<[u8]>>(
        &self,
        key: K,
        cost_info: Option<KeyValueStorageCost>,
    ) -> CostResult<(), Error>;

    /// Removes a roots record.
    fn delete_root<K: AsRef<[u8]>>(
        &self,
        key: K,
        cost_info: Option<KeyValueStorageCost>,
    ) -> CostResult<(), Error>;

    /// Removes a meta record.
    fn delete_meta<K: AsRef<[u8]>>(
        &self,
        key: K,
        cost_info: Option<KeyValueStorageCost>,
    ) -> CostResult<(), Error>;

    /// Reads a data record.
    fn get<K: AsRef<[u8]>>(&self, key: K) -> CostResult<Option<Vec<u8>>, Error>;

    /// Reads an aux record.
    fn get_aux<K: AsRef<[u8]>>(&self, key: K) -> CostResult<Option<Vec<u8>>, Error>;

    /// Reads a roots record.
    fn get_root<K: AsRef<[u8]>>(&self, key: K) -> CostResult<Option<Vec<u8>>, Error>;

    /// Reads a meta record.
    fn get_meta<K: AsRef<[u8]>>(&self, key: K) -> CostResult<Option<Vec<u8>>, Error>;

    /// An empty batch for this storage.
    fn new_batch(&self) -> Self::Batch;

    /// Applies all writes of `batch`.
    fn commit_batch(&self, batch: Self::Batch) -> CostResult<(), Error>;

    /// A cursor over the data records.
    fn raw_iter(&self) -> Self::RawIterator;

    /// A cursor over the aux records.
    fn raw_iter_aux(&self) -> Self::RawIterator;
}

/// Writes that are applied together by [`StorageContext::commit_batch`].
pub trait Batch {
    /// Adds the writing of a data record.
    fn put<K: AsRef<[u8]>>(
        &mut self,
        key: K,
        value: &[u8],
        children_sizes: ChildrenSizesWithIsSumTree,
        cost_info: Option<KeyValueStorageCost>,
    ) -> Result<(), grovedb_costs::error::Error>;

    /// Adds the writing of an aux record.
    fn put_aux<K: AsRef<[u8]>>(
        &mut self,
        key: K,
        value: &[u8],
        cost_info: Option<KeyValueStorageCost>,
    ) -> Result<(), grovedb_costs::error::Error>;

    /// Adds the writing of a roots record.
    fn put_root<K: AsRef<[u8]>>(
        &mut self,
        key: K,
        value: &[u8],
        cost_info: Option<KeyValueStorageCost>,
    ) -> Result<(), grovedb_costs::error::Error>;

    /// Adds the removal of a data record.
    fn delete<K: AsRef<[u8]>>(&mut self, key: K, cost_info: Option<KeyValueStorageCost>);

    /// Adds the removal of an aux record.
    fn delete_aux<K: AsRef<[u8]>>(&mut self, key: K, cost_info: Option<KeyValueStorageCost>);

    /// Adds the removal of a roots record.
    fn delete_root<K: AsRef<[u8]>>(&mut self, key: K, cost_info: Option<KeyValueStorageCost>);
}

/// An ordered cursor over the records of one family. It stands on a record or on none.
pub trait RawIterator {
    /// Moves to the first record.
    fn seek_to_first(&mut self) -> CostContext<()>;

    /// Moves to the last record.
    fn seek_to_last(&mut self) -> CostContext<()>;

    /// Moves to the first record at or after `key`.
    fn seek<K: AsRef<[u8]>>(&mut self, key: K) -> CostContext<()>;

    /// Moves to the last record at or before `key`.
    fn seek_for_prev<K: AsRef<[u8]>>(&mut self, key: K) -> CostContext<()>;

    /// Moves one record forward.
    fn next(&mut self) -> CostContext<()>;

    /// Moves one record backward.
    fn prev(&mut self) -> CostContext<()>;

    /// The value of the record it stands on.
    fn value(&self) -> CostContext<Option<&[u8]>>;

    /// The key of the record it stands on.
    fn key(&self) -> CostContext<Option<&[u8]>>;

    /// Whether it stands on a record.
    fn valid(&self) -> CostContext<bool>;

    /// Why it stands on none: an error, or (the default) merely the end.
    fn status(&self) -> Result<(), Error> {
        Ok(())
    }
}
