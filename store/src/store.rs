//! The store: the committed state, and the two steps that replace it by the next one.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use capstan_kernel_ports::{Hash, store::MAX_VALUE_BYTES};
use redb::{StorageBackend, backends::InMemoryBackend};

use crate::{
    Block, Counts, Error, Options, Past, Prepared, StateView,
    changes::Changes,
    commit::{
        flush::Flusher,
        net::{check_length, net_writes, tree_changes},
        replay::{Replayed, replay},
    },
    counts::Counters,
    disk::{checkpoint::Checkpoint, entry::Entry, files::Files, journal::Journal, meta::FILE},
    proven::versions::advance,
    tree::{
        evict::Eviction,
        merk,
        state_tree::{Applied, Change},
    },
};

/// The state of a chain, in a directory.
///
/// A block's life is [`Store::begin_block`], execution on the [`Block`], [`Store::prepare`] for the root, and
/// [`Store::commit`] or [`Store::discard`]. Nothing is written before the commit. All methods take `&self`, so other
/// threads may call [`Store::reader`] at any time.
pub struct Store {
    current: RwLock<StateView>,
    /// Locked while a block is prepared or committed, so that there is one writer at a time.
    writer: Mutex<Writer>,
    past: Past,
    path: PathBuf,
    options: Options,
    counters: Arc<Counters>,
}

/// The parts of a store that only its writer needs.
struct Writer {
    /// Which nodes of the tree stay in memory.
    eviction: Eviction,
    journal: Journal,
    flusher: Flusher,
    past: Past,
    /// See [`Options::left_bytes`].
    left_bytes: usize,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What is not durable must not reach the state's file.
        if self.journal.write().is_ok() {
            self.flusher.close(&self.past, self.left_bytes);
        }
    }
}

