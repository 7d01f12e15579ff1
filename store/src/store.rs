//! The store: one database, its committed state, and the way from one to the next.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use capstan_kernel_ports::{Hash, store::LOCAL};
use redb::{Database, Durability, StorageBackend, WriteTransaction, backends::InMemoryBackend};

use crate::{
    Block, Error, Snapshot,
    block::Writes,
    committed::Committed,
    db::{self, BLOB, FLAT, Meta, TREE},
    merk::MerkTree,
    tree::{Applied, Change, StateTree, leaf, tree_key},
};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 64 << 10;
/// The longest value or blob, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 30;

/// How a store is run. None of it has any influence on the state.
#[derive(Clone, Debug)]
pub struct Options {
    /// The memory that the database may use as cache, in bytes.
    pub cache_bytes: usize,
    /// How many levels of the Merkle tree stay in memory, from the root: 14 are some 16,000 nodes.
    /// The levels below are read anew in each block that changes them.
    pub tree_levels: u8,
    /// Check the whole store when it is opened: the checksums of the file and all that
    /// [`Snapshot::deep_check`] checks. Reads everything; for a file that is under suspicion.
    pub check: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 256 << 20, tree_levels: 14, check: false }
    }
}

/// The state of the chain in one database file.
///
/// A block's life: [`Store::begin_block`], execution on the [`Block`], [`Store::prepare`] for the
/// root (nothing is written), then [`Store::commit`] or [`Store::discard`]. All methods take `&self`;
/// readers on other threads take a [`Store::reader`] at any time.
pub struct Store {
    // Before the database, which must outlive its readers.
    current: RwLock<Snapshot>,
    /// The tree of the committed state; none if it has to be read again. Locked while a block is
    /// prepared or committed, so that there is one writer at a time.
    tree: Mutex<Option<MerkTree>>,
    db: Arc<Database>,
    path: PathBuf,
    options: Options,
}

