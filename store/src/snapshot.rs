//! A committed state, fixed while blocks go on.

use std::{ops::Bound, path::Path, sync::Arc};

use capstan_kernel_ports::{
    Hash,
    store::{Entry, Read, StoreFault},
};
use redb::{AccessGuard, Database, Range, ReadOnlyTable, ReadableDatabase};

use crate::{
    Error,
    db::{BLOB, FLAT, Meta},
    nodes::Nodes,
};

/// Bytes lent by the database.
pub(crate) type Lent = AccessGuard<'static, &'static [u8]>;
/// Keys and values lent by the database, in key order.
pub(crate) type Entries = Range<'static, &'static [u8], &'static [u8]>;

/// The state as it was committed at one height, whatever is committed later.
///
/// Clones are cheap and share the same state. As long as one lives, the database keeps the pages of
/// that state (the file grows by what later commits write) and its file stays locked: do not keep
/// one longer than a query or an export takes.
#[derive(Clone)]
pub struct Snapshot {
    tables: Arc<Tables>,
    /// The tree. Where it lies may change while the state stays.
    nodes: Arc<Nodes>,
}

impl Snapshot {
    /// The height at which this state was committed; 0 before the first commit.
    pub fn height(&self) -> u64 {
        self.tables.meta.height
    }

    /// The root hash of this state; zero if no key outside `local.` exists.
    pub fn root(&self) -> Hash {
        self.tables.meta.root
    }

    /// Takes a snapshot of what `db` has committed; `nodes` are those of its tree.
    pub(crate) fn take(db: &Arc<Database>, path: &Path, nodes: Nodes) -> Result<Self, Error> {
        let meta = Meta::read(db, path)?;
        let transaction = db.begin_read()?;
        let tables = Tables {
            meta,
            flat: transaction.open_table(FLAT)?,
            blob: transaction.open_table(BLOB)?,
            db: db.clone(),
        };
        Ok(Self { tables: Arc::new(tables), nodes: Arc::new(nodes) })
    }

    /// The same state, its tree elsewhere.
    pub(crate) fn with_nodes(&self, nodes: Nodes) -> Self {
        Self { tables: self.tables.clone(), nodes: Arc::new(nodes) }
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.tables.meta
    }

    /// The committed tree nodes.
    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// All blobs.
    pub(crate) fn blobs(&self) -> &ReadOnlyTable<[u8; 32], &'static [u8]> {
        &self.tables.blob
    }

    /// Whether both are handles of one state of one store.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tables, &other.tables)
    }

    /// Lends the value of `key`.
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Lent>, Error> {
        Ok(self.tables.flat.get(key)?)
    }

    /// All entries from `from` on, in key order.
    pub(crate) fn range(&self, from: Bound<&[u8]>) -> Result<Entries, Error> {
        Ok(self.tables.flat.range::<&[u8]>((from, Bound::Unbounded))?)
    }

    fn first_from(&self, from: Bound<&[u8]>, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        let Some(found) = self.range(from)?.next() else {
            return Ok(None);
        };
        let (key, value) = found?;
        Ok(key.value().starts_with(prefix).then(|| (key.value().to_vec(), value.value().to_vec())))
    }
}

impl Read for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.lend(key)?.map(|guard| guard.value().to_vec()))
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        Ok(self.first_from(start(prefix, after), prefix)?)
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        let found = self.tables.blob.get(hash.0).map_err(Error::from)?;
        Ok(found.map(|guard| guard.value().to_vec()))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
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

struct Tables {
    meta: Meta,
    flat: ReadOnlyTable<&'static [u8], &'static [u8]>,
    blob: ReadOnlyTable<[u8; 32], &'static [u8]>,
    // Last, so that it outlives the tables: a closed database fails all reads.
    #[allow(dead_code, reason = "held, not used")]
    db: Arc<Database>,
}
