//! Observers of the execution of blocks, outside of consensus: slog, traces, metrics, reports to the operator.

pub mod cause;
pub(crate) mod crash_report;
pub(crate) mod fatal;
mod method;
pub(crate) mod metrics;
pub(crate) mod operator;
pub(crate) mod progress;
pub(crate) mod remedy;
pub(crate) mod slog;
mod state_snapshots;
pub(crate) mod timed;
pub mod trace;
pub(crate) mod vat_log;
pub(crate) mod watch;

pub use method::AbciMethod;
pub(crate) use state_snapshots::StateSnapshots;
