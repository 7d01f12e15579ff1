//! Metrics of this node, outside of consensus, in Prometheus' text format.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use capstan_kernel::{slog::Event, view};
use capstan_kernel_ports::VatId;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use crate::{committed::Committed, fault::NodeFault, observe::StateSnapshots};

/// Labels of a metric, by name.
type Labels = Vec<(&'static str, String)>;

/// The metrics of a node. Clones are handles of the same ones.
///
/// | metric | what it is |
/// |---|---|
/// | `capstan_height` | the last committed height |
/// | `capstan_blocks_total` | blocks committed since the start |
/// | `capstan_transactions_total{code}` | transactions in these blocks, by result code; 0 is success |
/// | `capstan_cranks_total` | cranks executed since the start |
/// | `capstan_deliveries_total` | deliveries to vats |
/// | `capstan_replayed_deliveries_total` | deliveries repeated to bring vats back |
/// | `capstan_syscalls_total` | syscalls of vats |
/// | `capstan_computrons_total` | computrons that deliveries spent |
/// | `capstan_block_computrons_total` | computrons that blocks counted, by which `params.block_computrons` bounds them |
/// | `capstan_written_bytes_total` | bytes of the keys and values that blocks changed |
/// | `capstan_vat_computrons{vat}` | the same of the vats that spent most since the start, 20 of them |
/// | `capstan_vats_terminated_total` | vats that ended |
/// | `capstan_queue_length{queue}` | events on the `run` and the `acceptance` queue |
/// | `capstan_dead_vats` | terminated vats that wait for their cleanup |
/// | `capstan_vats` | vats that run |
/// | `capstan_vats_online` | vats in memory |
/// | `capstan_vats_online_bytes` | the size of their memories together |
/// | `capstan_file_bytes{file}` | the size of the state and of other files of the node |
/// | `capstan_snapshots_total`, `capstan_snapshots_loaded_total` | heaps of vats that were stored and loaded |
/// | `capstan_state_snapshots_total`, `capstan_state_snapshots_skipped_total` | snapshots of the state that were written, and that were due and not written |
/// | `capstan_state_snapshot_height`, `capstan_state_snapshot_bytes` | the last of them |
/// | `capstan_state_snapshot_seconds` | seconds that writing one took, while blocks went on |
/// | `capstan_state_chunks_served_total`, `capstan_state_chunks_refused_total` | chunks of snapshots that peers were given, and that peers sent and this node refused |
/// | `capstan_artifact_cache_bytes`, `capstan_idle_code_bytes` | compiled modules on disk, and in memory without a vat |
/// | `capstan_trace_bytes` | traces of blocks on disk |
/// | `capstan_queries_total` | queries answered, through any JSON-RPC |
/// | `capstan_query_answer_bytes_total` | bytes of their answers |
/// | `capstan_query_answer_bytes_max` | bytes of the largest one since the start |
/// | `capstan_ahead_begun`, `capstan_ahead_counted` | deliveries that another thread has begun before their turn, and those of them that counted |
/// | `capstan_ahead_awaited`, `capstan_ahead_lost` | those of them that the kernel had to wait for, and that were discarded and made again |
/// | `capstan_ahead_chained` | those that counted and began where another one of the same vat had ended that was ahead of its turn, too |
/// | `capstan_ahead_snapshots` | those of them that were collections before a heap snapshot, after which the heap was hashed |
/// | `capstan_prepared_begun`, `capstan_prepared_counted` | sleeping vats that were to come back into memory on another thread before their turn, and those of them that were taken over |
/// | `capstan_prepared_awaited` | those of them that were not back at their turn |
/// | `capstan_loads_ahead` | bundles that another thread loaded before a vat needed them |
/// | `capstan_vat_seconds_total` | time that all threads spent on vats: deliveries but for their syscalls, starting, restoring |
/// | `capstan_root_seconds` | how long computing a block's root took; part of FinalizeBlock |
/// | `capstan_finalize_seconds`, `capstan_commit_seconds`, `capstan_snapshot_seconds` | how long FinalizeBlock, Commit and
/// the storing of a heap took |
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    blocks: Counter,
    transactions: Family<Labels, Counter>,
    cranks: Counter,
    deliveries: Counter,
    replayed: Counter,
    syscalls: Counter,
    computrons: Counter,
    block_computrons: Counter,
    written_bytes: Counter,
    terminated: Counter,
    height: Gauge,
    queues: Family<Labels, Gauge>,
    dead_vats: Gauge,
    vats: Gauge,
    vats_online: Gauge,
    vats_online_bytes: Gauge,
    files: Family<Labels, Gauge>,
    top_vats: Family<Labels, Gauge>,
    vat_seconds: Counter<f64, AtomicU64>,
    seconds: Durations,
    snapshots: Counter,
    snapshots_loaded: Counter,
    state_snapshots: StateSnapshots,
    queries: Counter,
    query_bytes: Counter,
    query_bytes_max: Gauge,
    trace_bytes: Gauge,
    /// Start of the snapshot in progress, or `None`.
    snapshot_began: Mutex<Option<Instant>>,
    by_vat: Mutex<BTreeMap<VatId, u64>>,
    measured_files: Vec<PathBuf>,
    measures: Vec<(Gauge, Measure)>,
}

