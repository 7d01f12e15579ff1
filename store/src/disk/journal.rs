//! The journal's file: the changes of each commit, until a checkpoint has them.
//!
//! An entry is a BLAKE3 hash of the rest, as `grovedb-merk` hashes values, and the borsh encoding of a [`Record`].
//! That is the changed keys in order, each with its value or `None`, and the new blobs. The entry is cut into parts,
//! one record of the database each. Replaying the entries commit by commit gives the same state, since the tree's
//! shape depends on nothing else.

use std::{ops::RangeInclusive, path::Path, sync::Arc};

use borsh::BorshDeserialize as _;
use capstan_kernel_ports::Hash;
use grovedb_merk::tree::value_hash;
use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};

use crate::{
    Error,
    changes::{Shared, Written},
    disk::meta::Meta,
};

/// Table of the parts of entries, by the serial of the commit and the part's number.
const JOURNAL: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("journal");

/// An open journal.
pub(crate) struct Journal {
    db: Database,
}

/// Changes of one commit.
#[derive(Default)]
pub(crate) struct Entry {
    /// Changed entries, in key order.
    pub(crate) flat: Vec<Written>,
    pub(crate) blobs: Vec<(Hash, Shared)>,
}

impl Journal {
    /// Opens the journal in `db`. Returns it with the `meta` records of the state that it leads to.
    pub(crate) fn open(db: Database, path: &Path) -> Result<(Self, Meta), Error> {
        let meta = Meta::read(&db, path, MAGIC)?;
        Ok((Self { db }, meta))
    }

    /// Writes the entry of the commit that leads to `meta`, and removes the entries with the serials `done`.
    ///
    /// This one transaction is the commit. It is durable when this returns if `durable` is set.
    pub(crate) fn commit(
        &self,
        entry: &Entry,
        meta: &Meta,
        done: &[u64],
        durable: bool,
    ) -> Result<(), Error> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(match durable {
            true => Durability::Immediate,
            false => Durability::None,
        })?;
        transaction.set_quick_repair(durable); // see `Checkpoint::write`
        entry.write(&transaction, meta.serial)?;
        {
            let mut table = transaction.open_table(JOURNAL)?;
            for serial in done {
                table.retain_in(parts(*serial), |_, _| false)?;
            }
        }
        meta.write(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// Returns the serials up to `serial` that have an entry.
    pub(crate) fn serials_up_to(&self, serial: u64) -> Result<Vec<u64>, Error> {
        let table = self.db.begin_read()?.open_table(JOURNAL)?;
        let mut serials = Vec::new();
        for part in table.range(..=(serial, u32::MAX))? {
            serials.push(part?.0.value().0);
        }
        serials.dedup();
        Ok(serials)
    }

    /// Reads the entry of the commit `serial`.
    pub(crate) fn read(&self, serial: u64) -> Result<Entry, Error> {
        let table = self.db.begin_read()?.open_table(JOURNAL)?;
        let mut bytes = Vec::new();
        for (number, part) in table.range(parts(serial))?.enumerate() {
            let (key, part) = part?;
            if u64::from(key.value().1) != number as u64 {
                return Err(damaged(serial));
            }
            bytes.extend_from_slice(part.value());
        }
        Entry::parse(&bytes).ok_or_else(|| damaged(serial))
    }
}

/// Creates the tables of an empty journal, if there are none.
pub(crate) fn initialise_if_empty(db: &Database) -> Result<(), Error> {
    let transaction = db.begin_write()?;
    if transaction.list_tables()?.next().is_some() {
        return Ok(transaction.abort()?);
    }
    transaction.open_table(JOURNAL)?;
    Meta::initialise(&transaction, MAGIC)?;
    Ok(transaction.commit()?)
}

impl Entry {
    /// Returns the entry's contribution to the journal's size: its bytes, and a fixed number for each change. With
    /// that number a journal of small changes takes no longer to replay than one of large changes.
    pub(crate) fn weight_bytes(&self) -> usize {
        let flat = self.flat.iter().map(|(key, value)| {
            CHANGE_WEIGHT_BYTES + key.len() + value.as_ref().map_or(0, |value| value.len())
        });
        let blobs = self.blobs.iter().map(|(_, bytes)| CHANGE_WEIGHT_BYTES + bytes.len());
        CHANGE_WEIGHT_BYTES + flat.sum::<usize>() + blobs.sum::<usize>()
    }

