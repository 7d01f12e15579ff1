//! The journal: what each commit did to the tree, until the tree's file has it.
//!
//! An entry is the borsh encoding of the changes in key order: the tree key, and the SHA-256 of the
//! value or none if the key was removed. Doing them again, commit by commit, gives the same tree: its
//! shape depends on nothing else.

use borsh::BorshDeserialize as _;
use redb::{Database, ReadableDatabase, WriteTransaction};

use crate::{
    Error,
    db::JOURNAL,
    tree::{Change, leaf_of_hash},
};

/// A hash is written as bytes with their number.
type Record = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Writes the entry of the commit with this serial.
pub(crate) fn write(
    transaction: &WriteTransaction,
    serial: u64,
    changes: &[Change],
) -> Result<(), Error> {
    let record: Vec<(&[u8], Option<&[u8]>)> = changes
        .iter()
        .map(|(key, leaf)| (key.as_slice(), leaf.as_ref().map(|leaf| &leaf[1..])))
        .collect();
    // Writing to a vector cannot fail, nor are there more changes than borsh can count.
    let bytes = borsh::to_vec(&record).map_err(|error| Error::Tree(error.to_string()))?;
    transaction.open_table(JOURNAL)?.insert(serial, bytes.as_slice())?;
    Ok(())
}

/// Removes the entries with these serials.
pub(crate) fn remove(transaction: &WriteTransaction, serials: &[u64]) -> Result<(), Error> {
    let mut table = transaction.open_table(JOURNAL)?;
    for serial in serials {
        table.remove(serial)?;
    }
    Ok(())
}

/// All serials that have an entry.
pub(crate) fn serials(db: &Database) -> Result<Vec<u64>, Error> {
    let table = db.begin_read()?.open_table(JOURNAL)?;
    let mut serials = Vec::new();
    for entry in table.range::<u64>(..)? {
        serials.push(entry?.0.value());
    }
    Ok(serials)
}

/// The changes of the commit with this serial.
pub(crate) fn read(db: &Database, serial: u64) -> Result<Vec<Change>, Error> {
    let damaged = |what: &str| Error::Damaged(format!("the journal's entry {serial} is {what}"));
    let table = db.begin_read()?.open_table(JOURNAL)?;
    let entry = table.get(serial)?.ok_or_else(|| damaged("missing"))?;
    let record = Record::try_from_slice(entry.value()).map_err(|_| damaged("malformed"))?;
    let mut changes = Vec::with_capacity(record.len());
    for (key, hash) in record {
        let hash = hash.map(<[u8; 32]>::try_from).transpose();
        let in_order = changes.last().is_none_or(|(last, _)| *last < key);
        match hash {
            Ok(hash) if in_order && !key.is_empty() && key.len() <= MAX_TREE_KEY => {
                changes.push((key, hash.as_ref().map(leaf_of_hash)));
            }
            _ => return Err(damaged("malformed")),
        }
    }
    Ok(changes)
}

/// The longest tree key.
const MAX_TREE_KEY: usize = 255;
