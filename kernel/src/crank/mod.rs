//! One crank, from the selection of an event to the commit of its changes.
//!
//! This room knows the records of the state, the vats and the devices. It does not know who runs cranks.

pub(crate) mod deliver;
pub(crate) mod execute;
pub(crate) mod foresee;
pub(crate) mod guard;
pub mod policy;
pub(crate) mod results;
pub(crate) mod route;
mod serve;
pub(crate) mod skip;
pub(crate) mod terminate;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod terminate_tests;
pub(crate) mod upgrade;
