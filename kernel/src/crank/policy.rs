//! Policies: how long a run goes on, and how much cleanup it does.

use capstan_kernel_ports::Computrons;

pub use crate::state::cleanup::CleanupCounts;

/// Decides, crank by crank, how long [`Kernel::run`](crate::Kernel::run) goes on.
pub trait RunPolicy {
    /// Returns the most that the next crank may clean up of a terminated vat, or `None` if it may not.
    fn allow_cleanup(&mut self) -> Option<CleanupCounts>;

    /// A crank is over. True to go on.
    fn crank_done(&mut self, outcome: &CrankOutcome, work: &KernelWork) -> bool;
}

/// The work of the kernel and the store for a crank, in addition to the vat's own. It is the same on every
/// node. Node-local entries do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelWork {
    /// Entries that were set or removed, and that no crank before has written in this block.
    pub entries: u64,
    /// The bytes of the keys and values of all entries that the crank wrote.
    pub bytes: u64,
    /// Computrons that the vat spent on `bringOutYourDead` before a snapshot of its heap. `None` if no
    /// snapshot was taken.
    pub snapshot: Option<Computrons>,
}

/// The kind of a crank, and what its vat spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrankOutcome {
    /// It routed an event, or there was nothing to deliver.
    Empty,
    /// It made a delivery.
    Delivery {
        /// Computrons that the vat spent, or `None` if it ended by a fault.
        computrons: Option<Computrons>,
    },
    /// It made a dynamic vat, or tried to.
    VatCreated {
        /// Computrons that the vat spent, or `None` if it ended by a fault.
        computrons: Option<Computrons>,
    },
    /// It cleaned up part of a terminated vat.
    Cleanup {
        /// The [`CleanupCounts`] of what was removed.
        work: CleanupCounts,
    },
}

/// A [`RunPolicy`] that runs until nothing is left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forever;

impl RunPolicy for Forever {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::UNLIMITED)
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, _work: &KernelWork) -> bool {
        true
    }
}

/// The cleanup of one crank that [`CrankCount`] allows, in each phase: that of SwingSet's crank counter.
const CLEANUP_OF_A_CRANK: CleanupCounts = CleanupCounts::uniform(100);

/// A [`RunPolicy`] that runs a number of cranks, empty ones included. Each may clean up as much as with
/// SwingSet's crank counter: 100 of each kind.
#[derive(Clone, Copy, Debug)]
pub struct CrankCount {
    /// The number of cranks that are left.
    pub left: u64,
}

impl RunPolicy for CrankCount {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CLEANUP_OF_A_CRANK)
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, _work: &KernelWork) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

/// A block's budget of computrons, with a separate budget for one crank of cleanup. Whoever drives the kernel gives
/// that again when nothing else is left to do.
///
/// A crank counts what its vat spends, and what the kernel and the store do for it. So the sum predicts how
/// long the block takes, whatever its cranks are.
#[derive(Clone, Debug)]
pub struct BlockPolicy {
    /// Computrons left in the block.
    pub computrons_left: u64,
    /// Computrons spent so far.
    pub computrons_spent: u64,
    /// Charged for making a vat, in addition to what its start spends.
    pub vat_creation: u64,
    /// Charged for every crank.
    pub crank: u64,
    /// Charged for every entry that the block writes.
    pub write: u64,
    /// Charged for each byte that a crank writes.
    pub write_byte: u64,
    /// Charged for a snapshot of a vat's heap, in addition to what the vat spends for it.
    pub snapshot: u64,
    /// Charged for a delivery that ended in a fault: the most that it can have spent.
    pub fault: u64,
    /// The budget for one crank of cleanup, or `None` once it was used.
    pub cleanup: Option<CleanupCounts>,
}

impl RunPolicy for BlockPolicy {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        self.cleanup
    }

    fn crank_done(&mut self, outcome: &CrankOutcome, work: &KernelWork) -> bool {
        let spent = |computrons: &Option<Computrons>| computrons.map_or(self.fault, |c| c.0);
        let vat = match outcome {
            CrankOutcome::Empty => 0,
            CrankOutcome::Delivery { computrons } => spent(computrons),
            CrankOutcome::VatCreated { computrons } => {
                spent(computrons).saturating_add(self.vat_creation)
            }
            CrankOutcome::Cleanup { work } => {
                self.cleanup = None;
                // Half of what is removed are node-local entries, which are not among those below.
                self.write.saturating_mul(work.total())
            }
        };
        let cost = [
            self.crank,
            self.write.saturating_mul(work.entries),
            self.write_byte.saturating_mul(work.bytes),
            work.snapshot.map_or(0, |spent| self.snapshot.saturating_add(spent.0)),
        ]
        .into_iter()
        .fold(vat, u64::saturating_add);
        self.computrons_spent = self.computrons_spent.saturating_add(cost);
        self.computrons_left = self.computrons_left.saturating_sub(cost);
        self.computrons_left > 0
    }
}
