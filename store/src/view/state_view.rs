//! A committed state at one height.

use std::{collections::BTreeMap, ops::Bound, path::Path, sync::Arc};

use capstan_kernel_ports::{
    Hash,
    store::{Entry, Read, StoreFault},
};
use redb::Database;

use crate::{
    Error,
    changes::{Changes, Shared},
    counts::Counters,
    disk::checkpoint::Checkpoint,
    disk::meta::Meta,
    tree::{
        link::Subtree,
        loader::read_root,
        walk::{InOrder, each_changed},
    },
    view::entries::{Bytes, Entries, Records, blobs},
    view::gap::Gaps,
    view::layers::Layers,
    view::live::Live,
};

/// The committed state at one height, unaffected by later commits.
///
/// Clones are cheap and share the same state. While one lives, the database keeps the pages of that state, so its
/// file grows with later commits and stays locked. Do not keep a view longer than a query or an export takes.
#[derive(Clone)]
pub struct StateView {
    meta: Arc<Meta>,
    /// The last checkpoint at or before this state.
    checkpoint: Arc<Checkpoint>,
    /// Changes of the commits after the checkpoint, including those after this state.
    memory: Layers,
    /// Key ranges without keys, as far as blocks have found out.
    gaps: Arc<Gaps>,
    /// The tree, over the checkpoint. `None` if it is not known, only the entries.
    tree: Option<Subtree>,
}

/// Size limit of the known gaps of a state, in bytes. When they would grow beyond, all are forgotten.
const MAX_GAPS_BYTES: usize = 1 << 20;

impl StateView {
    /// Returns the height at which this state was committed, or 0 before the first commit.
    pub fn height(&self) -> u64 {
        self.meta.height
    }

    /// Returns the root hash of this state. It is zero if no key outside `local.` exists.
    pub fn root(&self) -> Hash {
        self.meta.root
    }

    /// Creates the view of a checkpoint. Reads the root of the tree.
    pub(crate) fn stored(checkpoint: Arc<Checkpoint>) -> Result<Self, Error> {
        let meta = Arc::new(checkpoint.meta.clone());
        let tree = Some(read_root(&checkpoint)?);
        Ok(Self { meta, checkpoint, memory: Layers::default(), gaps: Arc::default(), tree })
    }

    /// Returns the state after one more commit, which leads to `meta` and `tree` by these changes. `found` are gaps that
    /// this state was found to have.
    pub(crate) fn advance(
        &self,
        meta: Meta,
        changes: Changes,
        tree: Option<Subtree>,
        found: &Gaps,
    ) -> Self {
        let mut gaps = self.gaps.clone();
        if found.size_bytes() > 0 || gaps.size_bytes() > 0 {
            let changed = Arc::make_mut(&mut gaps);
            changed.extend(found);
            let set = changes.flat.iter().filter(|(_, value)| value.is_some());
            set.for_each(|(key, _)| changed.forget(key));
            if changed.size_bytes() > MAX_GAPS_BYTES {
                gaps = Arc::default();
            }
        }
        self.memory.add(meta.serial, changes);
        Self { meta: Arc::new(meta), gaps, tree, ..self.clone() }
    }

    /// Returns the same state over a later checkpoint, which must not be after this state.
    pub(crate) fn over(&self, checkpoint: Arc<Checkpoint>) -> Self {
        let memory = self.memory.after(checkpoint.meta.serial);
        // The checkpoint has dropped most removals, so that there is little left to jump over.
        Self { checkpoint, memory, gaps: Arc::default(), ..self.clone() }
    }

    /// Returns the same state, with later commits kept in a layer of their own.
    pub(crate) fn seal(&self) -> Self {
        Self { memory: self.memory.seal(), ..self.clone() }
    }

    /// Returns whether the tree of this state is known.
    pub(crate) fn has_tree(&self) -> bool {
        self.tree.is_some()
    }

    /// Returns the tree of this state, which lies over [`StateView::checkpoint`].
    pub(crate) fn tree(&self) -> Result<&Subtree, Error> {
        self.tree.as_ref().ok_or_else(|| Error::NoTree(self.height()))
    }

    /// Returns the last checkpoint at or before this state.
    pub(crate) fn checkpoint(&self) -> &Arc<Checkpoint> {
        &self.checkpoint
    }

