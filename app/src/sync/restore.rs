//! Restoring of a state from a snapshot, with all checks.

use std::path::Path;

use capstan_kernel::{KernelPanic, sync::Sink, view};
use capstan_kernel_ports::{
    Hash,
    host::{HostFault, VatHost},
};
use capstan_store::{CHUNK_BYTES, ChunkError, Error, Options, Restore, Restored, SnapshotHead};

use crate::{fault::NodeFault, sync::about::About};

/// Reason why a state cannot be restored from a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The snapshot is not of the state with the trusted app hash. Whoever made it is at fault.
    #[error("the snapshot is forged: {0}")]
    Forged(String),
    /// This node lacks something that the state needs. Another snapshot does not help.
    #[error("the snapshot cannot be used on this node: {0}")]
    Lack(String),
    /// This node failed.
    #[error(transparent)]
    Node(#[from] NodeFault),
}

impl From<Error> for RestoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Snapshot(problem) => Self::Forged(problem),
            other => Self::Node(other.into()),
        }
    }
}

/// A state that is being restored, chunk by chunk.
#[derive(Debug)]
pub struct Restorer {
    restore: Restore,
    sink: Sink,
}

impl Restorer {
    /// Begins with chunk 0 of a snapshot of the state with this app hash, or goes on with a restoration of it that was
    /// interrupted. `engine` is the hash of this node's JavaScript engine.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn begin(
        store_dir: &Path,
        options: Options,
        chunk: &[u8],
        app_hash: Hash,
        engine: Hash,
    ) -> Result<Self, RestoreError> {
        let head = check_head(chunk, app_hash, engine)?;
        let mut sink = Sink::default();
        let restore = Restore::begin(store_dir, options, head, &mut sink)?;
        Ok(Self { restore, sink })
    }

    /// Returns the head of the snapshot.
    pub fn head(&self) -> &SnapshotHead {
        self.restore.head()
    }

    /// Returns the number of the next chunk.
    pub fn next_chunk(&self) -> u32 {
        self.restore.next_chunk()
    }

    /// Returns whether all chunks were taken.
    pub fn is_complete(&self) -> bool {
        self.next_chunk() == self.head().chunk_count()
    }

    /// Takes the next chunk, which is on disk when this returns.
    ///
    /// # Errors
    /// A [`ChunkError`].
    pub fn chunk(&mut self, index: u32, bytes: &[u8]) -> Result<(), ChunkError> {
        self.restore.chunk(index, bytes, &mut self.sink)
    }

    /// Checks the whole state: every hash, every node-local record, and every heap by bringing it into memory once.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn finish(self, host: &mut impl VatHost) -> Result<Restored, RestoreError> {
        let restored = self.restore.finish()?;
        let state = restored.state();
        let checked = view::check_local(&state).and_then(|()| view::check_heaps(&state, host));
        drop(state);
        match checked {
            Ok(()) => Ok(restored),
            Err(panic) => {
                let error = of_panic(panic);
                if matches!(error, RestoreError::Forged(_)) {
                    restored.delete()?;
                }
                Err(error)
            }
        }
    }
}

/// Checks that chunk 0 is that of a snapshot of the state with this app hash, from which this node can go on.
///
/// # Errors
/// [`RestoreError`].
pub(crate) fn check_head(
    chunk: &[u8],
    app_hash: Hash,
    engine: Hash,
) -> Result<SnapshotHead, RestoreError> {
    let head = SnapshotHead::decode(chunk)?;
    if head.app_hash() != app_hash {
        return Err(RestoreError::Forged(format!(
            "its app hash is {}, where {app_hash} is trusted",
            head.app_hash()
        )));
    }
    if head.chunk_bytes != CHUNK_BYTES {
        return Err(RestoreError::Forged(format!("its chunks have {} bytes", head.chunk_bytes)));
    }
    let about = About::from_json(&head.about).map_err(RestoreError::Forged)?;
    about.check(&engine.to_string()).map_err(RestoreError::Lack)?;
    Ok(head)
}

fn of_panic(panic: KernelPanic) -> RestoreError {
    match panic {
        KernelPanic::Host(HostFault::Missing(what)) => RestoreError::Lack(what),
        KernelPanic::Store(_) | KernelPanic::Host(HostFault::Store { .. }) => {
            RestoreError::Node(panic.into())
        }
        other => RestoreError::Forged(other.to_string()),
    }
}
