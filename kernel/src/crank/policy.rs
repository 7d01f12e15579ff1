//! How long a run goes on, and how much of the dead it may clean up.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Computrons;
use serde_json::{Value, json};

use crate::crank::terminate::CleanupWork;

/// Decides, crank by crank, whether a run goes on.
pub trait RunPolicy {
    /// Whether the next crank may clean up a terminated vat, and how much of it.
    fn allow_cleanup(&mut self) -> Option<CleanupBudget>;

    /// A crank is over. True to go on.
    fn crank_done(&mut self, outcome: &CrankOutcome, work: &KernelWork) -> bool;
}

/// What a crank had the kernel and the store do, beside what its vat spent; the same on every node. Of
/// node-local entries nothing is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelWork {
    /// Entries that were set or removed, and that no crank before has written in this block.
    pub entries: u64,
    /// The bytes of the keys and values of all entries that the crank wrote.
    pub bytes: u64,
    /// What the vat spent to bring out its dead before a snapshot of its heap was taken; none if none
    /// was.
    pub snapshot: Option<Computrons>,
}

/// What a crank did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrankOutcome {
    /// It routed an event, or there was nothing to deliver.
    Empty,
    /// It made a delivery.
    Delivery {
        /// What the vat spent; none if it died of a fault.
        computrons: Option<Computrons>,
    },
    /// It made a dynamic vat, or tried to.
    VatCreated {
        /// What the vat spent; none if it died of a fault.
        computrons: Option<Computrons>,
    },
    /// It cleaned up part of a terminated vat.
    Cleanup {
        /// How much.
        work: CleanupWork,
    },
}

/// How much of a terminated vat one crank may remove, phase by phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CleanupBudget {
    /// Exports to abandon.
    pub exports: u64,
    /// Imports to drop.
    pub imports: u64,
    /// Promises to drop.
    pub promises: u64,
    /// Keys of the vat's store to delete.
    pub kv: u64,
    /// Heap snapshots to delete.
    pub snapshots: u64,
    /// Transcript entries to delete.
    pub transcripts: u64,
}

impl CleanupBudget {
    /// No limit: for tests and for SwingSet's `step`, never for a chain.
    pub const UNLIMITED: Self = Self::uniform(u64::MAX);

    /// The same limit for every phase.
    pub const fn uniform(limit: u64) -> Self {
        Self {
            exports: limit,
            imports: limit,
            promises: limit,
            kv: limit,
            snapshots: limit,
            transcripts: limit,
        }
    }

    /// As SwingSet writes it: `{default, …}`; no limit is null.
    pub fn to_json(self) -> Value {
        let limit = |n: u64| if n == u64::MAX { Value::Null } else { json!(n) };
        if self == Self::uniform(self.exports) {
            return json!({"default": limit(self.exports)});
        }
        json!({
            "default": limit(self.exports), "exports": limit(self.exports),
            "imports": limit(self.imports), "promises": limit(self.promises), "kv": limit(self.kv),
            "snapshots": limit(self.snapshots), "transcripts": limit(self.transcripts),
        })
    }
}

/// Runs until nothing is left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forever;

impl RunPolicy for Forever {
    fn allow_cleanup(&mut self) -> Option<CleanupBudget> {
        Some(CleanupBudget::UNLIMITED)
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, _work: &KernelWork) -> bool {
        true
    }
}

/// Runs a number of cranks, empty ones included.
#[derive(Clone, Copy, Debug)]
pub struct CrankCount {
    /// How many are left.
    pub left: u64,
}

impl RunPolicy for CrankCount {
    fn allow_cleanup(&mut self) -> Option<CleanupBudget> {
        Some(CleanupBudget::UNLIMITED)
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, _work: &KernelWork) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

/// A block's budget: cranks spend computrons until none are left; cleanup has a budget of its own,
/// spent once a block.
///
/// A crank counts what its vat spends, and what the kernel and the store have to do for it: so the sum
/// foretells how long the block takes, whatever its cranks are.
#[derive(Clone, Debug)]
pub struct BlockPolicy {
    /// Computrons left in the block.
    pub computrons_left: u64,
    /// Computrons spent so far.
    pub computrons_spent: u64,
    /// Charged for making a vat, beside what its start spends.
    pub vat_creation: u64,
    /// Charged for every crank.
    pub crank: u64,
    /// Charged for every entry that the block writes.
    pub write: u64,
    /// Charged for each byte that a crank writes.
    pub write_byte: u64,
    /// Charged for a snapshot of a vat's heap, beside what the vat spends for it.
    pub snapshot: u64,
    /// Charged for a delivery that ended in a fault: the most that it can have spent.
    pub fault: u64,
    /// What may still be cleaned up in this block; none once it was.
    pub cleanup: Option<CleanupBudget>,
}

impl RunPolicy for BlockPolicy {
    fn allow_cleanup(&mut self) -> Option<CleanupBudget> {
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
            CrankOutcome::Cleanup { .. } => {
                self.cleanup = None;
                0
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
