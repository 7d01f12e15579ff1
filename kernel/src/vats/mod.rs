//! Vats in memory: their workers, transcripts and heap snapshots, the translation of what crosses to them, and what
//! those are told that run ahead of their turn.
//!
//! This room knows the records of the state, and the devices that syscalls reach. It does not know why a delivery
//! is made.

pub(crate) mod ahead;
pub(crate) mod heap;
pub(crate) mod liveslots;
pub(crate) mod online;
pub(crate) mod prepare;
pub mod replay;
pub(crate) mod residency;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod syscall;
mod syscall_size;
pub mod transcript;
pub(crate) mod translate;
pub(crate) mod worker;
