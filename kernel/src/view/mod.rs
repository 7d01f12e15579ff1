//! Reads of a committed state, without running anything.
//!
//! This room knows the records of the state and reads them through
//! [`Read`](capstan_kernel_ports::store::Read) alone.

pub mod changes;
mod records;

pub use records::*;
