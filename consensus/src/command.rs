//! The messages to the thread that makes blocks.

/// A message to the thread that makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// There may be work.
    Wake,
    /// End after the running block.
    Stop,
}
