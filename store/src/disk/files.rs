//! The two files: creating, opening and replacing them.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use redb::{Builder, Database, DatabaseError, StorageBackend, backends::FileBackend};

use crate::{
    Error, Options,
    disk::{
        checkpoint,
        journal::Journal,
        meta::{FILE, JOURNAL_FILE, Meta},
    },
};

/// The open files of a store.
pub(crate) struct Files {
    pub(crate) state: Database,
    pub(crate) journal: Journal,
}

impl Files {
    /// Opens the store in the directory `dir`, or creates an empty one there.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let (state_file, journal_file) = (dir.join(FILE), dir.join(JOURNAL_FILE));
        fs::create_dir_all(dir).map_err(|source| io_error(dir, source))?;
        if !exists(&state_file)? {
            // Created under other names and renamed, so that a crash leaves a whole store or none. A journal without
            // a state means nothing, so it is replaced.
            let (fresh, fresh_journal) =
                (with_suffix(&state_file, "new"), with_suffix(&journal_file, "new"));
            drop(Self::create(&fresh, &fresh_journal, options)?);
            move_into_place([(&fresh_journal, &journal_file), (&fresh, &state_file)])?;
        }
        // The state first: it tells whether another process has the store open.
        let state = open_file(&state_file, builder(options))?;
        if !exists(&journal_file)? {
            checkpoint::read_meta(&state, &state_file)?; // says so if it is something else
            return Err(Error::Damaged(format!("{} is missing", journal_file.display())));
        }
        let journal = Journal::open(existing_backend(&journal_file)?, &journal_file)?;
        Ok(Self { state, journal })
    }

    /// Opens a store on two storage backends, or creates an empty one if they are empty.
    pub(crate) fn on_backends(
        state: impl StorageBackend,
        journal: impl StorageBackend,
        options: &Options,
    ) -> Result<Self, Error> {
        let (journal, path) = (Box::new(journal), Path::new(JOURNAL_MEDIUM));
        let state = builder(options).create_with_backend(state)?;
        if checkpoint::is_empty(&state)? {
            return Self::empty(state, journal, path);
        }
        Ok(Self { state, journal: Journal::open(journal, path)? })
    }

    /// Opens the files of a restoration on two storage backends, or creates an empty store there. The journal is empty.
    pub(crate) fn for_restoration(
        state: impl StorageBackend,
        journal: impl StorageBackend,
        options: &Options,
    ) -> Result<Self, Error> {
        let state = builder(options).create_with_backend(state)?;
        Self::empty(state, Box::new(journal), Path::new(JOURNAL_MEDIUM))
    }

    /// Creates an empty store in files that do not exist, or that an interrupted call left behind.
    pub(crate) fn create(state: &Path, journal: &Path, options: &Options) -> Result<Self, Error> {
        let state = create_file(state, builder(options))?;
        Self::empty(state, new_backend(journal)?, journal)
    }

    /// Creates an empty store in these files. Files that exist and are not open are deleted first.
    pub(crate) fn replace(state: &Path, journal: &Path, options: &Options) -> Result<Self, Error> {
        for file in [state, journal] {
            if exists(file)? {
                if let Err(DatabaseError::DatabaseAlreadyOpen) = builder(options).open(file) {
                    return Err(locked(file));
                }
                fs::remove_file(file).map_err(|source| io_error(file, source))?;
            }
        }
        Self::create(state, journal, options)
    }

    /// Opens a state's file that an interrupted restoration left behind, with an empty journal.
    pub(crate) fn reopen(state: &Path, journal: &Path, options: &Options) -> Result<Self, Error> {
        let state = open_file(state, builder(options))?;
        Self::empty(state, new_backend(journal)?, journal)
    }

    /// Empties the journal, and creates the tables of the state's file if there are none. The journal comes first: a state
    /// whose file has tables has a journal.
    fn empty(
        state: Database,
        journal: Box<dyn StorageBackend>,
        path: &Path,
    ) -> Result<Self, Error> {
        let journal = Journal::create(journal, path, &Meta::default())?;
        checkpoint::initialise_if_empty(&state)?;
        Ok(Self { state, journal })
    }
}

/// Returns the path of `file` with one more suffix.
pub(crate) fn with_suffix(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Renames closed files, one after the other, and makes the new names durable.
pub(crate) fn move_into_place(files: [(&Path, &Path); 2]) -> Result<(), Error> {
    for (from, to) in files {
        fs::rename(from, to).map_err(|source| io_error(from, source))?;
        sync_dir(to.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| io_error(dir, error))
}

pub(crate) fn io_error(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: PathBuf::from(path), source }
}

/// Opens an existing file of a database. Its tables tell later whether it is ours.
fn open_file(file: &Path, builder: Builder) -> Result<Database, Error> {
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
    builder.open(file).map_err(|error| opening_error(file, error))
}

fn create_file(file: &Path, builder: Builder) -> Result<Database, Error> {
    match builder.create(file) {
        Ok(db) => Ok(db),
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(locked(file)),
        Err(_) => {
            fs::remove_file(file).map_err(|source| io_error(file, source))?;
            builder.create(file).map_err(|error| opening_error(file, error))
        }
    }
}

/// First bytes of a redb file, from "magic number" in redb's design document.
const REDB_MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Name of the journal in messages if it is no file.
const JOURNAL_MEDIUM: &str = "the journal's medium";

fn existing_backend(file: &Path) -> Result<Box<dyn StorageBackend>, Error> {
    let opened = fs::OpenOptions::new().read(true).write(true).open(file);
    Ok(Box::new(FileBackend::new(opened.map_err(|error| io_error(file, error))?)?))
}

/// Creates a file, or opens one whose content is to be replaced.
fn new_backend(file: &Path) -> Result<Box<dyn StorageBackend>, Error> {
    let opened =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(file);
    Ok(Box::new(FileBackend::new(opened.map_err(|error| io_error(file, error))?)?))
}

fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder.set_check_integrity_on_open(options.check_integrity);
    builder
}

/// Returns whether a file exists.
pub(crate) fn exists(file: &Path) -> Result<bool, Error> {
    file.try_exists().map_err(|source| io_error(file, source))
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
