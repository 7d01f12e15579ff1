//! A block that is being executed: a stack of overlays over a committed state.
//!
//! [`overlay`] holds the levels and answers reads. [`merge`] walks the written keys of all levels in one order.
//! [`committed`] caches what the block has read of the state below. [`pin`] lets another thread read a part of the block.
//! [`warm`] remembers which keys the block has read, for the prices of reads.
//!
//! Knows `view`. Nothing here writes to disk.

pub(crate) mod committed;
pub(crate) mod empty;
pub(crate) mod level;
pub(crate) mod merge;
pub(crate) mod overlay;
pub(crate) mod pin;
pub(crate) mod warm;
