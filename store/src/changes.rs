//! The changes of commits, in memory.

use std::sync::Arc;

use capstan_kernel_ports::Hash;

/// Bytes that are shared.
pub(crate) type Shared = Arc<[u8]>;
/// A key and its value; none if it was removed.
pub(crate) type Written = (Shared, Option<Shared>);

/// The changes of one commit: entries in key order, tree nodes in any order.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) flat: Vec<Written>,
    pub(crate) nodes: Vec<Written>,
    pub(crate) blobs: Vec<(Hash, Shared)>,
}
