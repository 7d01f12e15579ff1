//! Artifacts: what a snapshot of a whole state carries besides the trees under the app hash.
//!
//! Node-local entries and blobs lie outside of the trees. Some of them cannot be rebuilt, such as the pages of heaps.
//! These travel as artifacts. Each is bound by a hash in the state, so the order and the content of all artifacts
//! follow from the state. The others are rebuilt from the entries of the state, as these arrive.
//!
//! The store moves artifacts without knowing them. A kernel implements [`ArtifactSource`] and [`ArtifactSink`].

use crate::{
    Hash,
    store::{Read, StoreFault},
};

/// Reason why a snapshot's artifact cannot be made or taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// The artifact, or the state that should bind it, is wrong.
    #[error("{0}")]
    Wrong(String),
    /// This node's store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// A state that is being restored from a snapshot: its entries so far, and the means to write those outside of the
/// trees.
pub trait WriteLocal: Read {
    /// Sets the node-local entry at `key`, which begins with [`LOCAL`](crate::store::LOCAL).
    ///
    /// # Errors
    /// Returns a [`StoreFault`] if this node's storage fails, or if the key is not node-local.
    fn set_local(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreFault>;

    /// Stores `bytes` as a blob and returns their SHA-256.
    ///
    /// # Errors
    /// Returns a [`StoreFault`] if this node's storage fails.
    fn put_blob(&mut self, bytes: &[u8]) -> Result<Hash, StoreFault>;
}

/// The artifacts of a state, one after the other.
pub trait ArtifactSource {
    /// Returns the next artifact of `state`, which is the same at every call. Returns `None` after the last one.
    ///
    /// # Errors
    /// Returns an [`ArtifactError`] if the state lacks an artifact, or if nothing in the state binds it.
    fn next(&mut self, state: &dyn Read) -> Result<Option<Vec<u8>>, ArtifactError>;
}

/// The receiver of a snapshot's entries and artifacts. It checks each against the state that has arrived so far.
pub trait ArtifactSink {
    /// Takes an entry of the state that was checked, and writes the node-local entries that follow from it.
    ///
    /// # Errors
    /// Returns an [`ArtifactError`] if the entry is no record that the chain could have.
    fn entry(
        &mut self,
        key: &[u8],
        value: &[u8],
        state: &mut dyn WriteLocal,
    ) -> Result<(), ArtifactError>;

    /// Takes the next artifact after all entries.
    ///
    /// # Errors
    /// Returns an [`ArtifactError`] if it is not the one that the state binds.
    fn artifact(&mut self, bytes: &[u8], state: &mut dyn WriteLocal) -> Result<(), ArtifactError>;

    /// Checks that no artifact is missing.
    ///
    /// # Errors
    /// Returns an [`ArtifactError`] that names the first artifact that is.
    fn finish(&mut self, state: &mut dyn WriteLocal) -> Result<(), ArtifactError>;

    /// Returns how far it has come, for [`ArtifactSink::resume`].
    fn position(&self) -> Vec<u8>;

    /// Goes on where an earlier sink had come to.
    ///
    /// # Errors
    /// Returns an [`ArtifactError`] if the bytes are no position.
    fn resume(&mut self, position: &[u8]) -> Result<(), ArtifactError>;
}
