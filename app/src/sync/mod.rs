//! State sync: snapshots that this node writes and serves, and the one from which it begins.
//!
//! `library` is the directory of finished snapshots. `writer` writes them in a thread of its own, from a view of
//! the committed state, so that no block waits. `restore` takes the chunks of one, and `offer` is the one that
//! is being taken. `about` is what a snapshot says of itself, and `pruning` which blocks they need. ABCI's methods are in
//! `state_sync.rs` beside this folder.
//!
//! The format and its checks are the store's ([`SnapshotHead`](capstan_store::SnapshotHead)), and what travels besides the
//! trees is the kernel's ([`capstan_kernel::sync`]).
//!
//! Knows `observe` and `records`.

pub(crate) mod about;
mod library;
mod offer;
mod pruning;
mod restore;
mod writer;

pub use library::{Snapshot, SnapshotError, Snapshots};
pub(crate) use offer::{Offered, Offers};
pub(crate) use pruning::retain_height;
pub use restore::{RestoreError, Restorer};
pub(crate) use writer::SnapshotWriter;

use std::path::PathBuf;

use capstan_store::Options;

/// Options of state sync. The state depends on none of them.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// Directory of the snapshots.
    pub dir: PathBuf,
    /// Number of blocks between two snapshots. 0 writes none.
    pub interval: u64,
    /// Number of snapshots that are kept.
    pub keep: usize,
    /// Directory of the store, in which a state is restored.
    pub store_dir: PathBuf,
    /// [`Options`] of the store of a restored state.
    pub store: Options,
    /// Lets CometBFT remove blocks that neither a snapshot nor evidence of misbehavior needs.
    pub prune_blocks: bool,
    /// Number of blocks for which evidence of misbehavior is accepted.
    pub evidence_blocks: u64,
    /// Number of heights before the last one at which proven records are kept.
    pub retain_heights: u64,
}
