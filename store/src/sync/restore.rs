//! Restoring of a state from the chunks of a snapshot.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use capstan_kernel_ports::{Hash, artifact::ArtifactSink};
use redb::{Durability, StorageBackend, WriteTransaction};

use crate::{
    Error, Options, StateView, Store,
    disk::{
        checkpoint::read_meta,
        files::{Files, exists, io_error, move_into_place, sync_dir, with_suffix},
        meta::{FILE, JOURNAL_FILE, Meta},
    },
    proven::check::check_alone,
    sync::{
        building::Building,
        format::{CHUNK_BYTES, SnapshotHead, chunk_hash},
        progress::{self, Progress},
        write::artifact_error,
    },
};

/// Bound of the database's page cache during a restoration, in bytes: a few chunks. Chunks come in the order of keys, so
/// more would not make them faster.
const CACHE_BYTES: usize = 4 * CHUNK_BYTES as usize;

/// A state that is being restored, in files next to those of a store.
///
/// Each chunk is checked against the app hash before it is accepted, and is on disk when [`Restore::chunk`] returns. The
/// files stay when a restoration is dropped, so that another one goes on from the last whole record.
pub struct Restore {
    files: Files,
    place: Option<Place>,
    options: Options,
    head: Arc<SnapshotHead>,
    progress: Progress,
}

/// The paths of the files until the state takes its place.
#[derive(Clone, Debug)]
struct Place {
    directory: PathBuf,
    state: PathBuf,
    journal: PathBuf,
}

