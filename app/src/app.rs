//! The application's handle and the state that its clones share.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use capstan_kernel::{Kernel, NodeOptions, slog::Slog};
use capstan_kernel_ports::{Hash, host::VatHost};
use capstan_store::{Past, StateView, Store, forget_restoration};
use tendermint_proto::v0_38::abci::{RequestQuery, ResponseQuery};

use crate::{
    admission::{SignatureCache, mempool::CheckState},
    block::{
        bridge::Bridge,
        consensus::{Consensus, Stage},
    },
    committed::Committed,
    fault::NodeFault,
    observe::{
        AbciMethod, crash_report,
        fatal::{FatalHandler, FatalReport},
        metrics::{Measure, Metrics},
        operator::OperatorFiles,
        slog::SlogFile,
        timed::TimedHost,
        trace::{TraceLog, TraceOptions},
        vat_log::VatLog,
        watch::Watch,
    },
    overrides::Override,
    query::{self, QueryLimits},
    sync::{Offers, SnapshotWriter, SyncOptions},
};

/// Options of this node. The state depends on none of them but [`AppOptions::overrides`].
pub struct AppOptions {
    /// Options of the kernel: [`NodeOptions`].
    pub kernel: NodeOptions,
    /// [`Slog`] that receives the kernel's events.
    pub slog: Option<Box<dyn Slog + Send>>,
    /// [`SlogFile`] that receives a line for each event of the kernel.
    pub slog_file: Option<SlogFile>,
    /// [`VatLog`] that receives what vats print, and how they fail and end.
    pub vat_log: VatLog,
    /// Height of the state that the genesis document continues, or 0 if it continues none. While the store is at this
    /// height, the chain has no block.
    pub genesis_height: u64,
    /// The agreed [`Override`]s, by which the validators execute some blocks differently. They change the state, so
    /// nodes with other overrides are on another chain.
    pub overrides: Vec<Override>,
    /// [`TraceOptions`] for the last blocks. `None` keeps no traces.
    pub trace: Option<TraceOptions>,
    /// [`OperatorFiles`] that tell the operator about a block that ended the process. `None` writes none.
    pub operator: Option<OperatorFiles>,
    /// [`QueryLimits`] of the answers to queries.
    pub queries: QueryLimits,
    /// Files whose sizes the metrics report, in addition to the state.
    pub measured_files: Vec<PathBuf>,
    /// Further metrics: [`Measure`]s of what the application does not know.
    pub measures: Vec<Measure>,
    /// [`SyncOptions`] of the snapshots that this node writes, serves and restores. `None` does none of it.
    pub state_sync: Option<SyncOptions>,
    /// [`FatalHandler`] of faults that end the node. It must not return: if it does, the ABCI method panics.
    pub on_fatal: FatalHandler,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            kernel: NodeOptions::default(),
            slog: None,
            slog_file: None,
            vat_log: VatLog::default(),
            genesis_height: 0,
            overrides: Vec::new(),
            trace: None,
            operator: None,
            queries: QueryLimits::default(),
            measured_files: Vec::new(),
            measures: Vec::new(),
            state_sync: None,
            on_fatal: FatalHandler::exit(None),
        }
    }
}

impl std::fmt::Debug for AppOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppOptions")
            .field("kernel", &self.kernel)
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}

/// The ABCI application over a [`VatHost`].
///
/// Clones are handles of the same application: CometBFT's server makes one for each of its connections. The
/// consensus methods exclude each other. CheckTx and Query never wait for them, since they work on the last
/// committed state.
pub struct App<H>(Arc<Shared<H>>);

impl<H> Clone for App<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H> std::fmt::Debug for App<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("committed", &self.committed()).finish_non_exhaustive()
    }
}