    /// Returns an upper bound of the encoded size: borsh puts a length of 4 bytes before each sequence and one byte
    /// before an optional value.
    fn encoded_bytes(&self) -> usize {
        let flat = self
            .flat
            .iter()
            .map(|(key, value)| 4 + key.len() + 5 + value.as_ref().map_or(0, |value| value.len()));
        let blobs = self.blobs.iter().map(|(_, bytes)| 4 + bytes.len());
        CHECKSUM_BYTES + 2 * 4 + flat.sum::<usize>() + blobs.sum::<usize>()
    }

    fn write(&self, transaction: &WriteTransaction, serial: u64) -> Result<(), Error> {
        let flat: Vec<(&[u8], Option<&[u8]>)> =
            self.flat.iter().map(|(key, value)| (&**key, value.as_deref())).collect();
        let blobs: Vec<&[u8]> = self.blobs.iter().map(|(_, bytes)| &**bytes).collect();
        let mut bytes = Vec::with_capacity(self.encoded_bytes());
        bytes.extend([0; CHECKSUM_BYTES]);
        // Writing to memory cannot fail, and borsh can count all changes that fit in memory.
        borsh::to_writer(&mut bytes, &(flat, blobs)).map_err(|error| Error::Io {
            path: "the journal".into(),
            source: std::io::Error::other(error.to_string()),
        })?;
        let checksum = value_hash(&bytes[CHECKSUM_BYTES..]).value;
        bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum);
        debug_assert!(bytes.len() <= self.encoded_bytes());
        let mut table = transaction.open_table(JOURNAL)?;
        for (number, part) in (0..).zip(bytes.chunks(PART_BYTES)) {
            table.insert((serial, number), part)?;
        }
        Ok(())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (checksum, bytes) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
        if value_hash(bytes).value != *checksum {
            return None;
        }
        let (flat, blobs) = Record::try_from_slice(bytes).ok()?;
        let in_order = flat.is_sorted_by(|(one, _), (next, _)| one < next);
        if !in_order || flat.first().is_some_and(|(key, _)| key.is_empty()) {
            return None;
        }
        let shared = |(key, value): (Vec<u8>, Option<Vec<u8>>)| (key.into(), value.map(Arc::from));
        let named = |bytes: Vec<u8>| (Hash(Sha256::digest(&bytes).into()), bytes.into());
        Some(Self {
            flat: flat.into_iter().map(shared).collect(),
            blobs: blobs.into_iter().map(named).collect(),
        })
    }
}

const MAGIC: &[u8] = b"capstan journal";

/// Length of the hash in front of an entry. It covers what the root hash does not: local keys and blobs.
const CHECKSUM_BYTES: usize = 32;

/// Content of an entry: changes, and blobs.
type Record = (Vec<(Vec<u8>, Option<Vec<u8>>)>, Vec<Vec<u8>>);

/// Size of a part, in bytes. The database keeps a record in one page, whose size is a power of two, so this is a
/// little less.
const PART_BYTES: usize = (64 << 10) - 512;

/// Weight of a change besides its bytes, see [`Entry::weight_bytes`].
const CHANGE_WEIGHT_BYTES: usize = 1 << 10;

/// Returns the range of the keys of an entry's parts.
fn parts(serial: u64) -> RangeInclusive<(u64, u32)> {
    (serial, 0)..=(serial, u32::MAX)
}

fn damaged(serial: u64) -> Error {
    Error::Damaged(format!("the journal's entry {serial} is missing or malformed"))
}
