//! The ABCI application: transactions, accounts, fees, the execution of blocks, queries.
//!
//! Start at [`App`], which answers `tendermint-abci`'s `Application`; then follow a transaction:
//! [`tx`] (what is accepted, and why not), `execute.rs` (what its messages do), `block.rs` (the order of a
//! block), [`query`] (what can be asked afterwards). The state's layout is drawn in `keys.rs`, the events
//! in [`events`].

mod abci;
pub mod account;
mod activity;
mod app;
mod block;
mod bridge;
mod bundles;
pub mod cause;
mod chain;
mod check;
mod crash;
pub mod events;
mod execute;
mod expiry;
mod fatal;
mod fault;
mod genesis;
mod keys;
mod metrics;
mod overrides;
mod proposal;
pub mod proto;
pub mod query;
mod record;
pub mod results;
mod running;
mod slog;

mod timed;
pub mod trace;
pub mod transfer;
pub mod tx;
pub mod uploads;
mod validators;
mod watch;
mod ways;

pub use abci::APP_VERSION;
pub use app::{App, AppOptions, OperatorFiles};
pub use block::block_policy;
pub use capstan_kernel::NodeOptions;
pub use capstan_passable as smallcaps;
pub use check::UNAVAILABLE;
pub use crash::CrashReport;
pub use fatal::{EXIT_CONSENSUS_HALT, EXIT_NODE_FAULT, FatalHandler, FatalReport};
pub use fault::NodeFault;
pub use overrides::{Override, OverrideError};
pub use running::Step;
pub use slog::{Rotation, SlogFile};
pub use trace::TraceOptions;
pub use watch::{LastCrank, LastDelivery};
pub use ways::WayOn;
