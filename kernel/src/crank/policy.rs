//! Policies: how long a run goes on, and how much cleanup it does.

use capstan_kernel_ports::Computrons;

use crate::billing::READS_PER_WRITE;
pub use crate::state::cleanup::CleanupCounts;

/// Decides, crank by crank, how long [`Kernel::run`](crate::Kernel::run) goes on.
pub trait RunPolicy {
    /// Returns the most that the next crank may clean up of a terminated vat, or `None` if it may not.
    fn allow_cleanup(&mut self) -> Option<CleanupCounts>;

    /// A crank is over. True to go on.
    fn crank_done(&mut self, outcome: &CrankOutcome, work: &KernelWork) -> bool;
}

/// The work for a crank, of the vat, the kernel and the store. It is the same on every node. Node-local entries do
/// not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelWork {
    /// Entries that were set or removed, and that no crank before has written in this block.
    pub entries: u64,
    /// The bytes of the keys and values of all entries that the crank wrote.
    pub bytes: u64,
    /// References that the crank looked up or counted, and entries that it read for syscalls. One whose key was
    /// [cold](capstan_kernel_ports::store::Overlay::warm_up) counts as seventeen.
    pub reads: u64,
    /// Computrons that the vat and its worker spent: deliveries, failed ones included, starts, and returns to
    /// memory. A delivery that failed by a fault counts all that it might have spent. What the kernel wrote for a delivery
    /// that was undone is among them.
    pub computrons: u64,
    /// The number of pages of the vat's heap, where each that changed since the snapshot before counts as five. `None` if no
    /// snapshot of it was taken.
    pub snapshot_pages: Option<u64>,
}

impl KernelWork {
    /// Adds the bytes of an entry that is written.
    pub(crate) fn add_bytes(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
    }
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
    /// Charged for every entry that the block writes. The first look of a block at one counts about half of that, and each further
    /// one a thirty-second.
    pub write: u64,
    /// Charged for each byte that a crank writes.
    pub write_byte: u64,
    /// Charged for a snapshot of a vat's heap, in addition to what the vat spends for it.
    pub snapshot: u64,
    /// Charged for each page of a heap of which a snapshot is taken, and four times more for each that changed.
    pub page: u64,
    /// The budget for one crank of cleanup, or `None` once it was used, or something was delivered. So a vat that ends is
    /// cleaned up after what its last delivery led to.
    pub cleanup: Option<CleanupCounts>,
}

impl BlockPolicy {
    /// Counts work that is done in the block besides cranks. It leaves cranks at least `spared` of what is left.
    pub fn count(&mut self, computrons: u64, spared: u64) {
        self.computrons_spent = self.computrons_spent.saturating_add(computrons);
        let spared = spared.min(self.computrons_left);
        self.computrons_left = self.computrons_left.saturating_sub(computrons).max(spared);
    }
}

impl RunPolicy for BlockPolicy {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        self.cleanup
    }

    fn crank_done(&mut self, outcome: &CrankOutcome, work: &KernelWork) -> bool {
        let creation = match outcome {
            CrankOutcome::VatCreated { .. } => {
                self.cleanup = None;
                self.vat_creation
            }
            CrankOutcome::Cleanup { work } => {
                self.cleanup = None;
                // Half of what is removed are node-local entries, which are not among those below.
                self.write.saturating_mul(work.total())
            }
            CrankOutcome::Delivery { .. } => {
                self.cleanup = None;
                0
            }
            CrankOutcome::Empty => 0,
        };
        let pages = |pages| self.snapshot.saturating_add(self.page.saturating_mul(pages));
        let cost = [
            creation,
            self.crank,
            self.write.saturating_mul(work.entries),
            self.write.saturating_mul(work.reads) / READS_PER_WRITE,
            self.write_byte.saturating_mul(work.bytes),
            work.snapshot_pages.map_or(0, pages),
        ]
        .into_iter()
        .fold(work.computrons, u64::saturating_add);
        self.computrons_spent = self.computrons_spent.saturating_add(cost);
        self.computrons_left = self.computrons_left.saturating_sub(cost);
        self.computrons_left > 0
    }
}
