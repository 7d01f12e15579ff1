//! The state that is being restored, within the transaction of one chunk.

use std::ops::Bound;

use capstan_kernel_ports::{
    Hash,
    artifact::WriteLocal,
    store::{Entry, LOCAL, PROVEN, Read, StoreFault},
};
use redb::{ReadableTable, Table, WriteTransaction};
use sha2::{Digest, Sha256};

use crate::{
    Error,
    disk::checkpoint::{BLOB, FLAT, TREE},
    tree::{record::first_value, state_tree},
};

/// The tables of a state that is being restored.
pub(crate) struct Building<'t> {
    flat: Table<'t, &'static [u8], &'static [u8]>,
    tree: Table<'t, &'static [u8], &'static [u8]>,
    blob: Table<'t, [u8; 32], &'static [u8]>,
}

impl<'t> Building<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            flat: transaction.open_table(FLAT)?,
            tree: transaction.open_table(TREE)?,
            blob: transaction.open_table(BLOB)?,
        })
    }

    /// Writes the record of a node.
    pub(crate) fn put_node(&mut self, key: &[u8], record: &[u8]) -> Result<(), Error> {
        self.tree.insert(key, record)?;
        Ok(())
    }

    pub(crate) fn put_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.flat.insert(key, value)?;
        Ok(())
    }

    /// Returns whether the tree has this value at `key`.
    pub(crate) fn is_bound(&self, key: &[u8], value: &[u8]) -> Result<bool, Error> {
        let tree_key = state_tree::tree_key(key);
        let Some(bytes) = self.tree.get(&*tree_key)? else { return Ok(false) };
        let found = first_value(bytes.value()).map_err(|problem| problem.at(&tree_key))?;
        Ok(found == state_tree::value_hash(value))
    }
}

impl Read for Building<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        let found = self.flat.get(key).map_err(Error::from)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        let from = match after < prefix {
            true => Bound::Included(prefix),
            false => Bound::Excluded(after),
        };
        let mut range = self.flat.range::<&[u8]>((from, Bound::Unbounded)).map_err(Error::from)?;
        let Some(entry) = range.next() else { return Ok(None) };
        let (key, value) = entry.map_err(Error::from)?;
        let found = key.value().starts_with(prefix);
        Ok(found.then(|| (key.value().to_vec(), value.value().to_vec())))
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        let found = self.blob.get(hash.0).map_err(Error::from)?;
        Ok(found.map(|bytes| bytes.value().to_vec()))
    }
}

impl WriteLocal for Building<'_> {
    fn set_local(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreFault> {
        if !key.starts_with(LOCAL) || key.starts_with(PROVEN) {
            return Err(StoreFault::from(Error::Local));
        }
        Ok(self.put_entry(key, value)?)
    }

    fn put_blob(&mut self, bytes: &[u8]) -> Result<Hash, StoreFault> {
        let hash = Hash(Sha256::digest(bytes).into());
        self.blob.insert(hash.0, bytes).map_err(Error::from)?;
        Ok(hash)
    }
}
