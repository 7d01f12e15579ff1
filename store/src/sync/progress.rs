//! How far a restoration has come. It is written with each chunk, in the chunk's transaction.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::artifact::ArtifactSink;
use redb::{ReadableDatabase, TableDefinition, WriteTransaction};

use crate::{
    Error,
    proven::node::Leaf,
    sync::{
        building::Building,
        format::{Kind, NodeRecord, Record, SnapshotHead},
        iavl_walk::IavlWalk,
        merk_walk::MerkWalk,
        write::artifact_error,
    },
};

/// Table of a restoration's own records. A finished state has none.
const SYNC: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sync");
const HEAD_KEY: &str = "head";
const PROGRESS_KEY: &str = "progress";

/// Everything that the next chunk depends on.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Progress {
    /// The chunk in which the first record begins that is not complete, and its place there. What comes from there on has
    /// to come again after a crash.
    resume: (u32, usize),
    /// Number of the next chunk.
    #[borsh(skip)]
    next: u32,
    /// The beginning of a record that is not complete yet. It is in memory alone, since it may be long.
    #[borsh(skip)]
    partial: Vec<u8>,
    /// Kind of the last record.
    last: Kind,
    nodes: MerkWalk,
    /// The last entry's key, and the number of entries.
    last_key: Vec<u8>,
    entries: u64,
    proven: IavlWalk,
    /// Position of the sink among the artifacts.
    artifacts: Vec<u8>,
    records: u64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            resume: (1, 0),
            next: 1,
            partial: Vec::new(),
            last: Kind::Node,
            nodes: MerkWalk::default(),
            last_key: Vec::new(),
            entries: 0,
            proven: IavlWalk::default(),
            artifacts: Vec::new(),
            records: 0,
        }
    }

    /// Returns the number of the next chunk.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Takes the records of the next chunk.
    pub(crate) fn chunk(
        &mut self,
        head: &SnapshotHead,
        bytes: &[u8],
        building: &mut Building<'_>,
        sink: &mut dyn ArtifactSink,
    ) -> Result<(), Error> {
        // After a crash the first chunk was taken in part before.
        let before = if self.partial.is_empty() { self.resume.1 } else { 0 };
        let new = bytes.get(before..).ok_or_else(|| wrong("a chunk is shorter than it was"))?;
        let mut stream = std::mem::take(&mut self.partial);
        let begun = stream.len();
        stream.extend_from_slice(new);
        let left = match self.records(head, &stream, building, sink) {
            Ok(left) => left,
            Err(error) => {
                stream.truncate(begun);
                self.partial = stream;
                return Err(error);
            }
        };
        match left {
            0 => self.resume = (self.next + 1, 0),
            left if left <= new.len() => self.resume = (self.next, bytes.len() - left),
            // The record began in an earlier chunk.
            _ => {}
        }
        stream.drain(..stream.len() - left);
        self.partial = stream;
        self.artifacts = sink.position();
        self.next += 1;
        Ok(())
    }

    /// Returns a copy for the next chunk, which has the beginning of an incomplete record. Such a record may be long, so
    /// this one has it no more.
    pub(crate) fn go_on(&mut self) -> Self {
        let partial = std::mem::take(&mut self.partial);
        Self { partial, ..self.clone() }
    }

    /// Takes back what [`Progress::go_on`] gave, after an error.
    pub(crate) fn take_back(&mut self, other: Self) {
        self.partial = other.partial;
    }

    /// Takes all complete records of `stream`. Returns the number of bytes after them.
    fn records(
        &mut self,
        head: &SnapshotHead,
        stream: &[u8],
        building: &mut Building<'_>,
        sink: &mut dyn ArtifactSink,
    ) -> Result<usize, Error> {
        let mut rest = stream;
        while let Some(record) = Record::take(&mut rest)? {
            self.record(head, &record, building, sink)?;
        }
        Ok(rest.len())
    }

    /// Returns the position of the sink, empty before the first chunk.
    pub(crate) fn artifacts(&self) -> &[u8] {
        &self.artifacts
    }

    /// Returns the key of the root of the state's tree.
    pub(crate) fn root_key(&self) -> Option<Vec<u8>> {
        self.nodes.root_key.clone()
    }

    /// Checks that the stream has ended, and writes the version of the proven tree.
    pub(crate) fn finish(
        &self,
        head: &SnapshotHead,
        building: &mut Building<'_>,
    ) -> Result<(), Error> {
        if self.last != Kind::End || !self.partial.is_empty() {
            return Err(wrong("it ends early"));
        }
        for (key, value) in self.proven.clone().version(head.height, head.root)? {
            building.put_entry(&key, &value)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        head: &SnapshotHead,
        record: &Record<'_>,
        building: &mut Building<'_>,
        sink: &mut dyn ArtifactSink,
    ) -> Result<(), Error> {
        self.enter(head, record.kind, building, sink)?;
        let has_key = matches!(record.kind, Kind::Node | Kind::Entry | Kind::Leaf);
        if !has_key && !record.key.is_empty() {
            return Err(wrong("it has a key where none belongs"));
        }
        match record.kind {
            Kind::Node => self.node(head, record, building)?,
            Kind::Entry => self.entry(record, building, sink)?,
            Kind::Leaf => self.leaf(head, record, building)?,
            Kind::Inner => self.proven.inner(&head.proven, record.parse()?)?,
            Kind::Artifact => sink.artifact(record.value, building).map_err(artifact_error)?,
            Kind::End if record.value == self.records.to_le_bytes() => {}
            Kind::End => return Err(wrong("it has another number of records than its end says")),
        }
        self.records += 1;
        Ok(())
    }

    /// Checks that a record of this kind may come, and that the sections before are complete.
    fn enter(
        &mut self,
        head: &SnapshotHead,
        kind: Kind,
        building: &mut Building<'_>,
        sink: &mut dyn ArtifactSink,
    ) -> Result<(), Error> {
        let (before, now) = (section(self.last), section(kind));
        if now < before || self.last == Kind::End {
            return Err(wrong("its records are out of order"));
        }
        self.last = kind;
        if now > section(Kind::Node) && !self.nodes.is_complete(&head.root) {
            return Err(wrong("nodes of the tree are missing"));
        }
        if now > section(Kind::Entry) && self.entries != self.nodes.nodes {
            return Err(wrong("entries are missing"));
        }
        if now > section(Kind::Leaf) && !self.proven.is_complete(&head.proven) {
            return Err(wrong("nodes of the proven tree are missing"));
        }
        if now > section(Kind::Artifact) {
            sink.finish(building).map_err(artifact_error)?;
        }
        Ok(())
    }

    fn node(
        &mut self,
        head: &SnapshotHead,
        record: &Record<'_>,
        building: &mut Building<'_>,
    ) -> Result<(), Error> {
        let node: NodeRecord = record.parse()?;
        let mut done = Vec::new();
        self.nodes.take(&head.root, record.key, node, &mut done)?;
        done.iter().try_for_each(|(key, bytes)| building.put_node(key, bytes))
    }

    fn entry(
        &mut self,
        record: &Record<'_>,
        building: &mut Building<'_>,
        sink: &mut dyn ArtifactSink,
    ) -> Result<(), Error> {
        let Record { key, value, .. } = *record;
        if key <= self.last_key.as_slice() || !building.is_bound(key, value)? {
            let key = key.get(..MAX_PRINTED).unwrap_or(key).escape_ascii();
            return Err(Error::Snapshot(format!("the entry {key} is not in the tree")));
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.entries += 1;
        building.put_entry(key, value)?;
        sink.entry(key, value, building).map_err(artifact_error)
    }

    fn leaf(
        &mut self,
        head: &SnapshotHead,
        record: &Record<'_>,
        building: &mut Building<'_>,
    ) -> Result<(), Error> {
        let (version, value) =
            record.value.split_first_chunk().ok_or_else(|| wrong("a proven leaf is malformed"))?;
        let version = u64::from_le_bytes(*version);
        let leaf = Leaf { version, key: record.key.to_vec(), value: value.to_vec() };
        let mut done = Vec::new();
        self.proven.leaf(&head.proven, leaf, &mut done)?;
        done.iter().try_for_each(|(key, bytes)| building.put_entry(key, bytes))
    }
}

/// Reads the head and the progress of a restoration that was begun in this file, if there is one.
pub(crate) fn load(db: &redb::Database) -> Result<Option<(Vec<u8>, Progress)>, Error> {
    let table = match db.begin_read()?.open_table(SYNC) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let (Some(head), Some(progress)) = (table.get(HEAD_KEY)?, table.get(PROGRESS_KEY)?) else {
        return Ok(None);
    };
    let mut progress: Progress = borsh::from_slice(progress.value())
        .map_err(|_| Error::Damaged("the progress of a restoration is malformed".to_owned()))?;
    progress.next = progress.resume.0;
    Ok(Some((head.value().to_vec(), progress)))
}

/// Writes the head of a restoration that begins.
pub(crate) fn save_head(transaction: &WriteTransaction, head: &[u8]) -> Result<(), Error> {
    transaction.open_table(SYNC)?.insert(HEAD_KEY, head)?;
    Ok(())
}

pub(crate) fn save(transaction: &WriteTransaction, progress: &Progress) -> Result<(), Error> {
    let bytes = borsh::to_vec(progress)
        .map_err(|error| Error::Snapshot(format!("its progress cannot be encoded: {error}")))?;
    transaction.open_table(SYNC)?.insert(PROGRESS_KEY, bytes.as_slice())?;
    Ok(())
}

/// Removes what only the restoration needs.
pub(crate) fn remove(transaction: &WriteTransaction) -> Result<(), Error> {
    transaction.delete_table(SYNC)?;
    Ok(())
}

const MAX_PRINTED: usize = 100;

/// Returns the place of a record's section in the stream.
fn section(kind: Kind) -> u8 {
    match kind {
        Kind::Node => 1,
        Kind::Entry => 2,
        Kind::Leaf | Kind::Inner => 3,
        Kind::Artifact => 4,
        Kind::End => 5,
    }
}

fn wrong(what: &str) -> Error {
    Error::Snapshot(what.to_owned())
}
