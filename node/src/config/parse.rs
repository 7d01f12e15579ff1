use std::net::Ipv4Addr;

use super::Config;

/// Reason why an option of `config.toml` is refused.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// The file is not TOML, or an option has a value of another type.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// The defaults cannot be written as TOML: a bug.
    #[error(transparent)]
    Defaults(#[from] toml::ser::Error),
    /// The file cannot be changed, since it is not TOML.
    #[error("the file cannot be changed: {0}")]
    Document(String),
    /// There is no such section.
    #[error("there is no section [{name}]; did you mean [{nearest}]?")]
    Section {
        /// The section.
        name: String,
        /// The section with the most similar name.
        nearest: String,
    },
    /// There is no such option.
    #[error("there is no option {name}; did you mean {nearest}?")]
    Unknown {
        /// The option, as `section.option`.
        name: String,
        /// The option with the most similar name.
        nearest: String,
    },
    /// An option is zero that must not be.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// An option is larger than anything that works.
    #[error("{name} must be at most {most}")]
    TooLarge {
        /// The option.
        name: &'static str,
        /// The largest value.
        most: u64,
    },
    /// An option is no address.
    #[error("{name} {text:?} is no address; write IP:PORT")]
    Address {
        /// The option.
        name: &'static str,
        /// Its value.
        text: String,
    },
    /// An option is neither an address nor one of the words that stand for one.
    #[error("{name} {text:?} is no address; write IP:PORT, auto or off")]
    Listen {
        /// The option.
        name: &'static str,
        /// Its value.
        text: String,
    },
    /// An option is wrong that a node needs to begin with a snapshot.
    #[error("state_sync.{name} {what}, because state_sync.enable is true")]
    StateSync {
        /// The option.
        name: &'static str,
        /// What it must be.
        what: &'static str,
    },
    /// An option leaves no room for what another one allows.
    #[error("{larger} must not be less than {smaller}")]
    Order {
        /// The option that is too small.
        larger: &'static str,
        /// The option, or the number, that it must have room for.
        smaller: &'static str,
    },
}

/// Reads and checks the text of a `config.toml`.
pub(super) fn parse(text: &str) -> Result<Config, OptionError> {
    refuse_unknown(&text.parse()?)?;
    let config = toml::from_str(text)?;
    validate(&config)?;
    Ok(config)
}

/// Sets the options of a section in the text of a `config.toml`, and checks the result. Leaves all else as it is.
pub(super) fn with_section(
    text: &str,
    name: &str,
    options: &impl serde::Serialize,
) -> Result<String, OptionError> {
    parse(text)?;
    let wrong = |error: toml_edit::TomlError| OptionError::Document(error.to_string());
    let mut document: toml_edit::DocumentMut = text.parse().map_err(wrong)?;
    let section = document.entry(name).or_insert(toml_edit::Item::Table(Default::default()));
    for (option, value) in toml::Table::try_from(options)? {
        let mut value: toml_edit::Value = value.to_string().parse().map_err(wrong)?;
        if let Some(old) = section.get(&option).and_then(toml_edit::Item::as_value) {
            // The comment behind it.
            *value.decor_mut() = old.decor().clone();
        }
        section[&option] = toml_edit::Item::Value(value);
    }
    let text = document.to_string();
    parse(&text)?;
    Ok(text)
}

