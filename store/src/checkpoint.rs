//! The tree's file: the Merkle tree as it was after one of the last commits.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use capstan_kernel_ports::Hash;
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition, WriteTransaction,
};

use crate::{
    Error,
    db::{META, ROOT_KEY, ROOT_NODE_KEY, Records, SERIAL_KEY, write_mark, write_tree_records},
    nodes::Layer,
};

/// The nodes of the Merkle tree by their tree key.
pub(crate) const TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree");

/// The nodes of one tree as stored.
pub(crate) type NodeTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Of which commit a tree is, and where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The commit's number among those that changed the tree.
    pub(crate) serial: u64,
    /// The root hash; zero for the empty tree.
    pub(crate) root: Hash,
    /// The tree key of the root node, none for the empty tree.
    pub(crate) root_key: Option<Vec<u8>>,
}

impl Mark {
    /// Writes it as that of the tree in the file.
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<(), Error> {
        let mut meta = transaction.open_table(META)?;
        write_tree_records(&mut meta, self.serial, &self.root, self.root_key.as_deref())
    }
}

/// The tree in the file, which stays as it is for the one who holds this.
pub(crate) struct Checkpoint {
    pub(crate) mark: Mark,
    pub(crate) nodes: NodeTable,
    // Last, so that it outlives the table: a closed database fails all reads.
    #[allow(dead_code, reason = "held, not used")]
    db: Arc<Database>,
}

impl Checkpoint {
    /// What the file holds now.
    pub(crate) fn take(db: &Arc<Database>, path: &Path) -> Result<Self, Error> {
        let records = Records::read(db, path, MAGIC)?;
        let mark = Mark {
            serial: records.number(SERIAL_KEY)?,
            root: Hash(records.fixed(ROOT_KEY)?),
            root_key: records.get(ROOT_NODE_KEY)?,
        };
        Ok(Self { mark, nodes: db.begin_read()?.open_table(TREE)?, db: db.clone() })
    }

    /// Writes `layers`, the oldest first, which lead to the tree at `mark`: in one transaction that is on
    /// disk when this returns.
    pub(crate) fn write(
        db: &Arc<Database>,
        path: &Path,
        layers: &[Arc<Layer>],
        mark: &Mark,
    ) -> Result<Self, Error> {
        let mut transaction = db.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(TREE)?;
            for (key, node) in newest(layers) {
                match node {
                    Some(node) => table.insert(key, node)?,
                    None => table.remove(key)?,
                };
            }
        }
        mark.write(&transaction)?;
        transaction.commit()?;
        Self::take(db, path)
    }
}

/// Makes the tables of an empty tree, if there are none.
pub(crate) fn initialise_if_empty(db: &Database) -> Result<(), Error> {
    let transaction = db.begin_write()?;
    if transaction.list_tables()?.next().is_some() {
        return Ok(transaction.abort()?);
    }
    transaction.open_table(TREE)?;
    write_mark(&transaction, MAGIC)?;
    Mark::default().write(&transaction)?;
    Ok(transaction.commit()?)
}

/// The last that `layers` say of each node, in key order: the database takes them fastest so.
fn newest(layers: &[Arc<Layer>]) -> BTreeMap<&[u8], Option<&[u8]>> {
    let mut nodes = BTreeMap::new();
    for layer in layers {
        nodes.extend(layer.nodes.iter().map(|(key, node)| (&**key, node.as_deref())));
    }
    nodes
}

const MAGIC: &[u8] = b"capstan tree";
