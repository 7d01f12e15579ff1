use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use capstan_app::{
    App, AppOptions, FatalHandler, Measure, Rotation, SlogFile, SyncOptions, TraceOptions, VatLog,
    state_export,
};
use capstan_consensus::metrics::MetricsServer;
use capstan_consensus::solo::{self, BlockPolicy, CheckOnly, Solo, SoloConfig};
use capstan_gateway::{Gateway, Usage, in_process};
use capstan_genesis::{Genesis, GenesisDevice};
use capstan_store::Store;
use capstan_vat_host::{Usage as HostUsage, WasmHost};

use crate::config::{Config, Log};
use crate::descriptors;
use crate::gateway::{metrics, serve_gateway, serve_metrics};
use crate::home::{Home, cache_dir};
use crate::{NodeError, open_host_with, read_overrides};

/// How often a chain with a timer makes a block when nothing happens.
const TIMER_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which an idle network makes an empty block if the configuration does not say.
const NETWORK_INTERVAL: Duration = Duration::from_secs(10);

/// A running node under solo consensus.
#[derive(Debug)]
pub struct Node {
    /// Its consensus.
    pub solo: Solo,
    /// Its application.
    pub app: App<WasmHost>,
    /// Its gRPC and REST.
    pub gateway: Gateway,
    /// Serves as long as this lives.
    _metrics: Option<MetricsServer>,
}

/// Starts the chain of `home` under [solo consensus](capstan_consensus::solo), with its JSON-RPC on `rpc`. `on_step` is
/// told what takes long.
///
/// # Errors
/// [`NodeError`], with what to do about it.
pub fn start(
    home: &Home,
    config: &Config,
    rpc: SocketAddr,
    on_step: &dyn Fn(&str),
) -> Result<Node, NodeError> {
    let (genesis, document) = home.genesis()?;
    let document = solo::GenesisDoc::from_json(&document)?;
    let app = open_app(home, config, on_step)?;
    on_step("starting the chain");
    let usage = Arc::<Usage>::default();
    let server = serve_metrics(&app, config, &usage)?;
    let metrics = config.rpc.metrics.then(|| metrics(&app, &usage));
    let solo = SoloConfig {
        policy: block_policy(config, &genesis),
        history_bytes: config.history_bytes(),
        mempool: config.mempool_limits(),
        rpc: descriptors::fit(
            config.rpc_limits(),
            config.gateway.max_connections.saturating_mul(2),
        ),
        cors: config.rpc_cors(true),
        metrics,
        check: Some(check_only(&app)),
        ..SoloConfig::new(&home.path, rpc, document)
    };
    let gateway = config.gateway(rpc, true)?;
    let solo = Solo::start(app.clone(), solo)?;
    let gateway = serve_gateway(&app, &gateway, in_process(solo.caller()), usage)?;
    Ok(Node { solo, app, gateway, _metrics: server })
}

/// Returns what answers `check_tx`.
fn check_only(app: &App<WasmHost>) -> CheckOnly {
    let app = app.clone();
    Arc::new(move |tx| app.check_only(tx))
}

/// Returns when blocks are made: as the configuration says, and at least once a second if the chain has a timer.
pub fn block_policy(config: &Config, genesis: &Genesis) -> BlockPolicy {
    let mut policy = config.block_policy();
    let has_timer = genesis.app_state.kernel.devices.contains(&GenesisDevice::Timer);
    if has_timer && policy.empty_interval.is_none() {
        // Vats see time pass only by blocks, so without them the timer would wake nobody.
        policy.empty_interval = Some(TIMER_INTERVAL);
    }
    policy
}

/// Returns the time after which an idle network of several validators makes an empty block.
///
/// It is never unlimited: CometBFT's proposer waits for a transaction in its own mempool, and others may be the only ones
/// that have one. Without the votes of a proposer that waits, a network that lacks another validator would stop.
pub fn network_empty_interval(config: &Config, genesis: &Genesis) -> Duration {
    block_policy(config, genesis).empty_interval.unwrap_or(NETWORK_INTERVAL)
}

/// Opens the application over the state of a home. If the genesis document goes on from a state, and the home has none
/// yet, that state is imported first.
///
/// # Errors
/// As [`start`].
pub fn open_app(
    home: &Home,
    config: &Config,
    on_step: &dyn Fn(&str),
) -> Result<App<WasmHost>, NodeError> {
    let (genesis, _) = home.genesis()?;
    let mut host = open_host_with(config.host_options(cache_dir(&home.path)), on_step)?;
    let store = config.store_options();
    let from_state = &genesis.app_state.from_state;
    if let Some(from) = from_state {
        on_step("reading the state that the genesis document goes on from");
        let (file, state) = (home.genesis_state(), home.state());
        state_export::import(from, &file, &state, store.clone(), &mut host)?;
    }
    on_step("opening the chain's state");
    let store = Store::open(home.state(), store)?;
    let resident = genesis.app_state.params.resident_vats;
    if config.vats.max_online < resident as usize {
        tracing::warn!(
            "vats.max_online is {}, and the chain counts on {resident} vats in memory (resident_vats): this node will be slower than others",
            config.vats.max_online
        );
    }
    let resident = genesis.app_state.params.resident_bytes;
    if config.kernel_options().max_online_bytes < resident {
        tracing::warn!(
            "vats.max_online_mib is {}, and the chain counts on {resident} bytes of vats in memory (resident_bytes): this node will be slower than others",
            config.vats.max_online_mib
        );
    }
    let keep_blocks = config.traces.keep_blocks;
    let max_bytes = config.traces.max_mib.saturating_mul(1 << 20);
    let options = AppOptions {
        kernel: config.kernel_options(),
        genesis_height: from_state.as_ref().map_or(0, |from| from.height),
        overrides: read_overrides(&home.overrides())?,
        slog_file: slog_file(home, config)?,
        vat_log: vat_log(home, config)?,
        trace: (keep_blocks > 0).then(|| TraceOptions {
            dir: home.traces(),
            keep_blocks,
            max_bytes,
        }),
        operator: Some(home.operator_files()),
        measured_files: measured_files(home, config),
        queries: config.query_limits(),
        measures: cache_measures(&host),
        state_sync: Some(sync_options(home, config, &genesis)),
        on_fatal: FatalHandler::exit(Some(home.fatal_report())),
        ..AppOptions::default()
    };
    App::new(store, host, options)
        .map_err(|source| NodeError::State { home: home.path.clone(), source })
}