/// Checks what does not follow from the options' types.
pub(super) fn validate(config: &Config) -> Result<(), OptionError> {
    let positive = [
        ("rpc.max_body_bytes", config.rpc.max_body_bytes),
        ("rpc.max_batch", config.rpc.max_batch),
        ("rpc.max_connections", config.rpc.max_connections),
        ("rpc.max_backlog_bytes", config.rpc.max_backlog_bytes),
        ("grpc.max_streams", config.grpc.max_streams as usize),
        ("gateway.max_request_bytes", config.gateway.max_request_bytes),
        ("gateway.max_connections", config.gateway.max_connections),
        ("gateway.max_calls", config.gateway.max_calls),
        ("gateway.max_searches", config.gateway.max_searches),
        ("gateway.max_address_percent", config.gateway.max_address_percent.into()),
        ("rpc.max_address_percent", config.rpc.max_address_percent.into()),
        ("mempool.max_txs", config.mempool.max_txs),
        ("mempool.max_tx_bytes", config.mempool.max_tx_bytes),
        ("vats.max_online", config.vats.max_online),
        ("vats.max_online_mib", config.vats.max_online_mib),
        ("queries.max_page_bytes", config.queries.max_page_bytes),
        ("store.cache_mib", config.store.cache_mib),
        ("store.journal_mib", config.store.journal_mib),
    ];
    if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
        return Err(OptionError::Zero(name));
    }
    if let Some((name, _, most)) = bounded(config).into_iter().find(|(_, value, most)| value > most)
    {
        return Err(OptionError::TooLarge { name, most });
    }
    if !config.metrics.listen.is_empty() && config.metrics_addr().is_none() {
        let text = config.metrics.listen.clone();
        return Err(OptionError::Address { name: "metrics.listen", text });
    }
    config.gateway((Ipv4Addr::LOCALHOST, 0).into(), false)?;
    validate_state_sync(config)?;
    let ordered = [
        (
            ("gateway.max_pending_bytes", config.gateway.max_pending_bytes as u64),
            ("gateway.max_answer_bytes", config.gateway.max_answer_bytes as u64),
        ),
        (
            ("gateway.max_pending_bytes", config.gateway.max_pending_bytes as u64),
            ("gateway.max_request_bytes", config.gateway.max_request_bytes as u64),
        ),
        (("gateway.max_answer_bytes", config.gateway.max_answer_bytes as u64), ("1024", 1024)),
        (("gateway.idle_timeout_ms", config.gateway.idle_timeout_ms), ("1000", 1000)),
        (("state_sync.discovery_seconds", config.state_sync.discovery_seconds), ("5", 5)),
        (("state_sync.trust_period_hours", config.state_sync.trust_period_hours), ("1", 1)),
        (
            ("gateway.first_request_timeout_ms", config.gateway.first_request_timeout_ms),
            ("100", 100),
        ),
        (("rpc.max_batch_time_ms", config.rpc.max_batch_time_ms), ("100", 100)),
        (("rpc.first_request_timeout_ms", config.rpc.first_request_timeout_ms), ("100", 100)),
        (
            ("mempool.max_total_bytes", config.mempool.max_total_bytes as u64),
            ("mempool.max_tx_bytes", config.mempool.max_tx_bytes as u64),
        ),
        (
            ("rpc.max_pending_bytes", config.rpc.max_pending_bytes as u64),
            ("rpc.max_answer_bytes", config.rpc.max_answer_bytes as u64),
        ),
        (
            ("rpc.max_pending_bytes", config.rpc.max_pending_bytes as u64),
            ("rpc.max_body_bytes", config.rpc.max_body_bytes as u64),
        ),
        // An error, too, is an answer.
        (("rpc.max_answer_bytes", config.rpc.max_answer_bytes as u64), ("1024", 1024)),
        (
            ("rpc.max_connections", config.rpc.max_connections as u64),
            ("rpc.max_websockets", config.rpc.max_websockets as u64),
        ),
        // A call that waits for its block is no idle connection.
        (
            ("rpc.idle_timeout_ms", config.rpc.idle_timeout_ms),
            ("rpc.commit_timeout_ms and one more", config.rpc.commit_timeout_ms.saturating_add(1)),
        ),
    ];
    for ((larger, size), (smaller, least)) in ordered {
        if size < least {
            return Err(OptionError::Order { larger, smaller });
        }
    }
    Ok(())
}

/// Checks what a node needs to begin with a snapshot.
fn validate_state_sync(config: &Config) -> Result<(), OptionError> {
    let sync = &config.state_sync;
    if !sync.enable {
        return Ok(());
    }
    let is_hash =
        sync.trust_hash.len() == 64 && sync.trust_hash.bytes().all(|b| b.is_ascii_hexdigit());
    let wrong = [
        (
            sync.servers().count() < 2,
            "rpc_servers",
            "must name at least two nodes as IP:PORT,IP:PORT",
        ),
        (sync.trust_height == 0, "trust_height", "must be the height of a block that you trust"),
        (!is_hash, "trust_hash", "must be the hash of that block, 64 hex digits"),
    ];
    match wrong.into_iter().find(|(is_wrong, _, _)| *is_wrong) {
        Some((_, name, what)) => Err(OptionError::StateSync { name, what }),
        None => Ok(()),
    }
}

/// Largest amount of memory that an option may name, in bytes.
const MAX_BYTES: u64 = 1 << 40;

/// Largest size of a cache or of files, in MiB.
const MAX_MIB: u64 = 1 << 30;

/// Largest journal, in MiB. Its changes are in memory too.
const MAX_JOURNAL_MIB: u64 = 64 << 10;

/// Largest size of one message or answer, in bytes. Permits for it are counted in 32 bits.
const MAX_MESSAGE_BYTES: u64 = 1 << 30;

/// Largest number of things that a node keeps in memory.
const MAX_COUNT: u64 = 1_000_000;

/// Greatest height that is accepted: more than any chain reaches.
const MAX_HEIGHT: u64 = 1 << 48;

