//! The store: one database, its committed state, and the way from one to the next.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use capstan_kernel_ports::{
    Hash,
    store::{LOCAL, MAX_KEY_BYTES, MAX_VALUE_BYTES},
};
use redb::{StorageBackend, backends::InMemoryBackend};

use crate::{
    Block, Error, Snapshot,
    block::Writes,
    checkpoint::Checkpoint,
    committed::Known,
    db::{FILE, JOURNAL_FILE, Meta},
    files::Files,
    flush::Flusher,
    journal::{Entry, Journal},
    memory::{Changes, Written},
    merk::MerkTree,
    threads::both,
    tree::{Applied, Change, StateTree, leaf, tree_key},
};

/// How a store is run. None of it has any influence on the state.
#[derive(Clone, Debug)]
pub struct Options {
    /// The memory that the database may use as cache, in bytes.
    pub cache_bytes: usize,
    /// How many nodes of the Merkle tree stay in memory, about: a node takes some 900 bytes. Others are
    /// read anew in each block that changes something below them.
    pub tree_nodes: usize,
    /// The state's file is written each time the journal is so long, in bytes, where every change counts
    /// a thousand bytes more than it has. An opening does again what is in the journal; what is in it is
    /// in memory too.
    pub journal_bytes: usize,
    /// Write the state's file in a thread of its own, while blocks go on. Otherwise a commit writes it, every
    /// so often, and takes that much longer: for tests that must be the same at every run.
    pub background: bool,
    /// Check the whole store when it is opened: the checksums of the file and all that
    /// [`Snapshot::deep_check`] checks. Reads everything; for a file that is under suspicion.
    pub check: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            tree_nodes: 200_000,
            journal_bytes: 64 << 20,
            background: true,
            check: false,
        }
    }
}

/// The state of the chain in a directory.
///
/// A block's life: [`Store::begin_block`], execution on the [`Block`], [`Store::prepare`] for the
/// root (nothing is written), then [`Store::commit`] or [`Store::discard`]. All methods take `&self`;
/// readers on other threads take a [`Store::reader`] at any time.
pub struct Store {
    current: RwLock<Snapshot>,
    /// Locked while a block is prepared or committed, so that there is one writer at a time.
    writer: Mutex<Writer>,
    path: PathBuf,
    options: Options,
}

/// What only the one who writes needs.
struct Writer {
    /// The tree of the committed state; none if it has to be read again.
    tree: Option<MerkTree>,
    journal: Journal,
    flusher: Flusher,
}