/// A number that is read when metrics are asked for, as the metric `capstan_NAME`.
pub struct Measure {
    name: &'static str,
    help: &'static str,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Measure {
    /// Creates the metric `capstan_NAME`, whose value `read` returns.
    pub fn new(
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { name, help, read: Box::new(read) }
    }
}

impl std::fmt::Debug for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measure").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Histograms of durations, in seconds.
#[derive(Debug)]
struct Durations {
    root: Histogram,
    finalize: Histogram,
    commit: Histogram,
    snapshot: Histogram,
}

impl Durations {
    fn new(registry: &mut Registry) -> Self {
        let mut named = |name, help| {
            // The buckets span a tenth of a millisecond to 26 seconds.
            let buckets = (0..19).map(|power: i32| 0.0001 * 2f64.powi(power));
            let histogram = Histogram::new(buckets.collect::<Vec<_>>());
            registry.register(name, help, histogram.clone());
            histogram
        };
        Self {
            root: named("root_seconds", "How long computing a root took"),
            finalize: named("finalize_seconds", "How long FinalizeBlock took"),
            commit: named("commit_seconds", "How long Commit took"),
            snapshot: named("snapshot_seconds", "How long storing a heap took"),
        }
    }
}

impl Metrics {
    /// Creates metrics with all counters at 0. The sizes of `measured_files` and the `measures` are among them.
    pub(crate) fn new(measured_files: Vec<PathBuf>, measures: Vec<Measure>) -> Self {
        let mut registry = Registry::with_prefix("capstan");
        let registered = &mut registry;
        let inner = Inner {
            measures: register_measures(registered, measures),
            blocks: register(registered, "blocks", "Blocks committed"),
            transactions: register(
                registered,
                "transactions",
                "Transactions in committed blocks by result code",
            ),
            cranks: register(registered, "cranks", "Cranks executed"),
            deliveries: register(registered, "deliveries", "Deliveries to vats"),
            replayed: register(
                registered,
                "replayed_deliveries",
                "Deliveries repeated to bring vats back",
            ),
            syscalls: register(registered, "syscalls", "Syscalls of vats"),
            computrons: register(registered, "computrons", "Computrons spent"),
            block_computrons: register(
                registered,
                "block_computrons",
                "Computrons that blocks counted",
            ),
            written_bytes: register(registered, "written_bytes", "Bytes that blocks changed"),
            terminated: register(registered, "vats_terminated", "Vats that ended"),
            height: register(registered, "height", "The last committed height"),
            queues: register(registered, "queue_length", "Events on the kernel's queues"),
            dead_vats: register(
                registered,
                "dead_vats",
                "Terminated vats that wait for their cleanup",
            ),
            vats: register(registered, "vats", "Vats that run"),
            vats_online: register(registered, "vats_online", "Vats in memory"),
            vats_online_bytes: register(
                registered,
                "vats_online_bytes",
                "Bytes of the memories of vats",
            ),
            files: register(registered, "file_bytes", "Sizes of the node's files"),
            top_vats: register(
                registered,
                "vat_computrons",
                "Computrons of the vats that spent most since the start",
            ),
            vat_seconds: register(registered, "vat_seconds", "Time that vats computed"),
            seconds: Durations::new(registered),
            snapshots: register(registered, "snapshots", "Heaps that were stored"),
            snapshots_loaded: register(
                registered,
                "snapshots_loaded",
                "Heaps that were loaded to bring vats back",
            ),
            state_snapshots: StateSnapshots::new(registered),
            queries: register(registered, "queries", "Queries answered"),
            query_bytes: register(registered, "query_answer_bytes", "Bytes of answers"),
            query_bytes_max: register(
                registered,
                "query_answer_bytes_max",
                "Bytes of the largest answer since the start",
            ),
            trace_bytes: register(registered, "trace_bytes", "Size of the traces of blocks"),
            snapshot_began: Mutex::default(),
            by_vat: Mutex::default(),
            measured_files,
            registry,
        };
        Self(Arc::new(inner))
    }

    /// Counts an [`Event`] of the kernel.
    pub(crate) fn event(&self, event: &Event<'_>) {
        let metrics = &self.0;
        match event {
            Event::CrankFinish { .. } => drop(metrics.cranks.inc()),
            Event::Syscall { .. } => drop(metrics.syscalls.inc()),
            Event::Terminate { .. } => drop(metrics.terminated.inc()),
            Event::SnapshotStart { .. } => *self.snapshot_began() = Some(Instant::now()),
            Event::SnapshotSaved { .. } => {
                metrics.snapshots.inc();
                if let Some(began) = self.snapshot_began().take() {
                    metrics.seconds.snapshot.observe(began.elapsed().as_secs_f64());
                }
            }
            Event::SnapshotLoaded { .. } => drop(metrics.snapshots_loaded.inc()),
            Event::Replay { deliveries, .. } => drop(metrics.replayed.inc_by(*deliveries)),
            Event::DeliverResult { vat, computrons, .. } => {
                metrics.deliveries.inc();
                if let Some(spent) = computrons {
                    metrics.computrons.inc_by(spent.0);
                    *self.by_vat().entry(*vat).or_default() += spent.0;
                }
            }
            _ => {}
        }
    }