impl Store {
    /// Opens the store in the directory `path`, or creates an empty one there.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Locked`] if another process has the store open, [`Error::NotAStore`] and [`Error::Format`] if
    /// the files are something else, and [`Error::Damaged`] if the journal does not continue the state's file.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let files = Files::open(path, &options)?;
        Self::checked_over(files, path.join(FILE), options)
    }

    /// Creates an empty store in memory, for tests. It differs from one of [`Store::open`] only in its media.
    pub fn in_memory() -> Result<Self, Error> {
        Self::on_backends(InMemoryBackend::new(), InMemoryBackend::new(), Options::default())
    }

    /// Opens the store on two [`StorageBackend`]s, or creates an empty one there. `state` and `journal` stand
    /// for the two files.
    pub fn on_backends(
        state: impl StorageBackend,
        journal: impl StorageBackend,
        options: Options,
    ) -> Result<Self, Error> {
        let files = Files::on_backends(state, journal, &options)?;
        Self::checked_over(files, "the state's medium".into(), options)
    }

    /// Returns the committed height, 0 before the first commit.
    pub fn height(&self) -> u64 {
        self.reader().height()
    }

    /// Returns the committed root hash. It is zero if no key outside `local.` exists.
    pub fn root(&self) -> Hash {
        self.reader().root()
    }

    /// Returns the app hash of the committed state: see [`StateView::app_hash`].
    pub fn app_hash(&self) -> Hash {
        self.reader().app_hash()
    }

    /// Returns a [`StateView`] of the committed state. Later commits do not change it.
    pub fn reader(&self) -> StateView {
        // The view is replaced as a whole, so a panic elsewhere cannot leave half of one.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the states of the last heights, which go on with later commits.
    pub fn past(&self) -> Past {
        self.past.clone()
    }

    /// Begins a [`Block`] over the committed state.
    pub fn begin_block(&self) -> Block {
        Block::new(self.reader())
    }

    /// Computes the root of the state that `block` leads to. Writes nothing.
    ///
    /// # Errors
    ///
    /// Returns [`Error::OpenLevels`], [`Error::Stale`], [`Error::EmptyKey`] or [`Error::TooLong`] if the caller is at
    /// fault. The block is lost then, and the store is unchanged. All other errors are faults of this node.
    pub fn prepare(&self, mut block: Block) -> Result<Prepared, Error> {
        if block.levels() > 1 {
            return Err(Error::OpenLevels(block.levels()));
        }
        let (height, records) = block.take_proven();
        let (level, committed) = block.into_parts();
        let base = committed.state();
        let mut writer = self.lock();
        self.check_current(base)?;
        let mut flat = net_writes(level.writes, committed.values())?;
        let mut blobs = Vec::new();
        for (hash, bytes) in level.blobs {
            check_length("blob", bytes.len(), MAX_VALUE_BYTES)?;
            if !base.has_blob(&hash)? {
                blobs.push((hash, bytes.into()));
            }
        }
        let changes = tree_changes(&flat);
        let applied = self.apply(&mut writer.eviction, &changes)?;
        let root = applied.as_ref().map_or(base.root(), |applied| applied.root);
        let advanced = advance(base, height, &records, root, self.options.retain_heights)?;
        let proven = advanced.as_ref().map(|advanced| advanced.root);
        if let Some(advanced) = advanced {
            flat.extend(advanced.writes);
            flat.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        let (base, gaps) = committed.into_parts();
        Ok(Prepared { base, entry: Entry { flat, blobs }, applied, proven, gaps })
    }

    /// Commits a prepared block as the state at `height`, in one transaction that is durable when this returns.
    ///
    /// After an error the committed state is the old one. If the database cannot tell any more, the next
    /// [`Store::open`] finds either the old or the new state, never a mixture.
    pub fn commit(&self, prepared: Prepared, height: u64) -> Result<(), Error> {
        self.write(prepared, height, Durability::OnDisk)
    }

    /// Commits like [`Store::commit`], but without waiting for the disk.
    ///
    /// The commit becomes durable with the next [`Store::commit`], or when the journal has grown long. A crash before
    /// that leaves the last durable state. It is meant for bulk loading.
    pub fn commit_unsynced(&self, prepared: Prepared, height: u64) -> Result<(), Error> {
        self.write(prepared, height, Durability::Later)
    }

    /// Drops a [`Prepared`] block. The committed state stays as it is.
    pub fn discard(&self, prepared: Prepared) {
        drop(prepared);
    }

    /// Returns what the store has done since it was opened.
    pub fn counts(&self) -> Counts {
        self.counters.counts()
    }

    fn checked_over(files: Files, path: PathBuf, options: Options) -> Result<Self, Error> {
        let check = options.check_integrity;
        let store = Self::over(files, path, options)?;
        if check {
            store.reader().check_integrity()?;
        }
        Ok(store)
    }

    pub(crate) fn over(files: Files, path: PathBuf, options: Options) -> Result<Self, Error> {
        let (state, mut journal) = (Arc::new(files.state), files.journal);
        let checkpoint = Arc::new(Checkpoint::take(&state, &path)?);
        let counters = Arc::new(Counters::default());
        let mut flusher = Flusher::new(state, path.clone(), &options, counters.clone());
        let Replayed { eviction, states } =
            replay(&mut journal, checkpoint, &options, &mut flusher, &counters)?;
        let past = Past::default();
        let mut current = None;
        for (state, weight_bytes) in states {
            past.add(state.clone(), weight_bytes, options.retain_heights, options.past_bytes());
            current = Some(state);
        }
        let current = current.ok_or_else(|| Error::Damaged("there is no state".to_owned()))?;
        Ok(Self {
            current: RwLock::new(current),
            writer: Mutex::new(Writer {
                eviction,
                journal,
                flusher,
                past: past.clone(),
                left_bytes: options.left_bytes,
            }),
            past,
            path,
            options,
            counters,
        })
    }

    /// Goes on with the store that `make` returns, in the place of the present one.
    pub(crate) fn take_over(
        &self,
        make: impl FnOnce() -> Result<Self, Error>,
    ) -> Result<(), Error> {
        let mut writer = self.lock();
        let other = make()?;
        let state = other.reader();
        *writer = other.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        writer.past = self.past.clone();
        self.past.restart(state.clone());
        self.publish(state);
        Ok(())
    }

    fn check_current(&self, base: &StateView) -> Result<(), Error> {
        let current = self.reader();
        match current.is(base) {
            true => Ok(()),
            false => Err(Error::Stale { began: base.height(), committed: current.height() }),
        }
    }

    /// Applies `changes` to the tree of the committed state.
    fn apply(&self, eviction: &mut Eviction, changes: &[Change]) -> Result<Option<Applied>, Error> {
        if changes.is_empty() {
            return Ok(None);
        }
        let current = self.reader();
        let (tree, checkpoint) = (current.tree()?.clone(), current.checkpoint());
        let mut applied = merk::apply(tree, &[changes], checkpoint, current.meta().serial + 1)?;
        self.counters.add_tree(applied.counts);
        eviction.evict(&mut applied.tree, applied.added, current.checkpoint_serial());
        Ok(Some(applied))
    }

    fn write(&self, prepared: Prepared, height: u64, durability: Durability) -> Result<(), Error> {
        let mut writer = self.lock();
        let Writer { journal, flusher, .. } = &mut *writer;
        self.check_current(&prepared.base)?;
        let committed = prepared.base.height();
        if height < committed || (height == committed && committed > 0) {
            return Err(Error::Height { wanted: height, committed });
        }
        let durable = matches!(durability, Durability::OnDisk) || flusher.is_due();
        let meta = prepared.meta(height);
        let mut current = prepared.base;
        if let Some(checkpoint) = flusher.settle(&current)? {
            let over = current.over(checkpoint);
            self.publish(over.clone());
            flusher.forget(std::mem::replace(&mut current, over));
            journal.release(current.checkpoint_serial());
        }
        let bytes = journal.commit(&prepared.entry, &meta, durable)?;
        self.counters.add_journal(bytes);
        let weight_bytes = prepared.entry.weight_bytes();
        flusher.journaled(meta.serial, weight_bytes, durable);
        let Entry { flat, blobs } = prepared.entry;
        let (tree, gone) = match prepared.applied {
            Some(Applied { tree, gone, .. }) => (tree, gone),
            None => (current.tree()?.clone(), Vec::new()),
        };
        let changes = Changes { flat, gone, blobs };
        current = current.advance(meta, changes, Some(tree), &prepared.gaps);
        current = flusher.begin(current);
        self.publish(current.clone());
        let (heights, max_bytes) = (self.options.retain_heights, self.options.past_bytes());
        for (gone, is_large) in self.past.add(current, weight_bytes, heights, max_bytes) {
            if is_large {
                flusher.forget(gone);
            }
        }
        Ok(())
    }

    fn publish(&self, state: StateView) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // Eviction has an estimate alone, and the flusher's fields are consistent at any time. So a panic leaves nothing
        // broken here.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time at which a commit must be durable.
enum Durability {
    /// The commit is durable when it returns.
    OnDisk,
    /// The commit becomes durable together with a later one.
    Later,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("height", &self.height())
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}
