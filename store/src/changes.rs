//! The changes of a commit, in the form in which all rooms exchange them.

use std::sync::Arc;

use capstan_kernel_ports::Hash;

/// Bytes that several states share.
pub(crate) type Shared = Arc<[u8]>;
/// A key with its new value, or `None` if the key was removed.
pub(crate) type Written = (Shared, Option<Shared>);

/// Changes of one commit: entries in key order, records of the tree that are no longer one, new blobs.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) flat: Vec<Written>,
    pub(crate) gone: Vec<Shared>,
    pub(crate) blobs: Vec<(Hash, Shared)>,
}
