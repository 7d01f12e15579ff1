//! The configuration of a node: `config.toml` in its home.
//!
//! [`TEMPLATE`] is the file of a new home. It has every option with its default and its meaning. An option that is left
//! out has its default. Flags of the command line override the file.

mod gateway;
mod options;
mod parse;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capstan_app::{NodeOptions, query::QueryLimits};
use capstan_consensus::comet::CometStateSync;
use capstan_consensus::solo::{BlockPolicy, MempoolLimits, RpcLimits};

use capstan_vat_host::HostOptions;

pub use options::{
    Blocks, Config, Cors, Gateway, Grpc, Log, LogFormat, Mempool, Metrics, Queries, Rest, Rpc,
    StateSync, Store, Traces, Vats,
};
pub use parse::OptionError;

/// File name of the configuration in a home.
pub const CONFIG: &str = "config.toml";

/// Content of the configuration of a new home.
pub const TEMPLATE: &str = include_str!("config.toml");

/// Reason why the configuration of a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// An option is wrong.
    #[error("{}", path.display())]
    Option {
        /// The file.
        path: PathBuf,
        /// The option and what it may be.
        source: OptionError,
    },
}

impl StateSync {
    /// Writes these options into the section of the `config.toml` of a home. All else in it stays, comments too.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn write(&self, home: &Path) -> Result<(), ConfigError> {
        let path = home.join(CONFIG);
        let fault = |source| ConfigError::Read { path: path.clone(), source };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(fault)?,
        };
        let wrong = |source| ConfigError::Option { path: path.clone(), source };
        let text = parse::with_section(&text, "state_sync", self).map_err(wrong)?;
        capstan_files::write_atomic(&path, text.as_bytes(), 0o644).map_err(fault)
    }

    /// Returns the addresses in `rpc_servers`.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.rpc_servers.split(',').map(str::trim).filter(|server| !server.is_empty())
    }
}

impl Config {
    /// Reads the configuration of the home in the directory `home`. Returns the defaults if there is no file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file, the option and what it may be.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(CONFIG);
        match fs::read_to_string(&path) {
            Ok(text) => parse::parse(&text).map_err(|source| ConfigError::Option { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// Returns the address on which metrics are served besides the RPC, or `None` if `metrics.listen` is empty.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.listen.parse().ok()
    }

    /// Returns the options of the kernel that belong to the node.
    pub fn kernel_options(&self) -> NodeOptions {
        NodeOptions {
            max_vats_online: self.vats.max_online,
            max_online_bytes: (self.vats.max_online_mib as u64).saturating_mul(1 << 20),
            archive: self.vats.archive,
        }
    }

    /// Returns the options of the vat host, which keeps compiled code in the directory `cache`.
    pub fn host_options(&self, cache: PathBuf) -> HostOptions {
        HostOptions {
            cache_dir: Some(cache),
            max_artifact_bytes: self.vats.artifact_cache_mib.saturating_mul(1 << 20),
            max_idle_code_bytes: self.vats.idle_code_mib.saturating_mul(1 << 20),
            threads: crate::host::vat_threads(self.vats.threads),
            ..HostOptions::default()
        }
    }

    /// Returns the options of the store.
    pub fn store_options(&self) -> capstan_store::Options {
        capstan_store::Options {
            cache_bytes: self.store.cache_mib << 20,
            journal_bytes: self.store.journal_mib << 20,
            retain_heights: self.queries.retain_heights,
            check_integrity: self.store.check_at_start,
            ..capstan_store::Options::default()
        }
    }

    /// Returns where CometBFT finds what it needs to begin with a snapshot, or `None` if it begins with the first block.
    pub fn comet_state_sync(&self) -> Option<CometStateSync> {
        let sync = &self.state_sync;
        sync.enable.then(|| CometStateSync {
            rpc_servers: sync.servers().map(str::to_owned).collect(),
            trust_height: sync.trust_height,
            trust_hash: sync.trust_hash.clone(),
            trust_period: Duration::from_secs(sync.trust_period_hours.saturating_mul(3600)),
            discovery: Duration::from_secs(sync.discovery_seconds),
        })
    }

    /// Checks all options, as when they are read from a file.
    ///
    /// # Errors
    /// [`OptionError`], which names the option and what it may be.
    pub fn validate(&self) -> Result<(), OptionError> {
        parse::validate(self)
    }

    /// Returns the bounds of answers to queries.
    pub fn query_limits(&self) -> QueryLimits {
        let Queries { max_page_bytes, retain_heights } = self.queries;
        QueryLimits { max_page_bytes, retain_heights }
    }

    /// Returns when solo consensus makes blocks.
    pub fn block_policy(&self) -> BlockPolicy {
        let empty = self.blocks.empty_interval_ms;
        BlockPolicy {
            min_interval: Duration::from_millis(self.blocks.min_interval_ms),
            empty_interval: (empty > 0).then(|| Duration::from_millis(empty)),
        }
    }

    /// Returns the bound of stored blocks, in bytes.
    pub fn history_bytes(&self) -> u64 {
        self.blocks.history_mib.saturating_mul(1 << 20)
    }

    /// Returns the bounds of the mempool.
    pub fn mempool_limits(&self) -> MempoolLimits {
        let Mempool { max_txs, max_tx_bytes, max_total_bytes, cache_size } = self.mempool;
        MempoolLimits { max_txs, max_tx_bytes, max_total_bytes, cache_size }
    }

    /// Returns the bounds of the JSON-RPC.
    pub fn rpc_limits(&self) -> RpcLimits {
        RpcLimits {
            max_body_bytes: self.rpc.max_body_bytes,
            max_batch: self.rpc.max_batch,
            max_batch_time: Duration::from_millis(self.rpc.max_batch_time_ms),
            max_answer_bytes: self.rpc.max_answer_bytes,
            max_pending_bytes: self.rpc.max_pending_bytes,
            max_connections: self.rpc.max_connections,
            max_address_percent: self.rpc.max_address_percent,
            first_request_timeout: Duration::from_millis(self.rpc.first_request_timeout_ms),
            idle_timeout: Duration::from_millis(self.rpc.idle_timeout_ms),
            max_websockets: self.rpc.max_websockets,
            max_subscriptions: self.rpc.max_subscriptions,
            max_backlog_bytes: self.rpc.max_backlog_bytes,
            commit_timeout: Duration::from_millis(self.rpc.commit_timeout_ms),
        }
    }
}