/// Longest time, in milliseconds: a day, and a second for what must be longer.
const MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// Returns the options that have a largest value, with their values and the largest.
fn bounded(config: &Config) -> [(&'static str, u64, u64); 47] {
    let Config { rpc, grpc, rest: _, gateway, log, mempool, blocks, vats, store, .. } = config;
    let Config { queries, traces, state_sync, metrics: _, .. } = config;
    [
        ("grpc.max_streams", grpc.max_streams.into(), MAX_COUNT),
        ("gateway.max_request_bytes", gateway.max_request_bytes as u64, MAX_MESSAGE_BYTES),
        ("gateway.max_answer_bytes", gateway.max_answer_bytes as u64, MAX_MESSAGE_BYTES),
        ("gateway.max_pending_bytes", gateway.max_pending_bytes as u64, MAX_BYTES),
        ("gateway.max_connections", gateway.max_connections as u64, MAX_COUNT),
        ("gateway.max_calls", gateway.max_calls as u64, MAX_COUNT),
        ("gateway.max_searches", gateway.max_searches as u64, MAX_COUNT),
        ("gateway.max_address_percent", gateway.max_address_percent.into(), 100),
        ("gateway.first_request_timeout_ms", gateway.first_request_timeout_ms, MAX_MS),
        ("gateway.idle_timeout_ms", gateway.idle_timeout_ms, MAX_MS),
        ("rpc.max_body_bytes", rpc.max_body_bytes as u64, MAX_MESSAGE_BYTES),
        ("rpc.max_batch", rpc.max_batch as u64, MAX_COUNT),
        ("rpc.max_answer_bytes", rpc.max_answer_bytes as u64, MAX_MESSAGE_BYTES),
        ("rpc.max_pending_bytes", rpc.max_pending_bytes as u64, MAX_BYTES),
        ("rpc.max_connections", rpc.max_connections as u64, MAX_COUNT),
        ("rpc.max_address_percent", rpc.max_address_percent.into(), 100),
        ("rpc.max_batch_time_ms", rpc.max_batch_time_ms, MAX_MS),
        ("rpc.first_request_timeout_ms", rpc.first_request_timeout_ms, MAX_MS),
        ("rpc.idle_timeout_ms", rpc.idle_timeout_ms, MAX_MS + 1_000),
        ("rpc.max_websockets", rpc.max_websockets as u64, MAX_COUNT),
        ("rpc.max_subscriptions", rpc.max_subscriptions as u64, MAX_COUNT),
        ("rpc.max_backlog_bytes", rpc.max_backlog_bytes as u64, MAX_MESSAGE_BYTES),
        ("rpc.commit_timeout_ms", rpc.commit_timeout_ms, MAX_MS),
        ("log.file_max_mib", log.file_max_mib, MAX_MIB),
        ("log.file_keep", log.file_keep.into(), 10_000),
        ("log.slog_max_mib", log.slog_max_mib, MAX_MIB),
        ("log.slog_keep", log.slog_keep.into(), 10_000),
        ("mempool.max_txs", mempool.max_txs as u64, MAX_COUNT),
        ("mempool.max_tx_bytes", mempool.max_tx_bytes as u64, MAX_MESSAGE_BYTES),
        ("mempool.max_total_bytes", mempool.max_total_bytes as u64, MAX_BYTES),
        ("mempool.cache_size", mempool.cache_size as u64, 100 * MAX_COUNT),
        ("blocks.min_interval_ms", blocks.min_interval_ms, MAX_MS),
        ("blocks.empty_interval_ms", blocks.empty_interval_ms, MAX_MS),
        ("blocks.history_mib", blocks.history_mib, MAX_MIB),
        ("vats.max_online", vats.max_online as u64, MAX_COUNT),
        ("vats.threads", vats.threads as u64, 256),
        ("store.journal_mib", store.journal_mib as u64, MAX_JOURNAL_MIB),
        ("vats.max_online_mib", vats.max_online_mib as u64, MAX_MIB),
        ("store.cache_mib", store.cache_mib as u64, MAX_BYTES >> 20),
        ("queries.max_page_bytes", queries.max_page_bytes as u64, MAX_MESSAGE_BYTES),
        ("queries.retain_heights", queries.retain_heights, MAX_COUNT),
        ("traces.max_mib", traces.max_mib, MAX_MIB),
        ("state_sync.interval", state_sync.interval, MAX_HEIGHT),
        ("state_sync.keep", state_sync.keep as u64, 1_000),
        ("state_sync.trust_height", state_sync.trust_height, MAX_HEIGHT),
        ("state_sync.trust_period_hours", state_sync.trust_period_hours, 100_000),
        ("state_sync.discovery_seconds", state_sync.discovery_seconds, 3_600),
    ]
}

/// Refuses options that do not exist, and names the most similar one that does.
fn refuse_unknown(table: &toml::Table) -> Result<(), OptionError> {
    let known = known_options()?;
    let sections: Vec<&str> =
        known.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
    for (section, value) in table {
        let Some(options) = value.as_table().filter(|_| sections.contains(&section.as_str()))
        else {
            let nearest = nearest(section, sections.iter().copied());
            return Err(OptionError::Section { name: section.clone(), nearest });
        };
        for option in options.keys() {
            let name = format!("{section}.{option}");
            if !known.contains(&name) {
                let nearest = nearest(&name, known.iter().map(String::as_str));
                return Err(OptionError::Unknown { name, nearest });
            }
        }
    }
    Ok(())
}

/// Returns all options as `section.option`.
pub(super) fn known_options() -> Result<Vec<String>, toml::ser::Error> {
    let defaults = toml::Table::try_from(Config::default())?;
    let of_section = |(section, value): (&String, &toml::Value)| {
        let options = value.as_table().into_iter().flat_map(toml::Table::keys);
        options.map(|option| format!("{section}.{option}")).collect::<Vec<_>>()
    };
    Ok(defaults.iter().flat_map(of_section).collect())
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    known.min_by_key(|known| strsim::levenshtein(name, known)).unwrap_or_default().to_owned()
}
