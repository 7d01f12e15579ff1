//! The [`Kernel`](kernel::Kernel) and the operations that the application calls on it.
//!
//! This room lies over all others: it runs cranks, and changes the state between them.

pub(crate) mod genesis;
pub(crate) mod kernel;
pub(crate) mod requests;
pub mod subcluster;