/// Returns the options of the node's snapshots.
fn sync_options(home: &Home, config: &Config, genesis: &Genesis) -> SyncOptions {
    let evidence = genesis.consensus_params.evidence.max_age_num_blocks;
    SyncOptions {
        dir: home.snapshots(),
        interval: config.state_sync.interval,
        keep: config.state_sync.keep,
        store_dir: home.state(),
        store: config.store_options(),
        prune_blocks: config.state_sync.prune_blocks,
        evidence_blocks: u64::try_from(evidence).unwrap_or(u64::MAX),
        retain_heights: config.queries.retain_heights,
    }
}

/// Returns the files of a node that grow.
fn measured_files(home: &Home, config: &Config) -> Vec<PathBuf> {
    let mut files = vec![
        home.state().join(capstan_store::FILE),
        home.state().join(capstan_store::JOURNAL_FILE),
        home.path.join("solo").join("blocks.redb"),
    ];
    let logs = [&config.log.slog, &config.log.file, &config.log.vats];
    files.extend(logs.into_iter().filter(|name| !name.is_empty()).map(|name| home.path.join(name)));
    files
}

/// Returns the sizes of the vat host's caches as metrics, and its counts of deliveries that were run ahead.
fn cache_measures(host: &WasmHost) -> Vec<Measure> {
    let (disk, memory) = (host.usage(), host.usage());
    let count = |name, help, read: fn(&HostUsage) -> u64| {
        let usage = host.usage();
        Measure::new(name, help, move || read(&usage))
    };
    vec![
        count("ahead_begun", "Deliveries run before their turn", HostUsage::ahead_begun),
        count(
            "ahead_counted",
            "Deliveries run before their turn that counted",
            HostUsage::ahead_counted,
        ),
        count(
            "ahead_awaited",
            "Deliveries run before their turn and waited for",
            HostUsage::ahead_awaited,
        ),
        count(
            "ahead_lost",
            "Deliveries run before their turn and discarded",
            HostUsage::ahead_lost,
        ),
        count(
            "ahead_chained",
            "Deliveries that counted and began where another one before its turn had ended",
            HostUsage::ahead_chained,
        ),
        count(
            "ahead_snapshots",
            "Collections before a snapshot run before their turn",
            HostUsage::ahead_snapshots,
        ),
        count(
            "prepared_begun",
            "Vats brought back into memory before their turn",
            HostUsage::prepared_begun,
        ),
        count(
            "prepared_counted",
            "Vats brought back before their turn that were taken over",
            HostUsage::prepared_counted,
        ),
        count(
            "prepared_awaited",
            "Vats brought back before their turn and waited for",
            HostUsage::prepared_awaited,
        ),
        count("loads_ahead", "Sources loaded before a vat needed them", HostUsage::loads_ahead),
        Measure::new("artifact_cache_bytes", "Compiled modules on disk", move || {
            disk.artifact_bytes()
        }),
        Measure::new("idle_code_bytes", "Compiled modules in memory that no vat runs", move || {
            memory.idle_code_bytes()
        }),
    ]
}

fn vat_log(home: &Home, config: &Config) -> Result<VatLog, NodeError> {
    let Log { vats, vats_max_mib, vats_keep, .. } = &config.log;
    if vats.is_empty() {
        return Ok(VatLog::default());
    }
    let path = home.path.join(vats);
    let rotation = Rotation { max_bytes: vats_max_mib.saturating_mul(1 << 20), keep: *vats_keep };
    VatLog::append(&path, rotation).map_err(|source| NodeError::VatLog { path, source })
}

fn slog_file(home: &Home, config: &Config) -> Result<Option<SlogFile>, NodeError> {
    if config.log.slog.is_empty() {
        return Ok(None);
    }
    let path = home.path.join(&config.log.slog);
    let rotation = Rotation {
        max_bytes: config.log.slog_max_mib.saturating_mul(1 << 20),
        keep: config.log.slog_keep,
    };
    match SlogFile::append(&path, rotation) {
        Ok(slog) => Ok(Some(slog)),
        Err(source) => Err(NodeError::Slog { path, source }),
    }
}