impl Store {
    /// Opens the store in the directory `path`, or makes an empty one there.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let db = db::open_directory(path.as_ref(), &options)?;
        Self::checked_over(db, path.as_ref().join(db::FILE), options)
    }

    /// An empty store in memory, for tests: all else is the same.
    pub fn in_memory() -> Result<Self, Error> {
        Self::on_backend(InMemoryBackend::new(), Options::default())
    }

    /// A store on any medium that redb can use: opens what lies there or makes an empty one.
    pub fn on_backend(backend: impl StorageBackend, options: Options) -> Result<Self, Error> {
        let db = db::open_backend(backend, &options)?;
        Self::checked_over(db, PathBuf::from("the given medium"), options)
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
        let mut kept = self.lock_tree();
        self.check_current(&base)?;
        let flat = net_writes(level.writes, &committed)?;
        for bytes in level.blobs.values() {
            check_length("blob", bytes.len(), MAX_VALUE_BYTES)?;
        }
        let changes = tree_changes(&flat);
        let (tree, applied) = self.apply(kept.take(), changes, &base)?;
        Ok(Prepared { base, flat, blobs: level.blobs, tree, applied })
    }

    /// Commits a prepared block as the state at `height`, in one transaction that is on disk when this
    /// returns. After an error the committed state is the old one or, if the database could not tell
    /// any more, is found by opening the store again; it is never a mixture.
    pub fn commit(&self, prepared: Prepared, height: u64) -> Result<(), Error> {
        self.write(prepared, height, Durability::Immediate)
    }

    /// Like [`Store::commit`], but on disk only with the next [`Store::commit`]: for loading much
    /// data. A crash before that leaves the state of the last one.
    pub fn commit_unsynced(&self, prepared: Prepared, height: u64) -> Result<(), Error> {
        self.write(prepared, height, Durability::None)
    }

    /// Forgets a prepared block. Dropping it does the same; this also keeps the tree in memory if the
    /// block changed nothing.
    pub fn discard(&self, prepared: Prepared) {
        let mut kept = self.lock_tree();
        if prepared.applied.is_none() && self.check_current(&prepared.base).is_ok() {
            *kept = prepared.tree;
        }
    }

    fn checked_over(db: Database, path: PathBuf, options: Options) -> Result<Self, Error> {
        let check = options.check;
        let store = Self::over(db, path, options)?;
        if check {
            store.reader().deep_check()?;
        }
        Ok(store)
    }

    pub(crate) fn over(db: Database, path: PathBuf, options: Options) -> Result<Self, Error> {
        let db = Arc::new(db);
        Ok(Self {
            current: RwLock::new(Snapshot::take(&db, &path)?),
            tree: Mutex::new(None),
            db,
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

    /// Applies `changes` to the tree of `base`, which is read if it is not given.
    fn apply(
        &self,
        tree: Option<MerkTree>,
        changes: Vec<Change>,
        base: &Snapshot,
    ) -> Result<(Option<MerkTree>, Option<Applied>), Error> {
        if changes.is_empty() {
            return Ok((tree, None));
        }
        let mut tree = match tree {
            Some(tree) => tree,
            None => MerkTree::open(
                base.meta().root_key.as_deref(),
                base.nodes(),
                self.options.tree_levels,
            )?,
        };
        let applied = tree.apply(changes, base.nodes())?;
        Ok((Some(tree), Some(applied)))
    }

    fn write(&self, prepared: Prepared, height: u64, durability: Durability) -> Result<(), Error> {
        let mut kept = self.lock_tree();
        self.check_current(&prepared.base)?;
        let committed = prepared.base.height();
        if height < committed || (height == committed && committed > 0) {
            return Err(Error::Height { wanted: height, committed });
        }
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(durability)?;
        // Two syncs instead of one, and the allocator's state written too: a crash cannot leave a
        // half-written commit that looks whole, and opening after it need not read the whole file.
        transaction.set_quick_repair(matches!(durability, Durability::Immediate));
        write_all(&transaction, &prepared, height)?;
        transaction.commit()?;
        let snapshot = Snapshot::take(&self.db, &self.path)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        *kept = prepared.tree;
        Ok(())
    }

    fn lock_tree(&self) -> MutexGuard<'_, Option<MerkTree>> {
        // The tree is taken out before it is worked on, so what a panic leaves here is whole.
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    /// What differs from the committed state, in key order.
    flat: Vec<Write>,
    blobs: BTreeMap<Hash, Vec<u8>>,
    /// The tree as it will be; none if it has to be read again.
    tree: Option<MerkTree>,
    /// What the tree's table will need; none if the tree does not change.
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

    /// How many keys have another value, or are new or gone; `local.` keys count.
    pub fn changed_keys(&self) -> usize {
        self.flat.len()
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

/// A key and its new value; none removes it.
type Write = (Vec<u8>, Option<Vec<u8>>);

/// Leaves out what was written but is as committed.
fn net_writes(writes: Writes, committed: &Committed) -> Result<Vec<Write>, Error> {
    let mut net = Vec::with_capacity(writes.len());
    for (key, value) in writes {
        if key.is_empty() {
            return Err(Error::EmptyKey);
        }
        check_length("key", key.len(), MAX_KEY_BYTES)?;
        check_length("value", value.as_ref().map_or(0, Vec::len), MAX_VALUE_BYTES)?;
        if !committed.has(&key, value.as_deref())? {
            net.push((key, value));
        }
    }
    Ok(net)
}

/// What the tree has to do for these writes, in the order of tree keys.
fn tree_changes(flat: &[Write]) -> Vec<Change> {
    let mut changes: Vec<Change> = flat
        .iter()
        .filter(|(key, _)| !key.starts_with(LOCAL))
        .map(|(key, value)| (tree_key(key).into_owned(), value.as_deref().map(leaf)))
        .collect();
    // Long keys with one beginning are in another order by their hashes.
    changes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    changes
}

fn write_all(
    transaction: &WriteTransaction,
    prepared: &Prepared,
    height: u64,
) -> Result<(), Error> {
    let mut flat = transaction.open_table(FLAT)?;
    for (key, value) in &prepared.flat {
        match value {
            Some(value) => flat.insert(key.as_slice(), value.as_slice())?,
            None => flat.remove(key.as_slice())?,
        };
    }
    let mut blobs = transaction.open_table(BLOB)?;
    for (hash, bytes) in &prepared.blobs {
        if prepared.base.blobs().get(hash.0)?.is_none() {
            blobs.insert(hash.0, bytes.as_slice())?;
        }
    }
    let mut meta = Meta { height, ..prepared.base.meta().clone() };
    if let Some(applied) = &prepared.applied {
        let mut tree = transaction.open_table(TREE)?;
        for (key, node) in &applied.nodes {
            match node {
                Some(node) => tree.insert(key.as_slice(), node.as_slice())?,
                None => tree.remove(key.as_slice())?,
            };
        }
        meta.root = applied.root;
        meta.root_key.clone_from(&applied.root_key);
    }
    meta.write(transaction)
}

fn check_length(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    match size <= limit {
        true => Ok(()),
        false => Err(Error::TooLong { what, size, limit }),
    }
}
