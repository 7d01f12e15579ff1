//! The SwingSet kernel: c-lists, promises, queues, garbage collection, vats and their end.
//!
//! It is a pure state machine. It never reads a clock, a file, an environment variable, a socket or
//! a random number, and iterates over nothing that is not ordered: all it knows comes in through the
//! overlay of the block in progress ([`capstan_kernel_ports::store`]), the vat host
//! ([`capstan_kernel_ports::host`]) and its arguments.
//!
//! Start at [`Kernel`]; the state's layout is drawn in `keys.rs`; reading it is in [`view`].

pub mod capdata;
pub mod changes;
pub mod clist;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod clist_tests;
mod control;
mod crank;
mod deliver;
pub mod device;
mod error;
mod gc;
mod genesis;
mod guard;
mod heap;
pub mod ids;
mod keys;
pub mod limits;
mod liveslots;
pub mod meter;
pub mod object;
mod plain;
pub mod policy;
pub mod promise;
pub mod queue;
pub mod remote;
pub mod replay;
mod route;
pub mod slog;
pub mod smallcaps;
mod state;
pub mod stats;
pub mod subcluster;
mod syscall;
mod terminate;
pub mod transcript;
mod translate;
mod upgrade;
pub mod vat;
pub mod view;
mod worker;

pub use control::{BadOptions, OptionChanges};
pub use crank::{Kernel, NodeOptions, RunReport};
pub use device::{Application, VAT_ADMIN};
pub use error::KernelPanic;
pub use genesis::{KernelConfig, StaticVat};
pub use state::{KernelOptions, SCHEMA_VERSION};
pub use terminate::CleanupWork;
