//! Observers of the execution of blocks, outside of consensus: slog, traces, metrics, reports to the operator.

pub mod cause;
pub(crate) mod crash;
pub(crate) mod fatal;
pub(crate) mod metrics;
pub(crate) mod running;
pub(crate) mod slog;
pub(crate) mod timed;
pub mod trace;
pub(crate) mod watch;
pub(crate) mod ways;
