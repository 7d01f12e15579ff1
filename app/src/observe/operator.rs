use std::path::PathBuf;

/// Paths of the files that a node writes for its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorFiles {
    /// Home directory of the node, as commands for the operator name it.
    pub home: PathBuf,
    /// Note of the block in progress, from which the next start reports a crash.
    pub running: PathBuf,
    /// Report of a block that ended the process: a [`CrashReport`](crate::CrashReport) or
    /// [`FatalReport`](crate::FatalReport).
    pub report: PathBuf,
}
