//! The end of a node at a fault: nothing of the block is committed, a report gives the reason, and the process exits.

use std::{
    fmt,
    fs::File,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use capstan_files::printable;
use capstan_kernel::KernelPanic;
use capstan_kernel_ports::VatId;

use crate::{
    fault::NodeFault,
    observe::{
        AbciMethod,
        remedy::{self, Remedy},
        watch::{LastCrank, LastDelivery},
    },
};

/// Exit code of the process if every node stops at this block, since a critical vat died.
pub const EXIT_CONSENSUS_HALT: i32 = 70;
/// Exit code of the process if only this node cannot go on, because of its disk, its memory or damage.
pub const EXIT_NODE_FAULT: i32 = 74;

/// Report about the end of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatalReport {
    /// [`AbciMethod`] that was executed.
    pub during: AbciMethod,
    /// The last committed height.
    pub committed_height: u64,
    /// Fault that ended the node. For a critical vat, it names the vat and the reason of its end.
    pub cause: String,
    /// True if every node stops at this block.
    pub everywhere: bool,
    /// [`VatId`] and name of the critical vat whose end stops the chain.
    pub critical_vat: Option<(VatId, String)>,
    /// [`LastCrank`] of the kernel in the block, or `None` if it ran none.
    pub last: Option<LastCrank>,
    /// [`Remedy`]s for the operator, the one with the least effect first.
    pub remedies: Vec<Remedy>,
}

impl FatalReport {
    pub(crate) fn new(during: AbciMethod, committed_height: u64, fault: &NodeFault) -> Self {
        let everywhere = matches!(fault, NodeFault::Kernel(panic) if panic.is_consensus());
        let critical_vat = match fault {
            NodeFault::Kernel(KernelPanic::CriticalVat { vat, .. }) => Some((*vat, String::new())),
            _ => None,
        };
        let cause = fault.to_string();
        let remedies = Vec::new();
        Self { during, committed_height, cause, everywhere, critical_vat, last: None, remedies }
    }

    /// Returns the process's exit code: [`EXIT_CONSENSUS_HALT`] or [`EXIT_NODE_FAULT`].
    pub fn exit_code(&self) -> i32 {
        if self.everywhere { EXIT_CONSENSUS_HALT } else { EXIT_NODE_FAULT }
    }
}

impl fmt::Display for FatalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { during, committed_height, cause, .. } = self;
        writeln!(f, "the node stops in {during} after height {committed_height}: {cause}")?;
        if let Some((vat, name)) = &self.critical_vat {
            let name = if name.is_empty() { "no name" } else { name };
            writeln!(
                f,
                "  vat       {vat} ({name}), critical: the chain does not go on without it"
            )?;
        }
        if let Some(last) = &self.last {
            writeln!(f, "  block     {}", last.height)?;
            write_crank(f, last)?;
        }
        writeln!(f, "Nothing of the block in progress was committed.")?;
        f.write_str(match self.everywhere {
            true => EVERYWHERE,
            false => HERE,
        })?;
        remedy::write(f, &self.remedies)
    }
}

/// Writes a report's lines about a [`LastCrank`].
pub(crate) fn write_crank(f: &mut fmt::Formatter<'_>, last: &LastCrank) -> fmt::Result {
    let place = last.place.map(|place| format!(" at {place}")).unwrap_or_default();
    writeln!(f, "  crank     {}{place}: {}", last.crank, last.message)?;
    if let Some(cause) = &last.cause {
        writeln!(f, "  led to by {cause}")?;
    }
    if let Some(vat) = last.starting {
        writeln!(f, "  vat       {vat} was being brought into memory")?;
    }
    if let Some(delivery) = &last.delivery {
        let LastDelivery { vat, number, delivery, result } = delivery;
        writeln!(f, "  delivery  d{number} to {vat}: {delivery}")?;
        writeln!(f, "  result    {}", result.as_deref().unwrap_or("none"))?;
    }
    Ok(())
}

const EVERYWHERE: &str = "\
Every node of the chain stops at this block, and stops there again when it is started again.
To look further: `capstan debug cranks` prints what the cranks of the last blocks did, this one's included.
To go on: `capstan override --help` tells how the validators agree on what to do differently in this block, and \
`capstan recover --help` how they begin a new chain from the last committed state.";

const HERE: &str = "\
This node alone stops: mend its disk or memory and start it again. If the state is damaged, restore a copy of the home, \
or let a new home fetch the blocks from peers.";

/// Action at the end of a node, which receives the [`FatalReport`].
pub struct FatalHandler(Box<dyn Fn(&FatalReport) + Send + Sync>);

impl FatalHandler {
    /// Creates a handler that writes the report to stderr and to `report_file`, and ends the process. It keeps a
    /// descriptor for the file, since the node may end because it has no other one left.
    pub fn exit(report_file: Option<PathBuf>) -> Self {
        let reserve = Mutex::new(report_file.as_ref().and_then(|_| File::open("/dev/null").ok()));
        Self(Box::new(move |report| {
            let text = report.to_string();
            // It cites what vats said.
            let text = printable(&text);
            eprintln!("{text}");
            drop(reserve.lock().unwrap_or_else(PoisonError::into_inner).take());
            if let Some(path) = &report_file
                && let Err(error) = std::fs::write(path, format!("{text}\n"))
            {
                eprintln!("the report cannot be written to {}: {error}", path.display());
            }
            std::process::exit(report.exit_code());
        }))
    }

    /// Creates a handler that calls `handle`, and panics if that returns. It serves tests and hosts of several nodes.
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
