use std::path::PathBuf;

/// Files for the operator, besides the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorFiles {
    /// The node's home, as commands for the operator name it.
    pub home: PathBuf,
    /// The note of the block in progress.
    pub running: PathBuf,
    /// Gets the report of a block that ended the process.
    pub report: PathBuf,
}
