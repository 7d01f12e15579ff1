//! The one database file: its tables, its creation and its opening.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use capstan_kernel_ports::Hash;
use redb::{Builder, Database, DatabaseError, StorageBackend, TableDefinition, WriteTransaction};

use crate::{Error, Options};

/// The name of the database file in the store's directory.
pub const FILE: &str = "state.redb";

/// The store format that this program reads and writes. Goes up with every change of the tables.
pub const FORMAT: u32 = 1;

/// All committed keys and values, node-local ones included.
pub(crate) const FLAT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("flat");
/// The nodes of the Merkle tree by their tree key.
pub(crate) const TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree");
/// Content-addressed bytes by their SHA-256.
pub(crate) const BLOB: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("blob");
/// The records of [`Meta`], and what marks the file as ours.
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// What one committed state is, beside its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The block height; 0 before the first commit.
    pub(crate) height: u64,
    /// The root hash; zero for the empty tree.
    pub(crate) root: Hash,
    /// The tree key of the root node, none for the empty tree.
    pub(crate) root_key: Option<Vec<u8>>,
}

impl Meta {
    /// Reads the records, after checking that the database is a store of our format.
    pub(crate) fn read(db: &impl redb::ReadableDatabase, path: &Path) -> Result<Self, Error> {
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
        if read(MAGIC_KEY)?.as_deref() != Some(MAGIC) {
            return Err(not_ours("a redb database without Capstan's mark"));
        }
        let found = u32::from_be_bytes(fixed(read(FORMAT_KEY)?, FORMAT_KEY)?);
        if found != FORMAT {
            return Err(Error::Format { path: path.to_owned(), found, expected: FORMAT });
        }
        Ok(Self {
            height: u64::from_be_bytes(fixed(read(HEIGHT_KEY)?, HEIGHT_KEY)?),
            root: Hash(fixed(read(ROOT_KEY)?, ROOT_KEY)?),
            root_key: read(ROOT_NODE_KEY)?,
        })
    }

    /// Writes the records that change with each commit.
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<(), Error> {
        let mut table = transaction.open_table(META)?;
        table.insert(HEIGHT_KEY, self.height.to_be_bytes().as_slice())?;
        table.insert(ROOT_KEY, self.root.0.as_slice())?;
        match &self.root_key {
            Some(key) => table.insert(ROOT_NODE_KEY, key.as_slice())?,
            None => table.remove(ROOT_NODE_KEY)?,
        };
        Ok(())
    }
}

/// Opens the store in directory `dir`; makes an empty one if there is none.
pub(crate) fn open_directory(dir: &Path, options: &Options) -> Result<Database, Error> {
    let file = dir.join(FILE);
    fs::create_dir_all(dir).map_err(|source| io_error(dir, source))?;
    let exists = file.try_exists().map_err(|source| io_error(&file, source))?;
    if !exists {
        // Made beside and moved into place, so that a crash leaves a whole store or none.
        let fresh = dir.join(format!("{FILE}.new"));
        drop(create_file(&fresh, options)?);
        move_into_place(&fresh, &file)?;
    }
    open_file(&file, options)
}

/// Opens a store on `backend`; makes an empty one if the backend is empty.
pub(crate) fn open_backend(
    backend: impl StorageBackend,
    options: &Options,
) -> Result<Database, Error> {
    let db = builder(options).create_with_backend(backend)?;
    initialise_if_empty(&db)?;
    Ok(db)
}

/// Makes an empty store in a file that does not exist, or that an interrupted call of this function
/// left behind.
pub(crate) fn create_file(file: &Path, options: &Options) -> Result<Database, Error> {
    let db = match builder(options).create(file) {
        Ok(db) => db,
        Err(DatabaseError::DatabaseAlreadyOpen) => return Err(locked(file)),
        Err(_) => {
            fs::remove_file(file).map_err(|source| io_error(file, source))?;
            builder(options).create(file).map_err(|error| opening_error(file, error))?
        }
    };
    initialise_if_empty(&db)?;
    Ok(db)
}

/// Makes an empty store in `file`; one that is there and not in use is thrown away.
pub(crate) fn replace_file(file: &Path, options: &Options) -> Result<Database, Error> {
    let exists = file.try_exists().map_err(|source| io_error(file, source))?;
    if exists {
        if let Err(DatabaseError::DatabaseAlreadyOpen) = builder(options).open(file) {
            return Err(locked(file));
        }
        fs::remove_file(file).map_err(|source| io_error(file, source))?;
    }
    create_file(file, options)
}

/// Renames a closed database file and makes the new name durable.
pub(crate) fn move_into_place(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|source| io_error(from, source))?;
    let dir = to.parent().unwrap_or(Path::new("."));
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| io_error(dir, source))
}

/// Opens an existing file. Whether it is ours is for [`Meta::read`] to say.
pub(crate) fn open_file(file: &Path, options: &Options) -> Result<Database, Error> {
    let mut start = [0; REDB_MAGIC.len()];
    let is_redb = fs::File::open(file)
        .and_then(|mut opened| opened.read_exact(&mut start))
        .map(|()| start == *REDB_MAGIC);
    match is_redb {
        Ok(true) => {}
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            return Err(io_error(file, error));
        }
        _ => {
            return Err(Error::NotAStore {
                path: file.to_owned(),
                reason: "it does not begin like a redb database".to_owned(),
            });
        }
    }
    builder(options).open(file).map_err(|error| opening_error(file, error))
}

const MAGIC_KEY: &str = "magic";
const MAGIC: &[u8] = b"capstan state";
const FORMAT_KEY: &str = "format";
const HEIGHT_KEY: &str = "height";
const ROOT_KEY: &str = "root";
const ROOT_NODE_KEY: &str = "root node";

/// The first bytes of a redb file, from "magic number" in redb's design document.
const REDB_MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder.set_check_integrity_on_open(options.check);
    builder
}

fn initialise_if_empty(db: &Database) -> Result<(), Error> {
    let transaction = db.begin_write()?;
    if transaction.list_tables()?.next().is_some() {
        return Ok(transaction.abort()?);
    }
    transaction.open_table(FLAT)?;
    transaction.open_table(TREE)?;
    transaction.open_table(BLOB)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(MAGIC_KEY, MAGIC)?;
        meta.insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
    }
    Meta::default().write(&transaction)?;
    Ok(transaction.commit()?)
}

fn fixed<const N: usize>(value: Option<Vec<u8>>, name: &str) -> Result<[u8; N], Error> {
    value
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::Damaged(format!("the record `{name}` is missing or malformed")))
}

fn opening_error(file: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => locked(file),
        DatabaseError::UpgradeRequired(version) => Error::NotAStore {
            path: file.to_owned(),
            reason: format!("a redb database of file format {version}"),
        },
        other => other.into(),
    }
}

fn locked(path: &Path) -> Error {
    Error::Locked { path: path.to_owned() }
}

pub(crate) fn io_error(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: PathBuf::from(path), source }
}
