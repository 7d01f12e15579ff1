//! The state's file: the whole state after one of the last commits.

use std::{path::Path, sync::Arc};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use crate::{
    Error,
    changes::{Changes, Shared},
    counts::{CheckpointCounts, Counters},
    disk::meta::Meta,
};

/// Table of all committed keys and values, node-local ones included.
pub(crate) const FLAT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("flat");
/// Table of the Merkle tree's records, each with several nodes, by the tree key of its first one.
pub(crate) const TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree");
/// Table of blobs, by their SHA-256.
pub(crate) const BLOB: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("blob");

/// A table from bytes to bytes, at a fixed state of the file.
pub(crate) type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Content of the state's file at one commit. Later checkpoints do not change it.
pub(crate) struct Checkpoint {
    pub(crate) meta: Meta,
    pub(crate) flat: Table,
    pub(crate) tree: Table,
    pub(crate) blob: ReadOnlyTable<[u8; 32], &'static [u8]>,
    // Last, so that it outlives the tables: reads fail once the database is closed.
    #[allow(dead_code, reason = "held, not used")]
    db: Arc<Database>,
}

impl Checkpoint {
    /// Opens the file's present content.
    pub(crate) fn take(db: &Arc<Database>, path: &Path) -> Result<Self, Error> {
        let meta = read_meta(db, path)?;
        let transaction = db.begin_read()?;
        Ok(Self {
            meta,
            flat: transaction.open_table(FLAT)?,
            tree: transaction.open_table(TREE)?,
            blob: transaction.open_table(BLOB)?,
            db: db.clone(),
        })
    }

    /// Writes the changes that lead to the state of `meta`, in one transaction that is durable when this returns.
    /// `each_record` calls its argument with each changed record of the tree.
    pub(crate) fn write(
        db: &Arc<Database>,
        path: &Path,
        changes: &Changes,
        meta: &Meta,
        counters: &Counters,
        each_record: impl FnOnce(&mut WriteRecord<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut transaction = db.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // Two syncs instead of one, and the allocator's state written too. A crash cannot leave a half-written commit
        // that looks whole, and opening after it need not read the whole file.
        transaction.set_quick_repair(true);
        let mut counts = CheckpointCounts::default();
        {
            let mut flat = transaction.open_table(FLAT)?;
            for (key, value) in &changes.flat {
                match value {
                    Some(value) => flat.insert(&**key, &**value)?,
                    None => flat.remove(&**key)?,
                };
                counts.entries += 1;
                counts.bytes += (key.len() + value.as_ref().map_or(0, |value| value.len())) as u64;
            }
            let mut tree = transaction.open_table(TREE)?;
            // First what is gone: it may be there again.
            for key in &changes.gone {
                tree.remove(&**key)?;
                counts.records += 1;
            }
            each_record(&mut |key, bytes| {
                counts.records += 1;
                counts.bytes += (key.len() + bytes.len()) as u64;
                tree.insert(&**key, bytes.as_slice())?;
                Ok(())
            })?;
        }
        {
            let mut blobs = transaction.open_table(BLOB)?;
            for (hash, bytes) in &changes.blobs {
                blobs.insert(hash.0, &**bytes)?;
            }
        }
        meta.write(&transaction)?;
        transaction.commit()?;
        counters.add_checkpoint(counts);
        Self::take(db, path)
    }
}

/// Writes a record of the tree: its key and its bytes.
pub(crate) type WriteRecord<'a> = dyn FnMut(&Shared, Vec<u8>) -> Result<(), Error> + 'a;

/// Reads the file's `meta` records. Fails if it is not a state of our format.
pub(crate) fn read_meta(db: &Database, path: &Path) -> Result<Meta, Error> {
    Meta::read(db, path, MAGIC)
}

/// Returns whether the file has no tables yet.
pub(crate) fn is_empty(db: &Database) -> Result<bool, Error> {
    Ok(db.begin_read()?.list_tables()?.next().is_none())
}

/// Creates the tables of an empty state, if there are none.
pub(crate) fn initialise_if_empty(db: &Database) -> Result<(), Error> {
    let transaction = db.begin_write()?;
    if transaction.list_tables()?.next().is_some() {
        return Ok(transaction.abort()?);
    }
    transaction.open_table(FLAT)?;
    transaction.open_table(TREE)?;
    transaction.open_table(BLOB)?;
    Meta::initialise(&transaction, MAGIC)?;
    Ok(transaction.commit()?)
}

const MAGIC: &[u8] = b"capstan state";
