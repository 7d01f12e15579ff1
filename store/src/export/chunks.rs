//! Export of a whole state in chunks.

use capstan_kernel_ports::{Hash, store::LOCAL};

use crate::{
    Error, StateView,
    export::stream::{Header, Kind, MAGIC, append},
    proven::{PROVEN, check::LastVersion},
    tree::walk::{InOrder, encode_node},
    view::entries::{Bytes, Entries},
};

/// The node-local entries of an export.
pub enum Local {
    /// None of them.
    Without,
    /// Those of which the function returns true.
    Where(LocalFilter),
}

/// Decides about a node-local entry by its key.
pub type LocalFilter = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Without => f.write_str("Without"),
            Self::Where(_) => f.write_str("Where"),
        }
    }
}

impl Local {
    /// Returns all of them, for a copy of this very node.
    pub fn all() -> Self {
        Self::Where(Box::new(|_| true))
    }

    fn includes(&self, key: &[u8]) -> bool {
        match self {
            Self::Without => false,
            Self::Where(filter) => filter(key),
        }
    }
}

/// Iterator over the chunks of an exported state. It ends after the last chunk, or after an error.
///
/// It holds a [`StateView`], so the chain goes on meanwhile. In memory it holds one chunk and the longest record.
/// Without local keys two stores with the same state and blobs give the same chunks. [`Import`](crate::Import) takes
/// them.
pub struct Export {
    state: StateView,
    chunk_bytes: usize,
    local: Local,
    /// Entries of the proven tree that are exported, once it has come to them.
    proven: Option<LastVersion>,
    stage: Stage,
    /// Encoded records, of which the first `sent` bytes are returned already.
    buffer: Vec<u8>,
    sent: usize,
    records: u64,
}

impl StateView {
    /// Exports this state as an [`Export`]: chunks of `chunk_bytes`. The last one may be shorter.
    ///
    /// [`Local`] says which keys that begin with `local.` are included. The root hash does not cover them, so whoever takes
    /// them has to check them otherwise.
    pub fn export(&self, chunk_bytes: usize, local: Local) -> Export {
        Export {
            state: self.clone(),
            chunk_bytes: chunk_bytes.max(1),
            local,
            proven: None,
            stage: Stage::Header,
            buffer: Vec::new(),
            sent: 0,
            records: 0,
        }
    }
}

impl Iterator for Export {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.buffer.len() - self.sent < self.chunk_bytes && !matches!(self.stage, Stage::Done)
        {
            if let Err(error) = self.encode_more() {
                self.stage = Stage::Done;
                self.buffer.clear();
                self.sent = 0;
                return Some(Err(error));
            }
        }
        let end = self.buffer.len().min(self.sent + self.chunk_bytes);
        let chunk = self.buffer[self.sent..end].to_vec();
        self.sent = end;
        if self.sent == self.buffer.len() {
            self.buffer.clear();
            self.sent = 0;
        }
        (!chunk.is_empty()).then_some(Ok(chunk))
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export")
            .field("state", &self.state)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// The next section of the stream.
enum Stage {
    Header,
    Nodes(InOrder),
    Entries(Box<Entries>),
    Blobs(Box<dyn Iterator<Item = Result<(Hash, Bytes), Error>> + Send + Sync>),
    End,
    Done,
}

impl Export {
    /// Encodes one record, or advances to the next stage.
    fn encode_more(&mut self) -> Result<(), Error> {
        self.stage = match &mut self.stage {
            Stage::Header => {
                let header = encode_header(&self.state);
                append(&mut self.buffer, Kind::Header, MAGIC, &header);
                Stage::Nodes(self.state.nodes()?)
            }
            Stage::Nodes(nodes) => match nodes.next().transpose()? {
                Some(node) => {
                    append(&mut self.buffer, Kind::Node, &node.key, &encode_node(&node));
                    self.records += 1;
                    return Ok(());
                }
                None => {
                    self.proven = Some(LastVersion::of(&self.state)?);
                    Stage::Entries(Box::new(self.state.range(std::ops::Bound::Unbounded)?))
                }
            },
            Stage::Entries(entries) => match entries.next().transpose()? {
                Some((key, value)) => {
                    let is_included = match key.starts_with(PROVEN) {
                        true => self.proven.as_ref().is_some_and(|proven| proven.includes(&key)),
                        false => !key.starts_with(LOCAL) || self.local.includes(&key),
                    };
                    if is_included {
                        let proven = self.proven.as_ref().filter(|_| key.starts_with(PROVEN));
                        let other = proven.map(|proven| proven.value(&key)).transpose()?.flatten();
                        let value = other.as_deref().unwrap_or(&value);
                        append(&mut self.buffer, Kind::Entry, &key, value);
                        self.records += 1;
                    }
                    return Ok(());
                }
                None => Stage::Blobs(Box::new(self.state.blobs()?)),
            },
            Stage::Blobs(blobs) => match blobs.next().transpose()? {
                Some((hash, bytes)) => {
                    append(&mut self.buffer, Kind::Blob, &hash.0, &bytes);
                    self.records += 1;
                    return Ok(());
                }
                None => Stage::End,
            },
            Stage::End => {
                let records = self.records.to_be_bytes();
                append(&mut self.buffer, Kind::End, b"", &records);
                Stage::Done
            }
            Stage::Done => return Ok(()),
        };
        Ok(())
    }
}

fn encode_header(state: &StateView) -> Vec<u8> {
    let meta = state.meta();
    let (root, proven, root_key) = (meta.root.0, meta.proven.0, meta.root_key.clone());
    Header { height: meta.height, root, proven, root_key }.encode()
}
