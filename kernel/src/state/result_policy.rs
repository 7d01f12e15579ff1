//! What follows the settlement of a message's result.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::ids::SubclusterId;

/// The kernel's reaction to the settlement of a promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ResultPolicy {
    /// No reaction.
    #[default]
    Ignore,
    /// Logs the settlement.
    LogAlways,
    /// Logs a rejection.
    LogFailure,
    /// Stops the kernel at a rejection, by [`KernelPanic::PromisePolicy`](crate::KernelPanic::PromisePolicy).
    Panic,
    /// Completes the launch of a subcluster, or undoes it at a rejection.
    Launch(SubclusterId),
}
