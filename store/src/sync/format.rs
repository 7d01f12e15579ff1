//! The encoding of snapshots.
//!
//! ```text
//! chunk 0   SnapshotHead: "capstan snapshot" and borsh
//! chunk n   the next bytes of the stream, which is cut anywhere into chunks of equal length
//! record    kind (1), key length (4, little-endian), value length (4), key, value
//!
//! kind        key        value
//! 1 node      tree key   NodeRecord
//! 2 entry     key        value
//! 3 leaf      key        height of the block that wrote it (8), value
//! 4 inner     nothing    InnerRecord
//! 5 artifact  nothing    bytes
//! 6 end       nothing    number of the records before it (8)
//! ```

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{Hash, store::MAX_KEY_BYTES};
use sha2::{Digest, Sha256};

use crate::{Error, proven::app_hash::app_hash};

/// Version of the format that this program writes and restores.
pub const SNAPSHOT_FORMAT: u32 = 2;

/// Length of every chunk but the first and the last, in bytes. Nodes of one chain must use the same.
pub const CHUNK_BYTES: u32 = 4 << 20;

/// Least length of chunks, in bytes. Each is a transaction of its own.
const MIN_CHUNK_BYTES: u32 = 1 << 10;

/// Maximum length of a chunk, in bytes. CometBFT carries no longer message than 16 MiB.
pub const MAX_CHUNK_BYTES: usize = 15 << 20;

/// First bytes of chunk 0.
const MAGIC: &[u8] = b"capstan snapshot";

/// Content of chunk 0: what the other chunks are, and under which app hash.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SnapshotHead {
    /// [`SNAPSHOT_FORMAT`].
    pub format: u32,
    /// Height of the state.
    pub height: u64,
    /// Root hash of the state's tree.
    pub root: Hash,
    /// Root hash of the proven tree, zero if it is empty.
    pub proven: Hash,
    /// What the writer says about the state besides. The store does not read it.
    pub about: Vec<u8>,
    /// Length of the stream in bytes.
    pub bytes: u64,
    /// Length of every chunk but this one and the last, in bytes.
    pub chunk_bytes: u32,
    /// SHA-256 of the chunks after this one.
    pub chunks: Vec<Hash>,
}

impl SnapshotHead {
    /// Returns the app hash of the state.
    pub fn app_hash(&self) -> Hash {
        app_hash(&self.proven, &self.root)
    }

    /// Returns the number of all chunks, this one included.
    pub fn chunk_count(&self) -> u32 {
        u32::try_from(self.chunks.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Returns the bytes of chunk 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        // Numbers and bytes can always be encoded in memory.
        bytes.extend(borsh::to_vec(self).unwrap_or_default());
        bytes
    }

    /// Decodes chunk 0.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Snapshot`] if it is none of this format, or if its numbers contradict each other.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Snapshot(format!("its first chunk {what}"));
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| wrong("does not begin like one of a snapshot"))?;
        let head: Self = borsh::from_slice(rest).map_err(|_| wrong("is malformed"))?;
        if head.format != SNAPSHOT_FORMAT {
            let found = head.format;
            return Err(Error::Snapshot(format!(
                "it has format {found}, this program reads format {SNAPSHOT_FORMAT}"
            )));
        }
        if head.chunk_bytes < MIN_CHUNK_BYTES || head.chunk_bytes as usize > MAX_CHUNK_BYTES {
            return Err(wrong("says that chunks are too short or too long"));
        }
        match head.bytes.div_ceil(head.chunk_bytes.into()) == head.chunks.len() as u64 {
            true => Ok(head),
            false => Err(wrong("has another number of chunks than its length gives")),
        }
    }
}

/// Returns the SHA-256 of a chunk.
pub fn chunk_hash(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// Kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) enum Kind {
    Node,
    Entry,
    Leaf,
    Inner,
    Artifact,
    End,
}

/// A node of the state's tree without its key: the SHA-256 of its value, and its children.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct NodeRecord {
    pub(crate) value: [u8; 32],
    pub(crate) left: Option<ChildRecord>,
    pub(crate) right: Option<ChildRecord>,
}

/// A child of a node: its hash, and the heights of its own children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ChildRecord {
    pub(crate) hash: [u8; 32],
    pub(crate) heights: (u8, u8),
}

/// An inner node of the proven tree: what its hash covers.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct InnerRecord {
    pub(crate) version: u64,
    pub(crate) height: u8,
    pub(crate) size: u64,
    pub(crate) left: [u8; 32],
    pub(crate) right: [u8; 32],
}

/// A record of the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// Length of a record's head, in bytes.
const HEAD_BYTES: usize = 9;

impl<'a> Record<'a> {
    /// Appends the record. Fails if it is too long for any reader.
    pub(crate) fn append(&self, stream: &mut Vec<u8>) -> Result<(), Error> {
        if self.key.len() > MAX_KEY_BYTES || self.value.len() > longest(self.kind) {
            return Err(Error::Snapshot(format!(
                "a record has {} bytes, and a snapshot's at most {}",
                self.value.len(),
                longest(self.kind)
            )));
        }
        stream.push(self.kind as u8 + 1);
        stream.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        stream.extend_from_slice(&(self.value.len() as u32).to_le_bytes());
        stream.extend_from_slice(self.key);
        stream.extend_from_slice(self.value);
        Ok(())
    }

    /// Takes the first record off `stream`. Returns `None` if it is not complete yet.
    pub(crate) fn take(stream: &mut &'a [u8]) -> Result<Option<Self>, Error> {
        let Some((head, rest)) = stream.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let [kind, k0, k1, k2, k3, v0, v1, v2, v3] = *head;
        let kind = kind_of(kind)?;
        let key = u32::from_le_bytes([k0, k1, k2, k3]) as usize;
        let value = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        if key > MAX_KEY_BYTES || value > longest(kind) {
            return Err(Error::Snapshot(format!(
                "it has a record of {key} bytes of key and {value} of value"
            )));
        }
        if rest.len() < key + value {
            return Ok(None);
        }
        let (key, rest) = rest.split_at(key);
        let (value, rest) = rest.split_at(value);
        *stream = rest;
        Ok(Some(Self { kind, key, value }))
    }

    /// Decodes the value.
    pub(crate) fn parse<T: BorshDeserialize>(&self) -> Result<T, Error> {
        borsh::from_slice(self.value).map_err(|_| {
            Error::Snapshot(format!("it has a malformed record of kind {:?}", self.kind))
        })
    }
}

/// Returns the length of the longest value of a record.
fn longest(kind: Kind) -> usize {
    match kind {
        // A few hashes and numbers.
        Kind::Node | Kind::Inner | Kind::End => 256,
        // A number and a value, which are small in the proven tree.
        Kind::Leaf => MAX_LEAF_BYTES,
        Kind::Entry | Kind::Artifact => MAX_RECORD_BYTES,
    }
}

/// Length of the longest value of an entry or artifact, in bytes. The state of a kernel has no longer ones: a transcript's entry
/// is bounded by what crosses the kernel in a delivery.
const MAX_RECORD_BYTES: usize = 256 << 20;

/// Length of the longest record of the proven tree, in bytes.
const MAX_LEAF_BYTES: usize = 1 << 20;

fn kind_of(byte: u8) -> Result<Kind, Error> {
    Ok(match byte {
        1 => Kind::Node,
        2 => Kind::Entry,
        3 => Kind::Leaf,
        4 => Kind::Inner,
        5 => Kind::Artifact,
        6 => Kind::End,
        other => return Err(Error::Snapshot(format!("it has a record of unknown kind {other}"))),
    })
}
