//! A deterministic simulator: applications of many validators in one process, on disks that crash, driven by one seeded
//! scheduler instead of an engine.
//!
//! [`Disk`] is a medium that loses what was not synced, by whole writes and by sectors, and that fails after a number of
//! operations. [`Validator`] is an application on such a disk with what CometBFT keeps beside it. [`Network`] decides
//! blocks as CometBFT does, hands them to the validators at random speeds, crashes and restarts them, and compares what
//! they come to.

mod hostile;
mod network;
mod validator;

pub use capstan_test_disk::Disk;
pub use hostile::hostile_transaction;
pub use network::{Counts, Decided, Network};
pub use validator::{Crashed, Validator, store_on};
