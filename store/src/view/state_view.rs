//! A committed state, fixed while blocks go on.

use std::{ops::Bound, path::Path, sync::Arc};

use capstan_kernel_ports::{
    Hash,
    store::{Entry, Read, StoreFault},
};
use redb::Database;

use crate::{
    Error,
    changes::Changes,
    disk::checkpoint::Checkpoint,
    disk::meta::Meta,
    view::entries::{Bytes, Entries, Nodes, blobs},
    view::layers::Layers,
};

/// The state as it was committed at one height, whatever is committed later.
///
/// Clones are cheap and share the same state. As long as one lives, the database keeps the pages of
/// that state (the file grows by what later commits write) and its file stays locked: do not keep
/// one longer than a query or an export takes.
#[derive(Clone)]
pub struct StateView {
    meta: Arc<Meta>,
    /// What the state's file has.
    checkpoint: Arc<Checkpoint>,
    /// What commits after the checkpoint changed, those after this state too.
    memory: Layers,
}

impl StateView {
    /// The height at which this state was committed; 0 before the first commit.
    pub fn height(&self) -> u64 {
        self.meta.height
    }

    /// The root hash of this state; zero if no key outside `local.` exists.
    pub fn root(&self) -> Hash {
        self.meta.root
    }

    /// The state in the file.
    pub(crate) fn stored(checkpoint: Arc<Checkpoint>) -> Self {
        let meta = Arc::new(checkpoint.meta.clone());
        Self { meta, checkpoint, memory: Layers::default() }
    }

    /// The state after one more commit, which leads to `meta` by these changes.
    pub(crate) fn advance(&self, meta: Meta, changes: Changes) -> Self {
        self.memory.add(meta.serial, changes);
        Self { meta: Arc::new(meta), ..self.clone() }
    }

    /// The same state over a later checkpoint, which is not after this state.
    pub(crate) fn over(&self, checkpoint: Arc<Checkpoint>) -> Self {
        let memory = self.memory.after(checkpoint.meta.serial);
        Self { meta: self.meta.clone(), checkpoint, memory }
    }

    /// The same state, but that what later commits change is kept apart from it.
    pub(crate) fn seal(&self) -> Self {
        Self { memory: self.memory.seal(), ..self.clone() }
    }

    /// Writes this state to the file.
    pub(crate) fn write_checkpoint(
        &self,
        db: &Arc<Database>,
        path: &Path,
    ) -> Result<Checkpoint, Error> {
        Checkpoint::write(db, path, &self.changes(), &self.meta)
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether both are handles of one state of one store.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.meta, &other.meta)
    }

    /// Lends the value of `key`.
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.memory.get(key, self.meta.serial) {
            Some(written) => Ok(written.map(Bytes::InMemory)),
            None => Ok(self.checkpoint.flat.get(key)?.map(Bytes::Stored)),
        }
    }

    /// Lends the tree node at `key`.
    pub(crate) fn lend_node(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.memory.node(key, self.meta.serial) {
            Some(written) => Ok(written.map(Bytes::InMemory)),
            None => Ok(self.checkpoint.tree.get(key)?.map(Bytes::Stored)),
        }
    }

    /// All entries from `from` on, in key order.
    pub(crate) fn range(&self, from: Bound<&[u8]>) -> Result<Entries, Error> {
        let stored = self.checkpoint.flat.range::<&[u8]>((from, Bound::Unbounded))?;
        Ok(Entries::new(stored, self.memory.clone(), self.meta.serial, from))
    }

    /// All tree nodes in the order of tree keys.
    pub(crate) fn nodes(&self) -> Result<Nodes, Error> {
        let stored = self.checkpoint.tree.range::<&[u8]>(..)?;
        Ok(Nodes::new(stored, self.changes().nodes))
    }

    /// All blobs in the order of their hashes.
    pub(crate) fn blobs(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Hash, Bytes), Error>> + Send + Sync + use<>, Error>
    {
        Ok(blobs(self.checkpoint.blob.range::<[u8; 32]>(..)?, self.changes().blobs))
    }

    /// Whether there is a blob with this hash.
    pub(crate) fn has_blob(&self, hash: &Hash) -> Result<bool, Error> {
        let in_memory = self.memory.blob(hash, self.meta.serial).is_some();
        Ok(in_memory || self.checkpoint.blob.get(hash.0)?.is_some())
    }

    /// All that differs from the checkpoint.
    fn changes(&self) -> Changes {
        self.memory.up_to(self.meta.serial)
    }

    fn first_from(&self, from: Bound<&[u8]>, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        let Some(found) = self.range(from)?.next() else {
            return Ok(None);
        };
        let (key, value) = found?;
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

/// Where the keys greater than `after` that start with `prefix` begin: if any key from there on
/// starts with `prefix`, then the first one does.
pub(crate) fn start<'a>(prefix: &'a [u8], after: &'a [u8]) -> Bound<&'a [u8]> {
    match after < prefix {
        true => Bound::Included(prefix),
        false => Bound::Excluded(after),
    }
}
