//! The ABCI application: transactions, accounts, fees, the execution of blocks, queries.
//!
//! Start at [`App`], which answers `tendermint-abci`'s `Application`; then follow a transaction:
//! [`tx`] (what is accepted, and why not), `block/execute.rs` (what its messages do), `block/` (the order of a
//! block), [`query`] (what can be asked afterwards). The state's layout is drawn in `records/keys.rs`, the events
//! in [`events`].

mod abci;
mod app;
mod block;
mod fault;
mod observe;
pub mod query;
mod records;
pub mod state_export;
pub mod tx;

pub use abci::APP_VERSION;
pub use app::{App, AppOptions, OperatorFiles};
pub use block::{
    block_policy, events,
    overrides::{Override, OverrideError},
};
pub use capstan_files::Rotation;
pub use capstan_kernel::NodeOptions;
pub use capstan_passable as smallcaps;
pub use capstan_proto::v1 as proto;
pub use fault::NodeFault;
pub use observe::{
    cause,
    crash::CrashReport,
    fatal::{EXIT_CONSENSUS_HALT, EXIT_NODE_FAULT, FatalHandler, FatalReport},
    running::Step,
    slog::SlogFile,
    trace::{self, TraceOptions},
    watch::{LastCrank, LastDelivery},
    ways::WayOn,
};
pub use records::{account, results, uploads};
pub use tx::mempool::UNAVAILABLE;
