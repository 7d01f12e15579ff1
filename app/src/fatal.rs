//! The end of a node: nothing of the block is committed, a report says why, the process ends.

use std::{fmt, path::PathBuf};

use crate::fault::NodeFault;

/// The process's exit code when every node stops at this block: a critical vat died.
pub const EXIT_CONSENSUS_HALT: i32 = 70;
/// The process's exit code when this node alone cannot go on: disk, memory, damage.
pub const EXIT_NODE_FAULT: i32 = 74;

/// Why a node stops, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatalReport {
    /// The ABCI method that was executed.
    pub during: &'static str,
    /// The last committed height.
    pub committed_height: u64,
    /// What happened. For a critical vat: the vat and the cause.
    pub cause: String,
    /// True if every node stops at this block.
    pub everywhere: bool,
}

impl FatalReport {
    pub(crate) fn new(during: &'static str, committed_height: u64, fault: &NodeFault) -> Self {
        let everywhere = matches!(fault, NodeFault::Kernel(panic) if panic.is_consensus());
        Self { during, committed_height, cause: fault.to_string(), everywhere }
    }

    /// The exit code that goes with it.
    pub fn exit_code(&self) -> i32 {
        if self.everywhere { EXIT_CONSENSUS_HALT } else { EXIT_NODE_FAULT }
    }
}

impl fmt::Display for FatalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.everywhere {
            true => {
                "Every node stops at this block; the chain needs a new version or a new genesis."
            }
            false => "This node alone stops; mend its disk or memory and start it again.",
        };
        write!(
            f,
            "the node stops in {} after height {}: {}\nNothing of the block in progress was committed. {scope}",
            self.during, self.committed_height, self.cause
        )
    }
}

/// What to do at the end of a node.
pub struct FatalHandler(Box<dyn Fn(&FatalReport) + Send + Sync>);

impl FatalHandler {
    /// Writes the report to stderr and, if there is one, to the file, and ends the process.
    pub fn exit(report_file: Option<PathBuf>) -> Self {
        Self(Box::new(move |report| {
            eprintln!("{report}");
            if let Some(path) = &report_file
                && let Err(error) = std::fs::write(path, format!("{report}\n"))
            {
                eprintln!("the report cannot be written to {}: {error}", path.display());
            }
            std::process::exit(report.exit_code());
        }))
    }

    /// Calls `handle`, and panics if that returns: for tests, and for hosts of several nodes.
    pub fn call_back(handle: impl Fn(&FatalReport) + Send + Sync + 'static) -> Self {
        Self(Box::new(handle))
    }

    pub(crate) fn call(&self, report: &FatalReport) -> ! {
        (self.0)(report);
        std::panic::panic_any(report.to_string())
    }
}

impl fmt::Debug for FatalHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FatalHandler")
    }
}