struct Shared<H> {
    consensus: Mutex<Consensus<H>>,
    committed: RwLock<Arc<Committed>>,
    past: Past,
    check: Mutex<CheckState>,
    watch: Watch,
    signatures: Arc<SignatureCache>,
    on_fatal: FatalHandler,
    metrics: Metrics,
    genesis_height: u64,
    queries: QueryLimits,
    /// Hash of the JavaScript engine of this node's vat host.
    engine: Hash,
    snapshots: Option<SnapshotWriter>,
    offers: Offers,
}

impl<H: VatHost> App<H> {
    /// Creates the application over the state in `store`. Vats run in `host`.
    ///
    /// # Errors
    /// A [`NodeFault`] if the state cannot be read, or two [`Override`]s are for one block.
    pub fn new(store: Store, host: H, options: AppOptions) -> Result<Self, NodeFault> {
        if let Some(slog) = &options.slog_file {
            slog.kernel_init();
        }
        let committed = Arc::new(Committed::load(store.reader())?);
        let metrics = Metrics::new(options.measured_files, options.measures);
        let engine = host.engine();
        let mut kernel = Kernel::new(TimedHost::new(host, metrics.clone()), options.kernel);
        kernel.set_application(Box::new(Bridge::default()));
        let overrides = by_height(options.overrides)?;
        let trace_dir = options.trace.as_ref().map(|trace| trace.dir.clone());
        let running = options.operator.as_ref().and_then(|operator| {
            crash_report::look(operator, &committed, &overrides, trace_dir.as_deref())
        });
        let watch = Watch::new(options.trace.is_some(), metrics.clone(), running);
        let file = options.slog_file.clone().map(|file| Box::new(file) as Box<dyn Slog + Send>);
        options.vat_log.resume(store.height());
        let vats = Box::new(options.vat_log.clone());
        kernel.set_slog(
            watch.slog(options.slog.into_iter().chain(file).chain([vats as _]).collect()),
        );
        let open = |trace| TraceLog::open(trace, metrics.clone());
        let traces = options.trace.map(open).transpose()?;
        if let Some(slog) = &options.slog_file {
            slog.kernel_ready();
        }
        let (stage, past) = (Stage::Committed, store.past());
        let signatures = Arc::<SignatureCache>::default();
        if let Some(sync) = options.state_sync.as_ref().filter(|_| committed.state.height() > 0) {
            // A node with blocks does not begin with a snapshot any more.
            forget_restoration(&sync.store_dir)?;
        }
        let snapshots =
            options.state_sync.map(|options| SnapshotWriter::new(options, metrics.clone()));
        Ok(Self(Arc::new(Shared {
            engine,
            snapshots,
            offers: Offers::default(),
            consensus: Mutex::new(Consensus {
                store,
                kernel,
                stage,
                watch: watch.clone(),
                traces,
                slog: options.slog_file,
                vat_log: options.vat_log,
                signatures: signatures.clone(),
                overrides,
                operator: options.operator,
                trace_dir,
            }),
            watch,
            metrics,
            genesis_height: options.genesis_height,
            queries: options.queries,
            check: Mutex::new(CheckState::new(committed.clone(), signatures.clone())),
            signatures,
            past,
            committed: RwLock::new(committed),
            on_fatal: options.on_fatal,
        })))
    }

    /// Runs `work` on the [`Consensus`] state. A [`NodeFault`] ends the node, so this returns only without one.
    pub(crate) fn with_consensus<T>(
        &self,
        during: AbciMethod,
        work: impl FnOnce(&mut Consensus<H>) -> Result<T, NodeFault>,
    ) -> T {
        let mut consensus = match self.0.consensus.lock() {
            Ok(consensus) => consensus,
            // A method panicked halfway, so the state in memory may be inconsistent. The state on disk is not.
            Err(_) => {
                let fault = NodeFault::Damaged("an earlier call panicked".to_owned());
                self.0.on_fatal.call(&FatalReport::new(during, 0, &fault))
            }
        };
        match work(&mut consensus) {
            Ok(value) => value,
            Err(fault) => {
                let report = consensus.report(during, &fault);
                self.stop(report)
            }
        }
    }