impl Store {
    /// Opens the store in the directory `path`, or makes an empty one there.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let files = Files::open(path, &options)?;
        Self::checked_over(files, path.join(FILE), path.join(JOURNAL_FILE), options)
    }

    /// An empty store in memory, for tests: all else is the same.
    pub fn in_memory() -> Result<Self, Error> {
        Self::on_backends(InMemoryBackend::new(), InMemoryBackend::new(), Options::default())
    }

    /// A store on any two media that redb can use, one for the state and one for the journal: opens what
    /// lies there or makes an empty one.
    pub fn on_backends(
        state: impl StorageBackend,
        journal: impl StorageBackend,
        options: Options,
    ) -> Result<Self, Error> {
        let files = Files::on_backends(state, journal, &options)?;
        let (path, journal_path) = ("the state's medium".into(), "the journal's medium".into());
        Self::checked_over(files, path, journal_path, options)
    }

    /// The committed height; 0 before the first commit.
    pub fn height(&self) -> u64 {
        self.reader().height()
    }

    /// The committed root hash; zero if no key outside `local.` exists.
    pub fn root(&self) -> Hash {
        self.reader().root()
    }

    /// The committed state, to be read while blocks go on.
    pub fn reader(&self) -> Snapshot {
        // A snapshot is replaced whole, so a panic elsewhere cannot have left half of one.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a block over the committed state.
    pub fn begin_block(&self) -> Block {
        Block::new(self.reader())
    }

    /// Computes the root that the state will have with the writes of `block`. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::OpenLevels`], [`Error::Stale`], [`Error::EmptyKey`], [`Error::TooLong`]: the block is
    /// lost, the store is as before. Others: this node is at fault.
    pub fn prepare(&self, block: Block) -> Result<Prepared, Error> {
        if block.levels() > 1 {
            return Err(Error::OpenLevels(block.levels()));
        }
        let (level, committed) = block.into_parts();
        let base = committed.snapshot().clone();
        let mut writer = self.lock();
        self.check_current(&base)?;
        let flat = net_writes(level.writes, committed.known())?;
        let mut blobs = Vec::new();
        for (hash, bytes) in level.blobs {
            check_length("blob", bytes.len(), MAX_VALUE_BYTES)?;
            if !base.has_blob(&hash)? {
                blobs.push((hash, bytes.into()));
            }
        }
        let changes = tree_changes(&flat);
        let (tree, applied) = self.apply(writer.tree.take(), &changes)?;
        Ok(Prepared { base, entry: Entry { flat, blobs }, tree, applied })
    }

    /// Commits a prepared block as the state at `height`, in one transaction that is on disk when this
    /// returns. After an error the committed state is the old one or, if the database could not tell
    /// any more, is found by opening the store again; it is never a mixture.
    pub fn commit(&self, prepared: Prepared, height: u64) -> Result<(), Error> {
        self.write(prepared, height, Durability::OnDisk)
    }

    /// Like [`Store::commit`], but on disk only with the next [`Store::commit`] or when much has come
    /// together: for loading much data. A crash before that leaves the state that was on disk last.
    pub fn commit_unsynced(&self, prepared: Prepared, height: u64) -> Result<(), Error> {
        self.write(prepared, height, Durability::Later)
    }

    /// Forgets a prepared block. Dropping it does the same; this also keeps the tree in memory if the
    /// block changed nothing.
    pub fn discard(&self, prepared: Prepared) {
        let mut writer = self.lock();
        if prepared.applied.is_none() && self.check_current(&prepared.base).is_ok() {
            writer.tree = prepared.tree;
        }
    }

    fn checked_over(
        files: Files,
        path: PathBuf,
        journal_path: PathBuf,
        options: Options,
    ) -> Result<Self, Error> {
        let check = options.check;
        let store = Self::over(files, path, journal_path, options)?;
        if check {
            store.reader().deep_check()?;
        }
        Ok(store)
    }

    pub(crate) fn over(
        files: Files,
        path: PathBuf,
        journal_path: PathBuf,
        options: Options,
    ) -> Result<Self, Error> {
        let state = Arc::new(files.state);
        let checkpoint = Arc::new(Checkpoint::take(&state, &path)?);
        let (journal, meta) = Journal::open(files.journal, &journal_path)?;
        let done = journal.serials_up_to(checkpoint.meta.serial)?;
        let mut flusher = Flusher::new(state, path.clone(), &options, done);
        let (tree, current) = redo(&journal, meta, checkpoint, &options, &mut flusher)?;
        Ok(Self {
            current: RwLock::new(current),
            writer: Mutex::new(Writer { tree: Some(tree), journal, flusher }),
            path,
            options,
        })
    }

    fn check_current(&self, base: &Snapshot) -> Result<(), Error> {
        let current = self.reader();
        match current.is(base) {
            true => Ok(()),
            false => Err(Error::Stale { began: base.height(), committed: current.height() }),
        }
    }

    /// Applies `changes` to the tree of the committed state, which is read if it is not given.
    fn apply(
        &self,
        tree: Option<MerkTree>,
        changes: &[Change],
    ) -> Result<(Option<MerkTree>, Option<Applied>), Error> {
        if changes.is_empty() {
            return Ok((tree, None));
        }
        let current = self.reader();
        let mut tree = match tree {
            Some(tree) => tree,
            None => MerkTree::open(&current, self.options.tree_nodes)?,
        };
        let applied = tree.apply(&[changes], &current)?;
        Ok((Some(tree), Some(applied)))
    }

    fn write(&self, prepared: Prepared, height: u64, durability: Durability) -> Result<(), Error> {
        let mut writer = self.lock();
        let Writer { tree, journal, flusher } = &mut *writer;
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
        }
        journal.commit(&prepared.entry, &meta, flusher.done(), durable)?;
        flusher.forget_done();
        flusher.journaled(meta.serial, prepared.entry.weight_bytes(), durable);
        let Entry { flat, blobs } = prepared.entry;
        let nodes = prepared.applied.map(|applied| applied.nodes).unwrap_or_default();
        current = current.advance(meta, Changes { flat, nodes, blobs });
        self.publish(flusher.begin(current));
        *tree = prepared.tree;
        Ok(())
    }

    fn publish(&self, snapshot: Snapshot) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // The tree is taken out before it is worked on, and the flusher's notes are whole at any time, so
        // what a panic leaves here is whole.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a commit must be on disk.
enum Durability {
    /// When it returns.
    OnDisk,
    /// With a later one.
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

/// A block that is complete, with the root it leads to. Nothing of it is written yet.
pub struct Prepared {
    base: Snapshot,
    /// What differs from the committed state.
    entry: Entry,
    /// The tree as it will be; none if it has to be read again.
    tree: Option<MerkTree>,
    /// What the tree's nodes will be; none if the tree does not change.
    applied: Option<Applied>,
}

impl Prepared {
    /// The root hash of the state with this block.
    pub fn root(&self) -> Hash {
        match &self.applied {
            Some(applied) => applied.root,
            None => self.base.root(),
        }
    }

    /// How many keys have another value, or are new or gone, and how many `local.` keys were written.
    pub fn changed_keys(&self) -> usize {
        self.entry.flat.len()
    }