    /// Adds the computing time of a vat.
    pub(crate) fn vat_ran(&self, took: Duration) {
        self.0.vat_seconds.inc_by(took.as_secs_f64());
    }

    /// Returns the seconds that [`Metrics::vat_ran`] has noted.
    #[cfg(test)]
    pub(crate) fn vat_seconds(&self) -> f64 {
        self.0.vat_seconds.get()
    }

    /// Notes how many vats are in memory, and the bytes of their memories.
    pub(crate) fn online(&self, vats: usize, bytes: u64) {
        self.0.vats_online.set(number(vats as u64));
        self.0.vats_online_bytes.set(number(bytes));
    }

    /// Records the duration of a root's computation.
    pub(crate) fn root_computed(&self, took: Duration) {
        self.0.seconds.root.observe(took.as_secs_f64());
    }

    /// Counts an executed block, which counted these computrons and changed so many bytes.
    pub(crate) fn executed(&self, computrons: u64, bytes: usize) {
        self.0.block_computrons.inc_by(computrons);
        self.0.written_bytes.inc_by(bytes as u64);
    }

    /// Executes a block by `work` and records the duration.
    pub(crate) fn time_finalize<T>(&self, work: impl FnOnce() -> T) -> T {
        timed(&self.0.seconds.finalize, work)
    }

    /// Commits a block by `work` and records the duration.
    pub(crate) fn time_commit<T>(&self, work: impl FnOnce() -> T) -> T {
        timed(&self.0.seconds.commit, work)
    }

    /// Counts a committed block, whose transactions had these codes.
    pub(crate) fn committed(&self, codes: &[u32]) {
        self.0.blocks.inc();
        for code in codes {
            self.0.transactions.get_or_create(&vec![("code", code.to_string())]).inc();
        }
    }

    /// Counts a query whose answer had `bytes`.
    pub(crate) fn answered(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.0.queries.inc();
        self.0.query_bytes.inc_by(bytes);
        self.0.query_bytes_max.inner().fetch_max(number(bytes), Ordering::Relaxed);
    }

    /// Returns the metrics of snapshots of the state.
    pub(crate) fn state_snapshots(&self) -> &StateSnapshots {
        &self.0.state_snapshots
    }

    /// Notes the size of all traces.
    pub(crate) fn traces(&self, bytes: u64) {
        self.0.trace_bytes.set(number(bytes));
    }

    /// Returns all metrics as text. Those of the state are read from the [`Committed`] one.
    pub(crate) fn text(&self, committed: &Committed) -> Result<String, NodeFault> {
        let metrics = &self.0;
        metrics.height.set(number(committed.state.height()));
        if view::is_initialized(&committed.state)? {
            let status = view::kernel_status(&committed.state)?;
            for (queue, length) in
                [("run", status.run_queue), ("acceptance", status.acceptance_queue)]
            {
                metrics
                    .queues
                    .get_or_create(&vec![("queue", queue.to_owned())])
                    .set(number(length));
            }
            metrics.dead_vats.set(number(status.dead.len() as u64));
            metrics.vats.set(number(status.running_vats));
        }
        self.set_top_vats();
        for (gauge, measure) in &metrics.measures {
            gauge.set(number((measure.read)()));
        }
        for path in &metrics.measured_files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // A file that is not there yet has no size.
            let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
            metrics.files.get_or_create(&vec![("file", name)]).set(number(bytes));
        }
        let mut text = String::new();
        encode(&mut text, &metrics.registry)
            .map_err(|error| NodeFault::Damaged(format!("metrics: {error}")))?;
        Ok(text)
    }

    fn set_top_vats(&self) {
        let mut vats: Vec<(u64, VatId)> =
            self.by_vat().iter().map(|(vat, spent)| (*spent, *vat)).collect();
        vats.sort_unstable_by(|a, b| b.cmp(a));
        self.0.top_vats.clear();
        for (spent, vat) in vats.into_iter().take(TOP_VATS) {
            self.0.top_vats.get_or_create(&vec![("vat", vat.to_string())]).set(number(spent));
        }
    }

    fn snapshot_began(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.snapshot_began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_vat(&self) -> std::sync::MutexGuard<'_, BTreeMap<VatId, u64>> {
        self.0.by_vat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers a metric that begins at 0.
fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn register_measures(registry: &mut Registry, measures: Vec<Measure>) -> Vec<(Gauge, Measure)> {
    let measured = |measure: Measure| (register(registry, measure.name, measure.help), measure);
    measures.into_iter().map(measured).collect()
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Number of vats whose computrons are reported individually.
const TOP_VATS: usize = 20;

/// Measures `work` into a [`Histogram`] of seconds.
fn timed<T>(histogram: &Histogram, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    histogram.observe(began.elapsed().as_secs_f64());
    result
}
