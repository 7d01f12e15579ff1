//! The [`Kernel`](kernel::Kernel) and the operations that the application calls on it.
//!
//! This room lies over all others: it runs cranks, and changes the state between them.

mod devices;
pub(crate) mod genesis;
mod introduce;
pub(crate) mod kernel;
mod messages;
pub(crate) mod options;
mod remotes;
mod revocation;
pub mod subcluster;
mod vats;
