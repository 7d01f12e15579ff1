//! The way from a block to the next committed state.
//!
//! [`net`] reduces a block to the writes that change something. [`prepared`] is the block with the root it leads
//! to. [`flush`] writes checkpoints in the background. [`replay`] repeats at opening what the state's file lacks.
//!
//! Knows `block`, `tree`, `view` and `disk`.

pub(crate) mod flush;
pub(crate) mod net;
pub(crate) mod prepared;
pub(crate) mod replay;