    /// Writes this state to the state's file.
    pub(crate) fn write_checkpoint(
        &self,
        db: &Arc<Database>,
        path: &Path,
        counters: &Counters,
    ) -> Result<Checkpoint, Error> {
        let tree = self.tree()?;
        let since = self.checkpoint_serial();
        Checkpoint::write(db, path, &self.changes(), &self.meta, counters, |write| {
            each_changed(tree, since, write)
        })
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Returns whether both are views of one commit of one store.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.meta, &other.meta)
    }

    /// Returns the serial of the checkpoint over which this state lies.
    pub(crate) fn checkpoint_serial(&self) -> u64 {
        self.checkpoint.meta.serial
    }

    /// Returns whether both read over the same checkpoint, and so share the memory over it.
    pub(crate) fn shares_checkpoint(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.checkpoint, &other.checkpoint)
    }

    /// Returns the value of `key` without a copy.
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.memory.get(key, self.meta.serial) {
            Some(written) => Ok(written.map(Bytes::InMemory)),
            None => Ok(self.checkpoint.flat.get(key)?.map(Bytes::Stored)),
        }
    }

    /// Returns all entries at or after the lower bound `from`, in key order.
    pub(crate) fn range(&self, from: Bound<&[u8]>) -> Result<Entries, Error> {
        let stored = self.checkpoint.flat.range::<&[u8]>((from, Bound::Unbounded))?;
        Ok(Entries::new(stored, self.memory.clone(), self.meta.serial, from))
    }

    /// Returns the known ranges without keys.
    pub(crate) fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// Returns all tree nodes, in the order of tree keys.
    pub(crate) fn nodes(&self) -> Result<InOrder, Error> {
        Ok(InOrder::new(self.tree()?.clone(), self.checkpoint.clone()))
    }

    /// Returns all records of the tree as a checkpoint of this state would have them, in the order of their keys.
    pub(crate) fn records(&self) -> Result<Records, Error> {
        let gone = self.changes().gone.into_iter().map(|key| (key, None));
        let mut written: BTreeMap<Shared, Option<Shared>> = gone.collect();
        each_changed(self.tree()?, self.checkpoint_serial(), &mut |key, bytes| {
            written.insert(key.clone(), Some(bytes.into()));
            Ok(())
        })?;
        let stored = self.checkpoint.tree.range::<&[u8]>(..)?;
        Ok(Records::new(stored, written.into_iter().collect()))
    }

    /// Returns all blobs, in the order of their hashes.
    pub(crate) fn blobs(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Hash, Bytes), Error>> + Send + Sync + use<>, Error>
    {
        Ok(blobs(self.checkpoint.blob.range::<[u8; 32]>(..)?, self.changes().blobs))
    }

    /// Returns whether a blob with this hash exists.
    pub(crate) fn has_blob(&self, hash: &Hash) -> Result<bool, Error> {
        let in_memory = self.memory.blob(hash, self.meta.serial).is_some();
        Ok(in_memory || self.checkpoint.blob.get(hash.0)?.is_some())
    }

    /// Returns the difference to the checkpoint.
    fn changes(&self) -> Changes {
        self.memory.up_to(self.meta.serial, self.checkpoint_serial())
    }

    fn first_from(&self, from: Bound<&[u8]>, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        let gaps = [&*self.gaps];
        let Some((key, value)) = Live::at(self, from, &gaps)?.next(self, &gaps)? else {
            return Ok(None);
        };
        Ok(key.starts_with(prefix).then(|| (key.to_vec(), value.to_vec())))
    }
}

impl Read for StateView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.lend(key)?.map(|bytes| bytes.to_vec()))
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        Ok(self.first_from(start(prefix, after), prefix)?)
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        if let Some(bytes) = self.memory.blob(hash, self.meta.serial) {
            return Ok(Some(bytes.to_vec()));
        }
        let found = self.checkpoint.blob.get(hash.0).map_err(Error::from)?;
        Ok(found.map(|guard| guard.value().to_vec()))
    }
}

impl std::fmt::Debug for StateView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateView")
            .field("height", &self.height())
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

/// Returns the lower bound of the keys that are greater than `after` and start with `prefix`. If any key at or above
/// it starts with `prefix`, the first one does.
pub(crate) fn start<'a>(prefix: &'a [u8], after: &'a [u8]) -> Bound<&'a [u8]> {
    match after < prefix {
        true => Bound::Included(prefix),
        false => Bound::Excluded(after),
    }
}
