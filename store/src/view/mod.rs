//! Reading a committed state: the last checkpoint, and in memory the changes since.
//!
//! [`state_view`] is the state at one height. [`layers`] and [`memory`] hold the changes of later commits, each with
//! the serial of its commit. [`entries`] iterates over a checkpoint and the changes together, and [`live`] past what was
//! removed. [`gap`] remembers ranges without keys, so that nothing walks them twice.
//!
//! Knows `disk`.

pub(crate) mod entries;
pub(crate) mod gap;
pub(crate) mod layers;
pub(crate) mod live;
pub(crate) mod memory;
pub(crate) mod state_view;