    /// Publishes the committed [`StateView`] to CheckTx and Query.
    pub(crate) fn publish(&self, state: StateView) -> Result<(), NodeFault> {
        let committed = Arc::new(Committed::load(state)?);
        *self.0.committed.write().unwrap_or_else(PoisonError::into_inner) = committed.clone();
        *self.check_state() = CheckState::new(committed, self.signatures());
        Ok(())
    }

    fn stop(&self, report: FatalReport) -> ! {
        self.stopping();
        self.0.on_fatal.call(&report)
    }
}

impl<H> App<H> {
    /// Returns the value of `result`. A [`NodeFault`] ends the node.
    pub(crate) fn or_stop<T>(&self, during: AbciMethod, result: Result<T, NodeFault>) -> T {
        result.unwrap_or_else(|fault| {
            let height = self.committed().state.height();
            self.stopping();
            self.0.on_fatal.call(&FatalReport::new(during, height, &fault))
        })
    }
}

impl<H> App<H> {
    /// Returns the last [`Committed`] state.
    pub(crate) fn committed(&self) -> Arc<Committed> {
        // The value is replaced whole, so a panic cannot have left half of it.
        self.0.committed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the process is about to end on purpose, so that the next start does not blame the block in
    /// progress.
    pub fn stopping(&self) {
        self.0.watch.stopping();
    }

    /// Returns the node's metrics in Prometheus' text format.
    ///
    /// # Errors
    /// The committed state cannot be read.
    pub fn metrics_text(&self) -> Result<String, NodeFault> {
        self.0.metrics.text(&self.committed())
    }

    /// Answers a query from the last committed state, or from that of an earlier height.
    pub fn answer_query(&self, request: &RequestQuery) -> ResponseQuery {
        let (state, past) = (&self.committed().state, &self.0.past);
        let answer = query::answer(state, past, self.0.queries, request);
        self.0.metrics.answered(answer.value.len());
        answer
    }

    /// Returns the last committed height of this chain, or 0 before its first block, even if it continues another
    /// chain's state.
    pub(crate) fn own_height(&self, committed: &Committed) -> u64 {
        match committed.state.height() {
            height if height == self.0.genesis_height => 0,
            height => height,
        }
    }

    /// Returns the [`Committed`] state, or `None` if the chain has no block.
    ///
    /// Before its first block, a chain may have the state of another one that it continues. Transactions are not
    /// signed for the id of that one any more.
    pub(crate) fn committed_chain(&self) -> Option<Arc<Committed>> {
        Some(self.committed()).filter(|committed| self.own_height(committed) > 0)
    }

    /// Returns the [`SignatureCache`].
    pub(crate) fn signatures(&self) -> Arc<SignatureCache> {
        self.0.signatures.clone()
    }

    /// Returns the hash of the JavaScript engine on which new vats start.
    pub(crate) fn engine(&self) -> Hash {
        self.0.engine
    }

    /// Returns the [`SnapshotWriter`], or `None` if this node has nothing to do with snapshots.
    pub(crate) fn snapshots(&self) -> Option<&SnapshotWriter> {
        self.0.snapshots.as_ref()
    }

    pub(crate) fn offers(&self) -> &Offers {
        &self.0.offers
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Locks the mempool's [`CheckState`].
    pub(crate) fn check_state(&self) -> MutexGuard<'_, CheckState> {
        // Each check leaves a consistent state, so a panic in another one does no harm.
        self.0.check.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Indexes [`Override`]s by the heights of their blocks. A block has at most one.
fn by_height(overrides: Vec<Override>) -> Result<BTreeMap<u64, Override>, NodeFault> {
    let mut by_height = BTreeMap::new();
    for agreed in overrides {
        let height = agreed.height;
        if by_height.insert(height, agreed).is_some() {
            let why = "there is another one for the same block".to_owned();
            return Err(NodeFault::Override { height, why });
        }
    }
    Ok(by_height)
}
