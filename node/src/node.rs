//! A node: store, vat host, application and the development engine, put together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use capstan_app::{App, AppOptions, FatalHandler, Rotation, SlogFile, TraceOptions, state_export};
use capstan_consensus::metrics::{Metrics, MetricsServer};
use capstan_consensus::solo::{BlockPolicy, Genesis, Solo, SoloConfig};
use capstan_genesis::{Genesis as Document, GenesisDevice};
use capstan_store::Store;
use capstan_vat_host::{Compilers, HostOptions, JsEngine, WasmHost};

use crate::config::Config;
use crate::home::{Home, cache_dir};
use crate::overrides;

/// How often a chain with a timer makes a block when nothing happens.
const TIMER_INTERVAL: Duration = Duration::from_secs(1);

/// Is told what a node that starts is doing.
pub type Steps<'a> = &'a dyn Fn(&str);

/// A running node.
#[derive(Debug)]
pub struct Node {
    pub solo: Solo,
    pub app: App<WasmHost>,
    /// Serves as long as this lives.
    _metrics: Option<MetricsServer>,
}

/// Starts the chain of `home`; its JSON-RPC listens on `rpc`.
///
/// # Errors
/// Whatever keeps the node from running, with what to do about it.
pub fn start(
    home: &Home,
    config: &Config,
    rpc: SocketAddr,
    progress: Steps<'_>,
) -> anyhow::Result<Node> {
    let (document, genesis) = home.genesis()?;
    let genesis = Genesis::from_json(&genesis)?;
    let app = open_app(home, config, progress)?;
    progress("starting the chain");
    let server = serve_metrics(&app, config)?;
    let metrics = config.rpc.metrics.then(|| metrics(&app));
    let solo = SoloConfig {
        policy: policy(config, &document),
        mempool: config.mempool_limits(),
        rpc: config.rpc_limits(),
        metrics,
        ..SoloConfig::new(&home.path, rpc, genesis)
    };
    Ok(Node { solo: Solo::start(app.clone(), solo)?, app, _metrics: server })
}

/// When blocks are made.
pub fn policy(config: &Config, genesis: &Document) -> BlockPolicy {
    let mut policy = config.policy();
    let has_timer = genesis.app_state.kernel.devices.contains(&GenesisDevice::Timer);
    if has_timer && policy.empty_interval.is_none() {
        // Without blocks no time passes for the vats, and the timer wakes nobody.
        policy.empty_interval = Some(TIMER_INTERVAL);
    }
    policy
}

/// The application over the state of a home. A genesis document that goes on from a state is given that state first.
///
/// # Errors
/// As [`start`].
pub fn open_app(
    home: &Home,
    config: &Config,
    progress: Steps<'_>,
) -> anyhow::Result<App<WasmHost>> {
    let (genesis, _) = home.genesis()?;
    let host = open_host(home, progress)?;
    let store = capstan_store::Options {
        cache_bytes: config.store.cache_mib << 20,
        check_integrity: config.store.check_at_start,
        ..capstan_store::Options::default()
    };
    let from_state = &genesis.app_state.from_state;
    if let Some(from) = from_state {
        progress("reading the state that the genesis document goes on from");
        state_export::import(from, &home.genesis_state(), &home.state(), store.clone())?;
    }
    progress("opening the chain's state");
    let store = Store::open(home.state(), store)?;
    let keep_blocks = config.traces.keep_blocks;
    let options = AppOptions {
        kernel: config.kernel(),
        genesis_height: from_state.as_ref().map_or(0, |from| from.height),
        overrides: overrides::read_all(&home.overrides())?,
        slog_file: slog_file(home, config)?,
        trace: (keep_blocks > 0).then(|| TraceOptions { dir: home.traces(), keep_blocks }),
        operator: Some(home.operator_files()),
        measured_files: vec![
            home.state().join(capstan_store::FILE),
            home.state().join(capstan_store::JOURNAL_FILE),
            home.path.join("solo").join("blocks.redb"),
        ],
        on_fatal: FatalHandler::exit(Some(home.fatal_report())),
        ..AppOptions::default()
    };
    App::new(store, host, options)
        .with_context(|| format!("the state in {} cannot be used", home.path.display()))
}

/// Serves the metrics of `app` on the port of their own that the configuration names; none: on none.
pub fn serve_metrics(
    app: &App<WasmHost>,
    config: &Config,
) -> anyhow::Result<Option<MetricsServer>> {
    let Some(addr) = config.metrics_addr() else { return Ok(None) };
    let server = MetricsServer::start(addr, metrics(app));
    server.map(Some).with_context(|| {
        format!("cannot serve metrics on {addr}; choose another metrics.listen in config.toml")
    })
}

/// The metrics of an application as servers want them.
fn metrics(app: &App<WasmHost>) -> Metrics {
    let app = app.clone();
    Arc::new(move || app.metrics_text().map_err(|error| error.to_string()))
}

fn slog_file(home: &Home, config: &Config) -> anyhow::Result<Option<SlogFile>> {
    if config.log.slog.is_empty() {
        return Ok(None);
    }
    let path = home.path.join(&config.log.slog);
    let rotation =
        Rotation { max_bytes: config.log.slog_max_mib << 20, keep: config.log.slog_keep };
    let slog = SlogFile::append(&path, rotation);
    slog.map(Some).with_context(|| format!("cannot write the slog {}", path.display()))
}

pub fn open_host(home: &Home, progress: Steps<'_>) -> anyhow::Result<WasmHost> {
    open_host_at(cache_dir(&home.path), progress)
}

/// The vat host, with what it compiles kept in `cache`.
pub fn open_host_at(cache: PathBuf, progress: Steps<'_>) -> anyhow::Result<WasmHost> {
    open_host_with(cache, Compilers::default(), progress)
}

/// The same with compilers of one's choice.
pub fn open_host_with(
    cache: PathBuf,
    compilers: Compilers,
    progress: Steps<'_>,
) -> anyhow::Result<WasmHost> {
    let engine = JsEngine {
        worker_wasm: capstan_vat_js::worker().to_vec(),
        boot_scripts: capstan_vat_js::boot_scripts()
            .map(|(name, source)| (name.to_owned(), source.to_vec()))
            .into(),
    };
    let options = HostOptions { cache_dir: Some(cache), compilers, ..HostOptions::default() };
    Ok(WasmHost::open(engine, options, progress)?)
}
