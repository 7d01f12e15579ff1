//! What the thread that makes blocks is told.

/// A message to the thread that makes blocks. Commands of development (stepping, snapshots, moving
/// time) belong here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// There may be work.
    Wake,
    /// End after the running block.
    Stop,
}