/// Reason why a chunk is refused.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// The chunk is not the one that chunk 0 names. Whoever sent it is at fault. Another copy may be right.
    #[error("chunk {index} has the SHA-256 {found}, where the snapshot names {expected}")]
    Other {
        /// Number of the chunk.
        index: u32,
        /// SHA-256 of what was sent.
        found: Hash,
        /// SHA-256 in chunk 0.
        expected: Hash,
    },
    /// Chunks before this one are missing.
    #[error("chunk {index} cannot be taken before chunk {next}")]
    Early {
        /// Number of the chunk.
        index: u32,
        /// Number of the next chunk that is needed.
        next: u32,
    },
    /// The snapshot has no such chunk.
    #[error("the snapshot has no chunk {0}")]
    Beyond(u32),
    /// The chunk is the one that chunk 0 names, and is not of the state with the app hash. Whoever made the snapshot is
    /// at fault.
    #[error("chunk {index} of the snapshot is forged: {problem}")]
    Forged {
        /// Number of the chunk.
        index: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// This node failed.
    #[error(transparent)]
    Node(#[from] Error),
}

impl Restore {
    /// Begins a restoration in `directory`, or goes on with one of the same snapshot that was interrupted there. One of
    /// another snapshot is dropped. The store in `directory` is not touched.
    ///
    /// The caller has checked the head's app hash.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Locked`] if another restoration is under way there, and errors of this node.
    pub fn begin(
        directory: impl AsRef<Path>,
        options: Options,
        head: SnapshotHead,
        sink: &mut dyn ArtifactSink,
    ) -> Result<Self, Error> {
        let place = Place::of(directory.as_ref());
        fs::create_dir_all(&place.directory).map_err(|error| io_error(&place.directory, error))?;
        let modest = modest(&options);
        if let Some(files) = place.open(&modest)
            // One that another version began is begun anew.
            && read_meta(&files.state, &place.state).is_ok()
            && let Some(progress) = resumed(&files, &head, sink)?
        {
            let head = Arc::new(head);
            return Ok(Self { files, place: Some(place), options, head, progress });
        }
        let files = Files::replace(&place.state, &place.journal, &modest)?;
        Self::fresh(files, Some(place), options, head)
    }

    /// Begins a restoration on two storage backends, or goes on with one that was interrupted there. It differs from one of
    /// [`Restore::begin`] only in its media.
    ///
    /// # Errors
    ///
    /// As [`Restore::begin`]. Media with another restoration are refused.
    pub fn on_backends(
        state: impl StorageBackend,
        journal: impl StorageBackend,
        options: Options,
        head: SnapshotHead,
        sink: &mut dyn ArtifactSink,
    ) -> Result<Self, Error> {
        let files = Files::for_restoration(state, journal, &modest(&options))?;
        match resumed(&files, &head, sink)? {
            Some(progress) => {
                Ok(Self { files, place: None, options, head: Arc::new(head), progress })
            }
            None => Self::fresh(files, None, options, head),
        }
    }

    /// Returns the head of the snapshot.
    pub fn head(&self) -> &SnapshotHead {
        &self.head
    }

    /// Returns the number of the next chunk, which is that of all chunks when the last one was taken.
    pub fn next_chunk(&self) -> u32 {
        self.progress.next()
    }

    /// Takes the next chunk. A chunk that was taken before is passed over.
    ///
    /// # Errors
    ///
    /// Returns a [`ChunkError`]. Nothing of the chunk remains then.
    pub fn chunk(
        &mut self,
        index: u32,
        bytes: &[u8],
        sink: &mut dyn ArtifactSink,
    ) -> Result<(), ChunkError> {
        let next = self.progress.next();
        if index < next {
            return Ok(());
        }
        let named = (index as usize).checked_sub(1).and_then(|at| self.head.chunks.get(at));
        let expected = *named.ok_or(ChunkError::Beyond(index))?;
        if index > next {
            return Err(ChunkError::Early { index, next });
        }
        let found = chunk_hash(bytes);
        if found != expected {
            return Err(ChunkError::Other { index, found, expected });
        }
        let mut progress = self.progress.go_on();
        let position = sink.position();
        let written = self.write(|transaction, head| {
            progress.chunk(head, bytes, &mut Building::open(transaction)?, sink)?;
            progress::save(transaction, &progress)
        });
        match written {
            Ok(()) => {
                self.progress = progress;
                Ok(())
            }
            Err(error) => {
                self.progress.take_back(progress);
                sink.resume(&position).map_err(artifact_error)?;
                Err(match error {
                    Error::Snapshot(problem) => ChunkError::Forged { index, problem },
                    other => other.into(),
                })
            }
        }
    }

    /// Checks the whole restored state. Returns it as [`Restored`], which is not in its place yet.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Snapshot`] if chunks are missing, and [`Error::Damaged`] if the state is not what its root says.
    pub fn finish(mut self) -> Result<Restored, Error> {
        let meta = Meta {
            height: self.head.height,
            serial: 0,
            root: self.head.root,
            proven: self.head.proven,
            root_key: self.progress.root_key(),
        };
        let progress = &self.progress;
        self.write(|transaction, head| {
            progress.finish(head, &mut Building::open(transaction)?)?;
            meta.write(transaction)
        })?;
        self.files.journal.begin(&meta)?;
        let path = match &self.place {
            Some(place) => place.state.clone(),
            None => "the state's medium".into(),
        };
        let store = Store::over(self.files, path, self.options.clone())?;
        check(&store.reader())?;
        Ok(Restored { store, place: self.place, options: self.options })
    }

    fn fresh(
        files: Files,
        place: Option<Place>,
        options: Options,
        head: SnapshotHead,
    ) -> Result<Self, Error> {
        let this = Self { files, place, options, head: Arc::new(head), progress: Progress::new() };
        this.write(|transaction, head| {
            progress::save_head(transaction, &head.encode())?;
            progress::save(transaction, &this.progress)
        })?;
        Ok(this)
    }

    /// Runs `work` in a transaction that is durable when this returns. Nothing is written after an error.
    fn write(
        &self,
        work: impl FnOnce(&WriteTransaction, &SnapshotHead) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut transaction = self.files.state.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(true); // see `Checkpoint::write`
        match work(&transaction, &self.head) {
            Ok(()) => Ok(transaction.commit()?),
            Err(error) => {
                transaction.abort()?;
                Err(error)
            }
        }
    }
}

impl Place {
    fn of(directory: &Path) -> Self {
        let named = |name| with_suffix(&directory.join(name), "sync");
        Self { directory: directory.to_owned(), state: named(FILE), journal: named(JOURNAL_FILE) }
    }

    /// Opens the files of a restoration that was interrupted. Returns `None` if they are none, or cannot be used.
    fn open(&self, options: &Options) -> Option<Files> {
        let is_there = exists(&self.state).ok()?;
        is_there.then(|| Files::reopen(&self.state, &self.journal, options).ok()).flatten()
    }

    fn delete(&self) -> Result<(), Error> {
        for file in [&self.state, &self.journal] {
            if exists(file)? {
                fs::remove_file(file).map_err(|error| io_error(file, error))?;
            }
        }
        Ok(())
    }
}

/// Returns the options of the files until the state takes its place.
fn modest(options: &Options) -> Options {
    Options { cache_bytes: options.cache_bytes.min(CACHE_BYTES), ..options.clone() }
}

/// Returns how far an interrupted restoration of the same snapshot has come, and brings the sink there.
fn resumed(
    files: &Files,
    head: &SnapshotHead,
    sink: &mut dyn ArtifactSink,
) -> Result<Option<Progress>, Error> {
    let Some((found, progress)) = progress::load(&files.state)? else { return Ok(None) };
    if found != head.encode() {
        return Ok(None);
    }
    if !progress.artifacts().is_empty() {
        sink.resume(progress.artifacts()).map_err(artifact_error)?;
    }
    Ok(Some(progress))
}

fn check(state: &StateView) -> Result<(), Error> {
    state.check_integrity()?;
    check_alone(state)
}

/// A restored state that was checked, before it takes the place of a store's.
pub struct Restored {
    store: Store,
    place: Option<Place>,
    options: Options,
}

impl Restored {
    /// Returns the restored state.
    pub fn state(&self) -> StateView {
        self.store.reader()
    }

    /// Puts the state in the place of the one of `store`, which goes on with it. Views of the old state stay as they are.
    ///
    /// A crash leaves the restored state, or an empty store and the restoration, which can be finished again.
    ///
    /// # Errors
    ///
    /// Returns the errors of this node. `store` must not be used any more then.
    pub fn replace(self, store: &Store) -> Result<(), Error> {
        store.take_over(|| self.settle())
    }

    /// Puts the state in its place, where no store with a block may be, and opens it.
    ///
    /// # Errors
    ///
    /// Returns the errors of this node.
    pub fn settle(self) -> Result<Store, Error> {
        let Self { store, place, options } = self;
        let Some(place) = place else { return Ok(store) };
        drop(store);
        let (state, journal) = (place.directory.join(FILE), place.directory.join(JOURNAL_FILE));
        // A store exists where its state's file exists: there is none until the last step.
        if exists(&state)? {
            fs::remove_file(&state).map_err(|error| io_error(&state, error))?;
            sync_dir(&place.directory)?;
        }
        move_into_place([(&place.journal, &journal), (&place.state, &state)])?;
        let files = Files::open(&place.directory, &options)?;
        let transaction = files.state.begin_write()?;
        progress::remove(&transaction)?;
        transaction.commit()?;
        Store::over(files, state, options)
    }

    /// Drops the state and deletes its files.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if a file cannot be deleted.
    pub fn delete(self) -> Result<(), Error> {
        drop(self.store);
        self.place.map_or(Ok(()), |place| place.delete())
    }
}

/// Deletes what an interrupted restoration left in `directory`.
///
/// # Errors
///
/// Returns [`Error::Io`] if a file cannot be deleted.
pub fn forget_restoration(directory: impl AsRef<Path>) -> Result<(), Error> {
    Place::of(directory.as_ref()).delete()
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore")
            .field("height", &self.head.height)
            .field("next", &self.progress.next())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restored").field("store", &self.store).finish_non_exhaustive()
    }
}
