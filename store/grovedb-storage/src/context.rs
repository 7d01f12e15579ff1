//! The three traits: a keyed storage of four record families, a batch of writes, and an ordered cursor.
//!
//! The families are data (tree nodes), aux (other records of the caller), roots (the key of the root node) and meta.

use grovedb_costs::{
    ChildrenSizesWithIsSumTree, CostContext, CostResult,
    storage_cost::key_value_cost::KeyValueStorageCost,
};

use crate::Error;

/// A keyed storage that holds the records of one tree.
pub trait StorageContext<'db> {
    /// The type of batches, a [`Batch`].
    type Batch: Batch;

    /// The type of ordered cursors, a [`RawIterator`].
    type RawIterator: RawIterator;

    /// Writes a data record. `children_sizes` and `cost_info` serve the accounting of costs.
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

    /// Returns an empty [`Batch`] for this storage.
    fn new_batch(&self) -> Self::Batch;

    /// Applies all writes of a [`Batch`].
    fn commit_batch(&self, batch: Self::Batch) -> CostResult<(), Error>;

    /// Returns a [`RawIterator`] over the data records.
    fn raw_iter(&self) -> Self::RawIterator;

    /// Returns a [`RawIterator`] over the aux records.
    fn raw_iter_aux(&self) -> Self::RawIterator;
}

/// A set of writes that [`StorageContext::commit_batch`] applies together.
pub trait Batch {
    /// Adds a write of a data record, as [`StorageContext::put`] does at once.
    fn put<K: AsRef<[u8]>>(
        &mut self,
        key: K,
        value: &[u8],
        children_sizes: ChildrenSizesWithIsSumTree,
        cost_info: Option<KeyValueStorageCost>,
    ) -> Result<(), grovedb_costs::error::Error>;

    /// Adds a write of an aux record, as [`StorageContext::put_aux`] does at once.
    fn put_aux<K: AsRef<[u8]>>(
        &mut self,
        key: K,
        value: &[u8],
        cost_info: Option<KeyValueStorageCost>,
    ) -> Result<(), grovedb_costs::error::Error>;

    /// Adds a write of a roots record, as [`StorageContext::put_root`] does at once.
    fn put_root<K: AsRef<[u8]>>(
        &mut self,
        key: K,
        value: &[u8],
        cost_info: Option<KeyValueStorageCost>,
    ) -> Result<(), grovedb_costs::error::Error>;

    /// Adds a removal of a data record, as [`StorageContext::delete`] does at once.
    fn delete<K: AsRef<[u8]>>(&mut self, key: K, cost_info: Option<KeyValueStorageCost>);

    /// Adds a removal of an aux record, as [`StorageContext::delete_aux`] does at once.
    fn delete_aux<K: AsRef<[u8]>>(&mut self, key: K, cost_info: Option<KeyValueStorageCost>);

    /// Adds a removal of a roots record, as [`StorageContext::delete_root`] does at once.
    fn delete_root<K: AsRef<[u8]>>(&mut self, key: K, cost_info: Option<KeyValueStorageCost>);
}

/// An ordered cursor over the records of one family. It is positioned at a record or at none.
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

    /// Returns the value of the current record.
    fn value(&self) -> CostContext<Option<&[u8]>>;

    /// Returns the key of the current record.
    fn key(&self) -> CostContext<Option<&[u8]>>;

    /// Returns whether the cursor is positioned at a record.
    fn valid(&self) -> CostContext<bool>;

    /// Returns the error that left the cursor at no record. By default there is none, and the cursor is at the end.
    fn status(&self) -> Result<(), Error> {
        Ok(())
    }
}
