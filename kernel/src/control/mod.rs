//! The [`Kernel`](kernel::Kernel) and the operations that the application calls on it.
//!
//! This room lies over all others: it runs cranks, and changes the state between them.

pub(crate) mod ahead;
mod devices;
pub(crate) mod genesis;
mod introduce;
mod io;
pub(crate) mod kernel;
mod messages;
pub(crate) mod options;
mod remotes;
mod revocation;
mod services;
mod subclusters;
mod vats;
