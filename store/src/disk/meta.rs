//! The identity of a committed state, and the `meta` table of the state's file.

use std::path::Path;

use capstan_kernel_ports::Hash;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::Error;

/// Name of the state's file in the store's directory. A store exists where this file exists.
pub const FILE: &str = "state.redb";

/// Name of the journal's file in the store's directory.
pub const JOURNAL_FILE: &str = "journal.log";

/// Store format that this program reads and writes. Others are an [`Error::Format`].
///
/// It goes up with every change of the files or of the tree's rules: format 4 added the proven tree, format 5 the
/// journal's own file, format 6 records with several nodes of the tree.
pub const FORMAT: u32 = 6;

/// Table of the records of [`Meta`], with the file's mark and format.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Identity of the committed state that a file leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Block height, 0 before the first commit.
    pub(crate) height: u64,
    /// Number of commits so far.
    pub(crate) serial: u64,
    /// Root hash, zero for the empty tree.
    pub(crate) root: Hash,
    /// Root hash of the proven tree, zero if it is empty.
    pub(crate) proven: Hash,
    /// Tree key of the root node. `None` for the empty tree.
    pub(crate) root_key: Option<Vec<u8>>,
}

impl Meta {
    /// Reads the records, after checking that the file has the mark `magic` and our format.
    pub(crate) fn read(db: &Database, path: &Path, magic: &[u8]) -> Result<Self, Error> {
        let not_ours =
            |reason: &str| Error::NotAStore { path: path.to_owned(), reason: reason.to_owned() };
        let table = match db.begin_read()?.open_table(META) {
            Ok(table) => table,
            Err(redb::TableError::Storage(error)) => return Err(error.into()),
            Err(other) => return Err(not_ours(&other.to_string())),
        };
        let read = |name: &str| -> Result<Option<Vec<u8>>, Error> {
            Ok(table.get(name)?.map(|guard| guard.value().to_vec()))
        };
        if read(MAGIC_KEY)?.as_deref() != Some(magic) {
            return Err(not_ours("a redb database without Capstan's mark"));
        }
        let found = u32::from_be_bytes(fixed(read(FORMAT_KEY)?, FORMAT_KEY)?);
        if found != FORMAT {
            return Err(Error::Format { path: path.to_owned(), found, expected: FORMAT });
        }
        Ok(Self {
            height: u64::from_be_bytes(fixed(read(HEIGHT_KEY)?, HEIGHT_KEY)?),
            serial: u64::from_be_bytes(fixed(read(SERIAL_KEY)?, SERIAL_KEY)?),
            root: Hash(fixed(read(ROOT_KEY)?, ROOT_KEY)?),
            proven: Hash(fixed(read(PROVEN_KEY)?, PROVEN_KEY)?),
            root_key: read(ROOT_NODE_KEY)?,
        })
    }

    /// Writes the records of this state.
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<(), Error> {
        let mut table = transaction.open_table(META)?;
        table.insert(HEIGHT_KEY, self.height.to_be_bytes().as_slice())?;
        table.insert(SERIAL_KEY, self.serial.to_be_bytes().as_slice())?;
        table.insert(ROOT_KEY, self.root.0.as_slice())?;
        table.insert(PROVEN_KEY, self.proven.0.as_slice())?;
        match &self.root_key {
            Some(key) => table.insert(ROOT_NODE_KEY, key.as_slice())?,
            None => table.remove(ROOT_NODE_KEY)?,
        };
        Ok(())
    }

    /// Marks a new file as ours, with the empty state.
    pub(crate) fn initialise(transaction: &WriteTransaction, magic: &[u8]) -> Result<(), Error> {
        {
            let mut table = transaction.open_table(META)?;
            table.insert(MAGIC_KEY, magic)?;
            table.insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
        }
        Self::default().write(transaction)
    }
}

const MAGIC_KEY: &str = "magic";
const FORMAT_KEY: &str = "format";
const HEIGHT_KEY: &str = "height";
const SERIAL_KEY: &str = "serial";
const ROOT_KEY: &str = "root";
const PROVEN_KEY: &str = "proven root";
const ROOT_NODE_KEY: &str = "root node";

fn fixed<const N: usize>(value: Option<Vec<u8>>, name: &str) -> Result<[u8; N], Error> {
    value
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::Damaged(format!("the record `{name}` is missing or malformed")))
}
