//! Import of an exported state into a new store.

use std::{
    fs,
    path::{Path, PathBuf},
};

use capstan_kernel_ports::{Hash, store::LOCAL};
use redb::{Durability, WriteTransaction};

use crate::{
    Error, Options, StateView, Store,
    disk::{
        checkpoint::{BLOB, FLAT, TREE},
        files::{Files, io_error, move_into_place, with_suffix},
        meta::{FILE, JOURNAL_FILE, Meta},
    },
    export::stream::{Header, Kind, Record},
    proven::{PROVEN, app_hash::app_hash, check::check_alone},
    tree::{
        node::{Node, hash_kv, hash_value, printable},
        record::encode_alone,
        state_tree::TAG,
    },
};

/// Properties that the state of an [`Import`] must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Height at which it was committed.
    pub height: u64,
    /// App hash, from a trusted source.
    pub app_hash: Hash,
    /// Accept keys that begin with `local.` too. Nothing can check them, so the export must come from this node or
    /// from one as trusted.
    pub local: bool,
}

/// A state that is being imported, in files next to those of the future store. Dropping it unfinished deletes them.
///
/// Whatever the stream contains, it costs at most the memory of one record and one batch. No store appears before
/// [`Import::finish`] has checked all of it against the expected root.
pub struct Import {
    /// `None` only while it is being finished or dropped.
    files: Option<Files>,
    directory: PathBuf,
    file: PathBuf,
    journal_file: PathBuf,
    options: Options,
    expected: Expected,
    /// The beginning of a record that is not complete yet.
    partial: Vec<u8>,
    /// The header, once it has arrived.
    header: Option<Header>,
    /// The last record, which must be less than the next one.
    last: Option<(Kind, Vec<u8>)>,
    records: u64,
    /// Bytes written since the last sync.
    unsynced_bytes: usize,
}

impl Import {
    /// Begins an import into `directory`, which must not have a store.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Exists`] if it has one, [`Error::Locked`] if another import is under way there, and
    /// [`Error::Io`].
    pub fn begin(
        directory: impl AsRef<Path>,
        options: Options,
        expected: Expected,
    ) -> Result<Self, Error> {
        let directory = directory.as_ref().to_owned();
        fs::create_dir_all(&directory).map_err(|error| io_error(&directory, error))?;
        check_vacant(&directory)?;
        let file = with_suffix(&directory.join(FILE), "import");
        let journal_file = with_suffix(&directory.join(JOURNAL_FILE), "import");
        Ok(Self {
            files: Some(Files::replace(&file, &journal_file, &options)?),
            directory,
            file,
            journal_file,
            options,
            expected,
            partial: Vec::new(),
            header: None,
            last: None,
            records: 0,
            unsynced_bytes: 0,
        })
    }

