//! Deliveries that a host makes before their turn, on other threads.
//!
//! A vat's run depends on its heap, the delivery, the vat's own store and the results of its other syscalls. Most of
//! these return nothing. So a host can run a delivery ahead, with an [`Answers`] that knows the vat's store. It keeps the
//! syscalls, and makes them of the kernel at the delivery's turn. If each result is the one that the worker was told, the
//! outcome is the one of a run at that time. Otherwise the run is lost, and the kernel has the delivery made again.

use capstan_abi::{Delivery, Syscall, SyscallResult};

use crate::{
    Computrons, VatId,
    host::{Delivered, HostFault, VatHost},
};

/// Work that another thread does before its turn, or the kernel's at its turn, with a host of its own for workers.
///
/// That host knows the engines and sources of the host that it came from. If the work is to bring a vat's worker into memory,
/// it leaves the worker there, and returns a number of its choice. Otherwise it returns `None`, and what it did is dropped.
pub type Errand = Box<dyn FnOnce(&mut dyn VatHost) -> Option<u64> + Send>;

/// The limits within which a host runs deliveries ahead. They are this node's own choice, and no result shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AheadPlan {
    /// The most vats whose deliveries may be under way or wait for their turn at once. With 0 none is run ahead.
    pub capacity: usize,
    /// The average computrons of a vat's deliveries from which running them ahead gains time.
    pub at_least: Computrons,
    /// Keeps running deliveries ahead however much work is lost, for tests.
    pub is_reckless: bool,
}

impl AheadPlan {
    /// The plan of a host that runs nothing ahead.
    pub const NONE: Self = Self { capacity: 0, at_least: Computrons(0), is_reckless: false };
}

/// The answers to syscalls that do not need the kernel.
pub trait Answers: Send {
    /// Returns the result of a syscall, as the kernel is expected to give it.
    ///
    /// Returns `None` if only the kernel can tell, or if the syscalls since it last was `None` take much memory. Then the
    /// worker waits for the delivery's turn, and goes on with the kernel's result.
    fn answer(&mut self, syscall: &Syscall) -> Option<SyscallResult>;

    /// Notes that the worker begins to compute, or stops until it is its turn or for good. No result depends on it.
    fn computes(&mut self, does: bool) {
        let _ = does;
    }
}

/// A delivery that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The delivery, in the vat's words.
    pub delivery: Delivery,
    /// The computrons that it may spend.
    pub limit: Computrons,
}

/// Deliveries to one vat that are to be run ahead.
pub struct Ahead {
    /// The vat, whose worker is in memory.
    pub vat: VatId,
    /// The next delivery to the vat.
    pub first: Expected,
    /// Those after it, in their order. Each begins if the one before goes well, and is lost with it.
    pub then: Vec<Expected>,
    /// The [`Answers`] to their syscalls.
    pub answers: Box<dyn Answers>,
    /// If the last delivery goes well, the next one is [`Delivery::BringOutYourDead`], and then the vat's heap is asked for.
    /// Both may be made ahead, too.
    pub then_snapshot: bool,
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ahead")
            .field("vat", &self.vat)
            .field("first", &self.first)
            .field("then", &self.then)
            .field("then_snapshot", &self.then_snapshot)
            .finish_non_exhaustive()
    }
}

/// What the kernel has answered in a run that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// A syscall, well formed or not, with the kernel's result.
    Syscall(SyscallResult),
    /// A line that the worker printed.
    Line,
}

/// The outcome of a delivery's turn.
#[derive(Debug)]
pub enum Turn {
    /// Nothing was run ahead for the vat. Its worker is in memory if it was before, and has run nothing.
    NotAhead,
    /// The run counts. Its syscalls were made. The error stands for a run that the kernel's answers have ended.
    Done(Result<Delivered, HostFault>),
    /// The run does not count, and the vat's worker is gone.
    ///
    /// A worker that takes the same delivery in the same state makes the same calls first. They are not to be made of the
    /// kernel again.
    Lost(Vec<Made>),
}
