//! The configuration of a node: `config.toml` in its home.
//!
//! [`TEMPLATE`] is what a new home gets: every option with its default and what it means. An option that is left out has
//! its default; flags of the command line override.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use capstan_app::NodeOptions;
use capstan_consensus::solo::{BlockPolicy, MempoolLimits, RpcLimits};
use serde::{Deserialize, Serialize};

/// The file's name in the home.
pub const CONFIG: &str = "config.toml";

/// What a new home gets as its configuration.
pub const TEMPLATE: &str = include_str!("config.toml");

/// Everything that one node may choose for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub rpc: Rpc,
    pub log: Log,
    pub mempool: Mempool,
    pub blocks: Blocks,
    pub vats: Vats,
    pub store: Store,
    pub traces: Traces,
    pub metrics: Metrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rpc {
    pub listen: String,
    pub metrics: bool,
    pub max_body_bytes: usize,
    pub max_batch: usize,
    pub max_websockets: usize,
    pub max_subscriptions: usize,
    pub commit_timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
    pub slog: String,
    pub slog_max_mib: u64,
    pub slog_keep: u32,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mempool {
    pub max_txs: usize,
    pub max_tx_bytes: usize,
    pub max_total_bytes: usize,
    pub cache_size: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blocks {
    pub min_interval_ms: u64,
    pub empty_interval_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vats {
    pub max_online: usize,
    pub archive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    pub cache_mib: usize,
    pub check_at_start: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    pub listen: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    pub keep_blocks: u64,
}

impl Default for Rpc {
    fn default() -> Self {
        let limits = RpcLimits::default();
        Self {
            listen: "127.0.0.1:26657".to_owned(),
            metrics: true,
            max_body_bytes: limits.max_body_bytes,
            max_batch: limits.max_batch,
            max_websockets: limits.max_websockets,
            max_subscriptions: limits.max_subscriptions,
            commit_timeout_ms: limits.commit_timeout.as_millis() as u64,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "warn".to_owned(),
            format: LogFormat::Text,
            slog: String::new(),
            slog_max_mib: 256,
            slog_keep: 8,
        }
    }
}

impl Default for Mempool {
    fn default() -> Self {
        let MempoolLimits { max_txs, max_tx_bytes, max_total_bytes, cache_size } =
            MempoolLimits::default();
        Self { max_txs, max_tx_bytes, max_total_bytes, cache_size }
    }
}

impl Default for Vats {
    fn default() -> Self {
        Self { max_online: NodeOptions::default().max_vats_online, archive: false }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { cache_mib: 256, check_at_start: false }
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self { keep_blocks: 200 }
    }
}

impl Config {
    /// Reads the configuration of a home; defaults if there is no file.
    ///
    /// # Errors
    /// Text that names the file, the option and what it may be.
    pub fn load(home: &Path) -> anyhow::Result<Self> {
        let file = home.join(CONFIG);
        match fs::read_to_string(&file) {
            Ok(text) => Self::parse(&text).with_context(|| file.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse()?;
        refuse_unknown(&table)?;
        let config: Self = toml::from_str(text)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks what does not follow from the options' types.
    pub fn validate(&self) -> anyhow::Result<()> {
        let positive = [
            ("rpc.max_body_bytes", self.rpc.max_body_bytes),
            ("rpc.max_batch", self.rpc.max_batch),
            ("mempool.max_txs", self.mempool.max_txs),
            ("mempool.max_tx_bytes", self.mempool.max_tx_bytes),
            ("vats.max_online", self.vats.max_online),
            ("store.cache_mib", self.store.cache_mib),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            bail!("{name} must be at least 1");
        }
        if !self.metrics.listen.is_empty() && self.metrics_addr().is_none() {
            bail!("metrics.listen {:?} is no address; write IP:PORT", self.metrics.listen);
        }
        if self.mempool.max_total_bytes < self.mempool.max_tx_bytes {
            bail!("mempool.max_total_bytes must not be less than mempool.max_tx_bytes");
        }
        Ok(())
    }

    /// Where metrics are served beside the RPC; none: nowhere.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.listen.parse().ok()
    }

    pub fn kernel(&self) -> NodeOptions {
        NodeOptions { max_vats_online: self.vats.max_online, archive: self.vats.archive }
    }

    pub fn policy(&self) -> BlockPolicy {
        let empty = self.blocks.empty_interval_ms;
        BlockPolicy {
            min_interval: Duration::from_millis(self.blocks.min_interval_ms),
            empty_interval: (empty > 0).then(|| Duration::from_millis(empty)),
        }
    }

    pub fn mempool_limits(&self) -> MempoolLimits {
        let Mempool { max_txs, max_tx_bytes, max_total_bytes, cache_size } = self.mempool;
        MempoolLimits { max_txs, max_tx_bytes, max_total_bytes, cache_size }
    }

    pub fn rpc_limits(&self) -> RpcLimits {
        RpcLimits {
            max_body_bytes: self.rpc.max_body_bytes,
            max_batch: self.rpc.max_batch,
            max_websockets: self.rpc.max_websockets,
            max_subscriptions: self.rpc.max_subscriptions,
            commit_timeout: Duration::from_millis(self.rpc.commit_timeout_ms),
        }
    }
}

/// Refuses options that there are not, and names the nearest that there is.
fn refuse_unknown(table: &toml::Table) -> anyhow::Result<()> {
    let known = known_options()?;
    let sections: Vec<&str> =
        known.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
    for (section, value) in table {
        let Some(options) = value.as_table().filter(|_| sections.contains(&section.as_str()))
        else {
            let known = sections.iter().copied();
            bail!("there is no section [{section}]; did you mean [{}]?", nearest(section, known));
        };
        for option in options.keys() {
            let name = format!("{section}.{option}");
            if !known.contains(&name) {
                let all = known.iter().map(String::as_str);
                bail!("there is no option {name}; did you mean {}?", nearest(&name, all));
            }
        }
    }
    Ok(())
}

/// All options as `section.option`.
fn known_options() -> anyhow::Result<Vec<String>> {
    let defaults = toml::Table::try_from(Config::default())?;
    let of_section = |(section, value): (&String, &toml::Value)| {
        let options = value.as_table().into_iter().flat_map(toml::Table::keys);
        options.map(|option| format!("{section}.{option}")).collect::<Vec<_>>()
    };
    Ok(defaults.iter().flat_map(of_section).collect())
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known.min_by_key(|known| strsim::levenshtein(name, known)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_new_home_has_every_option_with_its_default() {
        assert_eq!(Config::parse(TEMPLATE).unwrap(), Config::default());
        let table: toml::Table = TEMPLATE.parse().unwrap();
        for name in known_options().unwrap() {
            let (section, option) = name.split_once('.').unwrap();
            assert!(table[section].get(option).is_some(), "{name} is not in the file");
        }
        let explained = TEMPLATE.lines().zip(TEMPLATE.lines().skip(1));
        for (before, line) in explained.filter(|(_, line)| line.contains(" = ")) {
            assert!(before.starts_with('#'), "{line}: what is it?");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, part) in [
            ("[rpc]\nlissen = \"x\"", "rpc.lissen; did you mean rpc.listen"),
            ("[mempol]\nmax_txs = 1", "[mempol]; did you mean [mempool]"),
            ("max_txs = 1", "section [max_txs]"),
            ("[vats]\nmax_online = 0", "vats.max_online must be at least 1"),
            ("[vats]\nmax_online = \"many\"", "invalid type"),
            ("[log]\nformat = \"xml\"", "unknown variant `xml`, expected `text` or `json`"),
            ("[mempool]\nmax_total_bytes = 5", "max_total_bytes must not be less"),
            ("[metrics]\nlisten = \"everywhere\"", "metrics.listen \"everywhere\" is no address"),
            ("[rpc", "expected"),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_home_without_a_file_has_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Config::load(dir.path()).unwrap(), Config::default());
        fs::write(dir.path().join(CONFIG), "[blocks]\nempty_interval_ms = 1500\n").unwrap();
        let config = Config::load(dir.path()).unwrap();
        assert_eq!(config.policy().empty_interval, Some(Duration::from_millis(1500)));
    }
}
