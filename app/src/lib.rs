//! The ABCI application: transactions, accounts, fees, the execution of blocks, queries.
//!
//! Start at [`App`], which implements `tendermint-abci`'s `Application`. A transaction's way through the folders:
//!
//! * [`tx`] decodes it, and knows every reason to refuse it: [`tx::TxError`].
//! * `admission` checks it against the signer's account, the same way in CheckTx, in proposals and in blocks.
//! * `block` executes blocks: their transactions, the kernel's cranks, validators, agreed [`Override`]s.
//! * `records` keeps the application's own state. `records/keys.rs` draws its layout.
//! * [`query`] answers questions about the last committed state.
//! * [`sync`] writes and restores snapshots of the state.
//! * `observe` watches execution for the operator, outside of consensus: traces, metrics, slog, reports.
//!
//! The [`events`] of blocks and transactions are listed in their module.
//!
//! An application over a vat host, with its state in memory:
//!
//! ```no_run
//! use capstan_app::{App, AppOptions, NodeFault};
//! use capstan_kernel_ports::host::VatHost;
//! use capstan_store::Store;
//!
//! fn app<H: VatHost>(host: H) -> Result<App<H>, NodeFault> {
//!     App::new(Store::in_memory()?, host, AppOptions::default())
//! }
//! ```
#![forbid(unsafe_code)]

mod abci;
mod admission;
mod app;
mod block;
mod committed;
pub mod events;
mod fault;
mod observe;
mod overrides;
pub mod query;
mod records;
pub mod state_export;
mod state_sync;
pub mod sync;
pub mod tx;

pub use app::{App, AppOptions};
pub use block::block_policy;
pub use capstan_files::Rotation;
pub use capstan_kernel::NodeOptions;
pub use capstan_proto::v1 as proto;
pub use fault::NodeFault;
pub use observe::{
    AbciMethod, cause,
    crash_report::CrashReport,
    fatal::{EXIT_CONSENSUS_HALT, EXIT_NODE_FAULT, FatalHandler, FatalReport},
    metrics::Measure,
    operator::OperatorFiles,
    progress::Step,
    remedy::Remedy,
    slog::SlogFile,
    trace::{self, TraceOptions},
    vat_log::{VatLevel, VatLine, VatLog, own_frames},
    watch::{LastCrank, LastDelivery},
};
pub use overrides::{Override, OverrideError};
pub use records::{account, chain::APP_VERSION, results, uploads};
pub use sync::SyncOptions;
