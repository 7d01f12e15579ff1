//! Writing of a snapshot from a committed state.

use std::ops::Bound;

use capstan_kernel_ports::{
    Hash,
    artifact::{ArtifactError, ArtifactSource},
    store::LOCAL,
};

use crate::{
    Error, StateView,
    proven::node::{Inner, Node},
    sync::{
        format::{
            InnerRecord, Kind, MAX_CHUNK_BYTES, Record, SNAPSHOT_FORMAT, SnapshotHead, chunk_hash,
        },
        iavl_walk, merk_walk,
    },
};

/// Receives the chunks of a snapshot: the number of the chunk and its bytes. Chunk 0 comes last. An error ends the
/// writing.
pub type ChunkWriter<'a> = dyn FnMut(u32, &[u8]) -> Result<(), Error> + 'a;

impl StateView {
    /// Writes a snapshot of this state, chunk by chunk. Returns its head, which is chunk 0.
    ///
    /// Two stores with the same state write the same bytes. In memory there are one chunk, and the longest record.
    /// `about` is carried in the head. `chunk_bytes` is the length of the chunks, [`CHUNK_BYTES`](crate::CHUNK_BYTES) but
    /// in tests.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Snapshot`] if an artifact is missing, the errors of `to`, and errors of this node.
    pub fn snapshot(
        &self,
        about: Vec<u8>,
        artifacts: &mut dyn ArtifactSource,
        chunk_bytes: u32,
        to: &mut ChunkWriter<'_>,
    ) -> Result<SnapshotHead, Error> {
        let (buffer, chunks) = (Vec::new(), Vec::new());
        let mut stream = Stream { to, chunk_bytes, buffer, chunks, bytes: 0, records: 0 };
        merk_walk::each_node(self, |key, node| {
            let value = borsh::to_vec(node).map_err(unwritable)?;
            stream.record(Kind::Node, key, &value)
        })?;
        self.write_entries(&mut stream)?;
        iavl_walk::each_node(self, |node| write_proven(node, &mut stream))?;
        while let Some(artifact) = artifacts.next(self).map_err(artifact_error)? {
            stream.record(Kind::Artifact, &[], &artifact)?;
        }
        let records = stream.records.to_le_bytes();
        stream.record(Kind::End, &[], &records)?;
        stream.end(self, about)
    }

    /// Writes the entries outside of the node-local ones, which are not even read.
    fn write_entries(&self, stream: &mut Stream<'_, '_>) -> Result<(), Error> {
        let mut after_local = LOCAL.to_vec();
        if let Some(last) = after_local.last_mut() {
            *last += 1;
        }
        for from in [Bound::Unbounded, Bound::Included(after_local.as_slice())] {
            for entry in self.range(from)? {
                let (key, value) = entry?;
                if key.starts_with(LOCAL) {
                    break;
                }
                stream.record(Kind::Entry, &key, &value)?;
            }
        }
        Ok(())
    }
}

fn write_proven(node: &Node, stream: &mut Stream<'_, '_>) -> Result<(), Error> {
    match node {
        Node::Leaf(leaf) => {
            let value = [&leaf.version.to_le_bytes()[..], &leaf.value].concat();
            stream.record(Kind::Leaf, &leaf.key, &value)
        }
        Node::Inner(Inner { version, height, size, left, right, .. }) => {
            let record = InnerRecord {
                version: *version,
                height: *height,
                size: *size,
                left: left.hash,
                right: right.hash,
            };
            let value = borsh::to_vec(&record).map_err(unwritable)?;
            stream.record(Kind::Inner, &[], &value)
        }
    }
}

/// The stream of records, which is cut into chunks.
struct Stream<'a, 'b> {
    to: &'a mut ChunkWriter<'b>,
    chunk_bytes: u32,
    buffer: Vec<u8>,
    chunks: Vec<Hash>,
    bytes: u64,
    records: u64,
}

impl Stream<'_, '_> {
    fn record(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> Result<(), Error> {
        Record { kind, key, value }.append(&mut self.buffer)?;
        self.records += 1;
        let (mut sent, length) = (0, self.chunk_bytes.max(1) as usize);
        while self.buffer.len() - sent >= length {
            self.chunk(sent, sent + length)?;
            sent += length;
        }
        self.buffer.drain(..sent);
        Ok(())
    }

    /// Gives out the bytes of the buffer from `start` to `end`.
    fn chunk(&mut self, start: usize, end: usize) -> Result<(), Error> {
        let bytes = &self.buffer[start..end];
        self.bytes += bytes.len() as u64;
        self.chunks.push(chunk_hash(bytes));
        let index = u32::try_from(self.chunks.len()).map_err(|_| too_large())?;
        (self.to)(index, bytes)
    }

    fn end(mut self, state: &StateView, about: Vec<u8>) -> Result<SnapshotHead, Error> {
        if !self.buffer.is_empty() {
            self.chunk(0, self.buffer.len())?;
        }
        let meta = state.meta();
        let head = SnapshotHead {
            format: SNAPSHOT_FORMAT,
            height: meta.height,
            root: meta.root,
            proven: meta.proven,
            about,
            bytes: self.bytes,
            chunk_bytes: self.chunk_bytes,
            chunks: self.chunks,
        };
        let bytes = head.encode();
        if bytes.len() > MAX_CHUNK_BYTES {
            return Err(too_large());
        }
        (self.to)(0, &bytes)?;
        Ok(head)
    }
}

pub(super) fn artifact_error(error: ArtifactError) -> Error {
    match error {
        ArtifactError::Wrong(what) => Error::Snapshot(what),
        ArtifactError::Store(fault) => Error::Fault(fault),
    }
}

fn too_large() -> Error {
    Error::Snapshot("the state is too large for this format of snapshots".to_owned())
}

/// Reports that a record cannot be encoded, which writing to memory never does.
fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::Snapshot(format!("a record cannot be encoded: {error}"))
}
