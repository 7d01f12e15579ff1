//! The state's file: its tables and records.

use std::path::Path;

use capstan_kernel_ports::Hash;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::{Error, checkpoint::Mark};

/// The name of the state's file in the store's directory. Where it exists, there is a store.
pub const FILE: &str = "state.redb";

/// The name of the tree's file in the store's directory.
pub const TREE_FILE: &str = "tree.redb";

/// The store format that this program reads and writes. Goes up with every change of the tables.
pub const FORMAT: u32 = 2;

/// All committed keys and values, node-local ones included.
pub(crate) const FLAT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("flat");
/// Content-addressed bytes by their SHA-256.
pub(crate) const BLOB: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("blob");
/// What the tree's file may lack: the changes of each commit by its serial.
pub(crate) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
/// The records of [`Meta`], and what marks the file as ours. The tree's file has such a table too.
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// What one committed state is, beside its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The block height; 0 before the first commit.
    pub(crate) height: u64,
    /// How many commits have changed the tree.
    pub(crate) serial: u64,
    /// The root hash; zero for the empty tree.
    pub(crate) root: Hash,
    /// The tree key of the root node, none for the empty tree.
    pub(crate) root_key: Option<Vec<u8>>,
}

impl Meta {
    /// Reads the records, after checking that the database is a state of our format.
    pub(crate) fn read(db: &Database, path: &Path) -> Result<Self, Error> {
        let records = Records::read(db, path, MAGIC)?;
        Ok(Self {
            height: records.number(HEIGHT_KEY)?,
            serial: records.number(SERIAL_KEY)?,
            root: Hash(records.fixed(ROOT_KEY)?),
            root_key: records.get(ROOT_NODE_KEY)?,
        })
    }

    /// Writes the records that change with each commit.
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<(), Error> {
        let mut table = transaction.open_table(META)?;
        table.insert(HEIGHT_KEY, self.height.to_be_bytes().as_slice())?;
        write_tree_records(&mut table, self.serial, &self.root, self.root_key.as_deref())
    }

    /// The tree of this state.
    pub(crate) fn mark(&self) -> Mark {
        Mark { serial: self.serial, root: self.root, root_key: self.root_key.clone() }
    }
}

/// Makes the tables of an empty state, if there are none.
pub(crate) fn initialise_if_empty(db: &Database) -> Result<(), Error> {
    let transaction = db.begin_write()?;
    if transaction.list_tables()?.next().is_some() {
        return Ok(transaction.abort()?);
    }
    transaction.open_table(FLAT)?;
    transaction.open_table(BLOB)?;
    transaction.open_table(JOURNAL)?;
    write_mark(&transaction, MAGIC)?;
    Meta::default().write(&transaction)?;
    Ok(transaction.commit()?)
}

/// Marks a new file as ours.
pub(crate) fn write_mark(transaction: &WriteTransaction, magic: &[u8]) -> Result<(), Error> {
    let mut table = transaction.open_table(META)?;
    table.insert(MAGIC_KEY, magic)?;
    table.insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
    Ok(())
}

/// Writes the records that both files have.
pub(crate) fn write_tree_records(
    table: &mut redb::Table<'_, &'static str, &'static [u8]>,
    serial: u64,
    root: &Hash,
    root_key: Option<&[u8]>,
) -> Result<(), Error> {
    table.insert(SERIAL_KEY, serial.to_be_bytes().as_slice())?;
    table.insert(ROOT_KEY, root.0.as_slice())?;
    match root_key {
        Some(key) => table.insert(ROOT_NODE_KEY, key)?,
        None => table.remove(ROOT_NODE_KEY)?,
    };
    Ok(())
}

/// The records of a file of ours.
pub(crate) struct Records(redb::ReadOnlyTable<&'static str, &'static [u8]>);

impl Records {
    /// The records of `db`, if it is a file of our format with this mark.
    pub(crate) fn read(db: &Database, path: &Path, magic: &[u8]) -> Result<Self, Error> {
        let not_ours =
            |reason: &str| Error::NotAStore { path: path.to_owned(), reason: reason.to_owned() };
        let records = match db.begin_read()?.open_table(META) {
            Ok(table) => Self(table),
            Err(redb::TableError::Storage(error)) => return Err(error.into()),
            Err(other) => return Err(not_ours(&other.to_string())),
        };
        if records.get(MAGIC_KEY)?.as_deref() != Some(magic) {
            return Err(not_ours("a redb database without Capstan's mark"));
        }
        let found = u32::from_be_bytes(records.fixed(FORMAT_KEY)?);
        match found == FORMAT {
            true => Ok(records),
            false => Err(Error::Format { path: path.to_owned(), found, expected: FORMAT }),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(name)?.map(|guard| guard.value().to_vec()))
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.fixed(name)?))
    }

    pub(crate) fn fixed<const N: usize>(&self, name: &str) -> Result<[u8; N], Error> {
        self.get(name)?
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Error::Damaged(format!("the record `{name}` is missing or malformed")))
    }
}

const MAGIC_KEY: &str = "magic";
const MAGIC: &[u8] = b"capstan state";
const FORMAT_KEY: &str = "format";
const HEIGHT_KEY: &str = "height";
pub(crate) const SERIAL_KEY: &str = "serial";
pub(crate) const ROOT_KEY: &str = "root";
pub(crate) const ROOT_NODE_KEY: &str = "root node";
