//! The SwingSet kernel: c-lists, promises, queues, garbage collection, vats and their end.
//!
//! It is a pure state machine. It never reads a clock, a file, an environment variable, a socket or
//! a random number, and iterates over nothing that is not ordered: all it knows comes in through the
//! overlay of the block in progress ([`capstan_kernel_ports::store`]), the vat host
//! ([`capstan_kernel_ports::host`]) and its arguments.
//!
//! Start at [`Kernel`]; the state's layout is drawn in `state/keys.rs`; reading it is in [`view`].

pub mod capdata;
mod control;
mod crank;
pub mod device;
mod error;
pub mod ids;
pub mod limits;
pub mod slog;
mod state;
mod vats;
pub mod view;

pub use control::{
    genesis::{KernelConfig, StaticVat},
    kernel::{Kernel, NodeOptions, RunReport},
    requests::{BadOptions, OptionChanges},
    subcluster,
};
pub use crank::{policy, terminate::CleanupWork};
pub use device::{Application, VAT_ADMIN};
pub use error::KernelPanic;
pub use state::{
    clist,
    handle::{KernelOptions, SCHEMA_VERSION},
    meter, object, promise, queue, remote, stats, vat,
};
pub use vats::{replay, transcript};
pub use view::changes;
