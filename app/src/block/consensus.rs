use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use capstan_kernel::Kernel;
use capstan_store::{Block, Prepared, Store};

use crate::{
    admission::SignatureCache,
    observe::{
        operator::OperatorFiles, slog::SlogFile, timed::TimedHost, trace::TraceLog,
        vat_log::VatLog, watch::Watch,
    },
    overrides::Override,
};

/// State of ABCI's consensus methods, of which only one runs at a time.
pub(crate) struct Consensus<H> {
    pub(crate) store: Store,
    pub(crate) kernel: Kernel<TimedHost<H>>,
    pub(crate) stage: Stage,
    pub(crate) watch: Watch,
    /// [`TraceLog`], or `None` if no traces are kept.
    pub(crate) traces: Option<TraceLog>,
    pub(crate) slog: Option<SlogFile>,
    pub(crate) vat_log: VatLog,
    pub(crate) signatures: Arc<SignatureCache>,
    pub(crate) overrides: BTreeMap<u64, Override>,
    pub(crate) operator: Option<OperatorFiles>,
    pub(crate) trace_dir: Option<PathBuf>,
}

/// Stage of the application between two commits.
pub(crate) enum Stage {
    /// Nothing is in progress.
    Committed,
    /// InitChain has written the chain's first state, on which the first block builds.
    Genesis(Box<Block>),
    /// A block was executed and waits for Commit.
    Finalized {
        height: u64,
        /// Result codes of the block's transactions.
        codes: Vec<u32>,
        prepared: Box<Prepared>,
    },
}