    /// The keys that [`Prepared::changed_keys`] counts, in order, with their new values; none where one is gone. For
    /// statistics.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entry.flat.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    /// What the state's records will be at `height`.
    fn meta(&self, height: u64) -> Meta {
        let base = self.base.meta();
        let serial = base.serial + 1;
        match &self.applied {
            Some(applied) => {
                Meta { height, serial, root: applied.root, root_key: applied.root_key.clone() }
            }
            None => Meta { height, serial, ..base.clone() },
        }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("base", &self.base)
            .field("root", &self.root())
            .field("changed_keys", &self.changed_keys())
            .finish_non_exhaustive()
    }
}

/// Leaves out what was compared and is as committed. Of many writes a second thread compares half.
fn net_writes(writes: Writes, committed: Known<'_>) -> Result<Vec<Written>, Error> {
    if writes.len() < FORK {
        return net_of(writes, committed);
    }
    let mut first: Vec<_> = writes.into_iter().collect();
    let second = first.split_off(middle(&first));
    let (mut net, rest) = both(|| net_of(first, committed), || net_of(second, committed))?;
    net.extend(rest);
    Ok(net)
}

/// Whether a write is compared with what is committed. What is outside of the tree is hardly ever written as it was:
/// to look it up takes longer than to write it again.
fn is_compared(key: &[u8]) -> bool {
    !key.starts_with(LOCAL)
}

/// Where as many writes that are compared come before as after.
fn middle(writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> usize {
    let compared = || writes.iter().enumerate().filter(|(_, (key, _))| is_compared(key));
    compared().nth(compared().count() / 2).map_or(writes.len(), |(at, _)| at)
}

/// From so many writes a second thread is worth while.
const FORK: usize = 200;

fn net_of(
    writes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    committed: Known<'_>,
) -> Result<Vec<Written>, Error> {
    let mut net = Vec::new();
    for (key, value) in writes {
        if key.is_empty() {
            return Err(Error::EmptyKey);
        }
        check_length("key", key.len(), MAX_KEY_BYTES)?;
        check_length("value", value.as_ref().map_or(0, Vec::len), MAX_VALUE_BYTES)?;
        if !is_compared(&key) || !committed.has(&key, value.as_deref())? {
            net.push((key.into(), value.map(Arc::from)));
        }
    }
    Ok(net)
}

/// What the tree has to do for these writes, in the order of tree keys.
fn tree_changes(flat: &[Written]) -> Vec<Change> {
    let mut changes: Vec<Change> = flat
        .iter()
        .filter(|(key, _)| !key.starts_with(LOCAL))
        .map(|(key, value)| (tree_key(key).into_owned(), value.as_deref().map(leaf)))
        .collect();
    // Long keys with one beginning are in another order by their hashes.
    changes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    changes
}

/// The committed state and its tree: those of the checkpoint, and what the journal has since.
fn redo(
    journal: &Journal,
    meta: Meta,
    checkpoint: Arc<Checkpoint>,
    options: &Options,
    flusher: &mut Flusher,
) -> Result<(MerkTree, Snapshot), Error> {
    let mut state = Snapshot::stored(checkpoint);
    let mut tree = MerkTree::open(&state, options.tree_nodes)?;
    let from = state.meta().clone();
    if from.serial < meta.serial {
        let mut commits = Vec::new();
        let mut changes = Vec::new();
        for serial in from.serial + 1..=meta.serial {
            let entry = journal.read(serial)?;
            flusher.journaled(serial, entry.weight_bytes(), true);
            commits.push(tree_changes(&entry.flat));
            changes.push((serial, entry));
        }
        let applied = tree.apply(&commits, &state)?;
        if (applied.root, &applied.root_key) != (meta.root, &meta.root_key) {
            return Err(not_one_store());
        }
        let mut nodes = applied.nodes;
        for (serial, Entry { flat, blobs }) in changes {
            // Only the last of these states can be read, so all nodes are its.
            let nodes = match serial == meta.serial {
                true => std::mem::take(&mut nodes),
                false => Vec::new(),
            };
            let passed = Meta { serial, ..meta.clone() };
            state = state.advance(passed, Changes { flat, nodes, blobs });
        }
    }
    match *state.meta() == meta {
        true => Ok((tree, state)),
        false => Err(not_one_store()),
    }
}

fn not_one_store() -> Error {
    Error::Damaged(format!("{FILE} and {JOURNAL_FILE} are not of one store at one time"))
}

fn check_length(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    match size <= limit {
        true => Ok(()),
        false => Err(Error::TooLong { what, size, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_limited() {
        for (what, limit) in [("key", MAX_KEY_BYTES), ("value", MAX_VALUE_BYTES)] {
            assert!(check_length(what, limit, limit).is_ok());
            let refused = check_length(what, limit + 1, limit);
            assert!(matches!(refused, Err(Error::TooLong { size, .. }) if size == limit + 1));
        }
    }
}