    /// Takes the next chunk of the stream.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Import`] or [`Error::ImportedRoot`] if the stream cannot be one of the expected state. The
    /// import must then be dropped.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.partial.extend_from_slice(bytes);
        let mut stream = std::mem::take(&mut self.partial);
        let mut rest = stream.as_slice();
        let transaction = self.begin_write()?;
        while let Some(record) = Record::take(&mut rest)? {
            self.record(&record, &transaction)?;
        }
        transaction.commit()?;
        let taken = stream.len() - rest.len();
        stream.drain(..taken);
        self.partial = stream;
        Ok(())
    }

    /// Checks the whole imported state and opens it as a store.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Import`], [`Error::ImportedRoot`] or [`Error::Damaged`] if it is not the whole expected
    /// state. Nothing of it remains then.
    pub fn finish(mut self) -> Result<Store, Error> {
        if !matches!(self.last, Some((Kind::End, _))) || !self.partial.is_empty() {
            return Err(Error::Import("it ends early".into()));
        }
        let mut files = self.files.take().ok_or_else(given_up)?;
        self.write_meta(&mut files)?;
        let store = Store::over(files, self.file.clone(), self.options.clone())?;
        check(&store.reader(), &self.expected)?;
        drop(store);
        check_vacant(&self.directory)?;
        // The state last: a store exists where its file exists.
        let (state, journal) = (self.directory.join(FILE), self.directory.join(JOURNAL_FILE));
        move_into_place([(&self.journal_file, &journal), (&self.file, &state)])?;
        Store::open(&self.directory, self.options.clone())
    }

    fn begin_write(&mut self) -> Result<WriteTransaction, Error> {
        let files = self.files.as_ref().ok_or_else(given_up)?;
        let mut transaction = files.state.begin_write()?;
        match self.unsynced_bytes >= SYNC_BYTES {
            true => self.unsynced_bytes = 0,
            false => transaction.set_durability(Durability::None)?,
        }
        Ok(transaction)
    }

    fn record(&mut self, record: &Record<'_>, transaction: &WriteTransaction) -> Result<(), Error> {
        self.check_order(record)?;
        let Record { kind, key, value } = *record;
        match kind {
            Kind::Header => return self.take_header(record),
            Kind::Node => {
                let record = node_record(key, value)?;
                transaction.open_table(TREE)?.insert(key, record.as_slice())?;
            }
            Kind::Entry
                if key.starts_with(LOCAL) && !key.starts_with(PROVEN) && !self.expected.local =>
            {
                return Err(Error::Import("it has local keys, which are not asked for".into()));
            }
            Kind::Entry => {
                transaction.open_table(FLAT)?.insert(key, value)?;
            }
            Kind::Blob => {
                let name: [u8; 32] = key
                    .try_into()
                    .map_err(|_| Error::Import("a blob whose name is no hash".into()))?;
                transaction.open_table(BLOB)?.insert(name, value)?;
            }
            Kind::End if value == self.records.to_be_bytes() => return Ok(()),
            Kind::End => return Err(Error::Import("records are missing".into())),
        }
        self.records += 1;
        self.unsynced_bytes += key.len() + value.len();
        Ok(())
    }

    /// Checks that the header comes first, each section is in key order, and nothing follows the end.
    fn check_order(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let in_order = match &self.last {
            None => record.kind == Kind::Header,
            Some((kind, key)) => {
                *kind != Kind::End && (*kind, key.as_slice()) < (record.kind, record.key)
            }
        };
        if !in_order || (record.kind != Kind::End && record.key.is_empty()) {
            return Err(Error::Import(format!("record {} is out of order", self.records)));
        }
        match &mut self.last {
            Some((kind, key)) => {
                *kind = record.kind;
                key.clear();
                key.extend_from_slice(record.key);
            }
            None => self.last = Some((record.kind, record.key.to_vec())),
        }
        Ok(())
    }

    fn take_header(&mut self, record: &Record<'_>) -> Result<(), Error> {
        if self.header.is_some() {
            return Err(Error::Import("it has two headers".into()));
        }
        let header = Header::decode(record)?;
        if header.height != self.expected.height {
            return Err(Error::Import(format!(
                "it is of height {}, expected {}",
                header.height, self.expected.height
            )));
        }
        check_app_hash(app_hash(&Hash(header.proven), &Hash(header.root)), &self.expected)?;
        self.header = Some(header);
        Ok(())
    }

    fn write_meta(&mut self, files: &mut Files) -> Result<(), Error> {
        let header = self.header.take().ok_or_else(|| Error::Import("it has no header".into()))?;
        let meta = Meta {
            height: header.height,
            serial: 0,
            root: Hash(header.root),
            proven: Hash(header.proven),
            root_key: header.root_key,
        };
        files.journal.begin(&meta)?;
        let transaction = files.state.begin_write()?;
        meta.write(&transaction)?;
        Ok(transaction.commit()?)
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        drop(self.files.take());
        // Already renamed after a success. If they cannot be removed, the next import tries again.
        let _ = fs::remove_file(&self.file);
        let _ = fs::remove_file(&self.journal_file);
    }
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import")
            .field("file", &self.file)
            .field("expected", &self.expected)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// Number of bytes after which a write is synced. Unsynced writes keep every page that they have replaced.
const SYNC_BYTES: usize = 64 << 20;

/// Returns the record of the state's file for a node. The tree holds no node's hashes, so they are checked here.
fn node_record(key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let node = Node::parse(bytes).map_err(|problem| problem.at(key))?;
    let value_hash = hash_value(&node.value);
    let is_bound = value_hash == node.value_hash && hash_kv(key, &value_hash) == node.kv_hash;
    match is_bound && node.value[0] == TAG {
        true => Ok(encode_alone(&node)),
        false => Err(Error::Damaged(format!(
            "the tree node {:?} has a value that does not give its hash",
            printable(key)
        ))),
    }
}

fn given_up() -> Error {
    Error::Import("it was given up".into())
}

fn check(state: &StateView, expected: &Expected) -> Result<(), Error> {
    check_app_hash(state.app_hash(), expected)?;
    state.check_integrity()?;
    check_alone(state)
}

fn check_app_hash(found: Hash, expected: &Expected) -> Result<(), Error> {
    match found == expected.app_hash {
        true => Ok(()),
        false => Err(Error::ImportedRoot { found, expected: expected.app_hash }),
    }
}

fn check_vacant(directory: &Path) -> Result<(), Error> {
    let path = directory.join(FILE);
    match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::Exists { path }),
        Err(error) => Err(io_error(&path, error)),
    }
}
