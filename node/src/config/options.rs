use capstan_app::{NodeOptions, query::QueryLimits};
use capstan_consensus::solo::{MempoolLimits, RpcLimits};
use capstan_gateway::GatewayLimits;
use capstan_vat_host::HostOptions;
use serde::{Deserialize, Serialize};

/// Every option of one node. Other nodes cannot see them, and they never change what the chain computes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The JSON-RPC of solo consensus.
    pub rpc: Rpc,
    /// gRPC.
    pub grpc: Grpc,
    /// REST.
    pub rest: Rest,
    /// The bounds of gRPC and REST.
    pub gateway: Gateway,
    /// The log and the slog.
    pub log: Log,
    /// The mempool of solo consensus.
    pub mempool: Mempool,
    /// When solo consensus makes blocks.
    pub blocks: Blocks,
    /// Vats in memory and their transcripts.
    pub vats: Vats,
    /// The store of the chain's state.
    pub store: Store,
    /// Answers to queries.
    pub queries: Queries,
    /// Traces of the last blocks.
    pub traces: Traces,
    /// Metrics on a port of their own.
    pub metrics: Metrics,
    /// Snapshots of the state, and the beginning of a node with one.
    pub state_sync: StateSync,
}

/// Section `[rpc]`: the JSON-RPC, with the bounds of [`RpcLimits`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rpc {
    /// Address that it listens on, `IP:PORT`. Port 0 takes a free one.
    pub listen: String,
    /// Whether web pages of any origin may call it.
    pub cors: Cors,
    /// Whether `/metrics` answers.
    pub metrics: bool,
    /// Most bytes in the body of a request or in a WebSocket message.
    pub max_body_bytes: usize,
    /// Most calls in a batch.
    pub max_batch: usize,
    /// Milliseconds after which no further call of a batch is made.
    pub max_batch_time_ms: u64,
    /// Most bytes of an answer, that to a whole batch included.
    pub max_answer_bytes: usize,
    /// Most bytes of all bodies and answers in memory.
    pub max_pending_bytes: usize,
    /// Most open connections, WebSockets included.
    pub max_connections: usize,
    /// Percent of the connections, of the WebSockets and of the bytes in memory that one address may have.
    pub max_address_percent: u8,
    /// Milliseconds in which the first request of a connection must begin.
    pub first_request_timeout_ms: u64,
    /// Milliseconds without a byte after which a connection is closed.
    pub idle_timeout_ms: u64,
    /// Most open WebSocket connections.
    pub max_websockets: usize,
    /// Most subscriptions of one WebSocket connection.
    pub max_subscriptions: usize,
    /// Bytes that wait for a WebSocket's client from which on it counts as behind.
    pub max_backlog_bytes: usize,
    /// Milliseconds that `broadcast_tx_commit` waits for its block.
    pub commit_timeout_ms: u64,
}

/// Section `[grpc]`: gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grpc {
    /// Address that it listens on: `auto`, `off` or `IP:PORT`.
    pub listen: String,
    /// Most calls of one connection at a time.
    pub max_streams: u32,
}

/// Section `[rest]`: REST.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rest {
    /// Address that it listens on: `auto`, `off` or `IP:PORT`.
    pub listen: String,
    /// Whether web pages of any origin may call it.
    pub cors: Cors,
}

/// Whether web pages of any origin may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cors {
    /// Under solo consensus.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Section `[gateway]`: the bounds of gRPC and REST, those of [`GatewayLimits`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Most bytes of a request.
    pub max_request_bytes: usize,
    /// Most bytes of an answer.
    pub max_answer_bytes: usize,
    /// Most bytes of all requests and answers in memory.
    pub max_pending_bytes: usize,
    /// Most open connections, of each of the two.
    pub max_connections: usize,
    /// Percent of the connections and of the bytes in memory that one address may have.
    pub max_address_percent: u8,
    /// Milliseconds in which the first request of a connection must begin.
    pub first_request_timeout_ms: u64,
    /// Most calls that are executed at a time.
    pub max_calls: usize,
    /// Most searches for transactions among them.
    pub max_searches: usize,
    /// Milliseconds after which a connection of no use is closed.
    pub idle_timeout_ms: u64,
}

/// Section `[log]`: the log on standard error, and the slog.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Level, or filters such as `capstan_app=debug`.
    pub level: String,
    /// Format of a line.
    pub format: LogFormat,
    /// File of the log, relative to the home. Empty means standard error.
    pub file: String,
    /// Size in MiB at which the file of the log is rotated. 0 means never.
    pub file_max_mib: u64,
    /// Number of rotated files of the log that are kept.
    pub file_keep: u32,
    /// File of the slog, relative to the home. Empty means no slog.
    pub slog: String,
    /// Size in MiB at which the slog is rotated. 0 means never.
    pub slog_max_mib: u64,
    /// Number of rotated slogs that are kept.
    pub slog_keep: u32,
    /// File of the log of vats, relative to the home. Empty means none.
    pub vats: String,
    /// Size in MiB at which the log of vats is rotated. 0 means never.
    pub vats_max_mib: u64,
    /// Number of rotated logs of vats that are kept.
    pub vats_keep: u32,
}

/// Format of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Plain text.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

/// Section `[mempool]`: the bounds of [`MempoolLimits`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mempool {
    /// Most transactions that wait.
    pub max_txs: usize,
    /// Most bytes of a transaction.
    pub max_tx_bytes: usize,
    /// Most bytes of all waiting transactions together.
    pub max_total_bytes: usize,
    /// Number of hashes that are remembered to refuse duplicates.
    pub cache_size: usize,
}

/// Section `[blocks]`: when solo consensus makes blocks, and how many it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blocks {
    /// Least number of milliseconds between two blocks.
    pub min_interval_ms: u64,
    /// Milliseconds after which an idle chain makes an empty block. 0 means never.
    pub empty_interval_ms: u64,
    /// Most MiB of stored blocks, with their results and index. The oldest are removed.
    pub history_mib: u64,
}

/// Section `[vats]`: vats in memory and their transcripts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vats {
    /// Most vats that are in memory at once.
    pub max_online: usize,
    /// Most MiB of memory of all vats in memory.
    pub max_online_mib: usize,
    /// Most threads that run vats at once. 0 means as many as the machine has cores, and at most 16.
    pub threads: usize,
    /// Whether transcripts are kept that no restart needs any more.
    pub archive: bool,
    /// Most MiB of compiled modules on disk.
    pub artifact_cache_mib: u64,
    /// Most MiB of compiled modules in memory that no vat runs.
    pub idle_code_mib: u64,
}

/// Section `[store]`: the store of the chain's state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Cache of the database in MiB.
    pub cache_mib: usize,
    /// MiB of changes in the journal from which on they are written to the state's file.
    pub journal_mib: usize,
    /// Whether the whole state is checked when the node starts.
    pub check_at_start: bool,
}

/// Section `[queries]`: answers to queries, with the bounds of [`QueryLimits`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queries {
    /// Most bytes of one page of a list.
    pub max_page_bytes: usize,
    /// Number of heights before the last one at which proven records are kept.
    pub retain_heights: u64,
}

/// Section `[traces]`: traces of the last blocks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// Number of blocks whose traces are kept.
    pub keep_blocks: u64,
    /// Most MiB of all traces.
    pub max_mib: u64,
}

/// Section `[metrics]`: metrics on a port of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Address that serves `/metrics`, `IP:PORT`. Empty means no such port.
    pub listen: String,
}

/// Section `[state_sync]`: snapshots of the state, and the beginning of a node with one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateSync {
    /// Number of blocks between two snapshots. 0 writes none.
    pub interval: u64,
    /// Number of snapshots that are kept.
    pub keep: usize,
    /// Whether CometBFT removes blocks that nothing needs.
    pub prune_blocks: bool,
    /// Whether a node without blocks begins with a snapshot of its peers.
    pub enable: bool,
    /// JSON-RPC of other nodes, separated by commas, from which CometBFT takes headers.
    pub rpc_servers: String,
    /// Height of a block that is trusted.
    pub trust_height: u64,
    /// Hash of that block.
    pub trust_hash: String,
    /// Hours for which a block is trusted.
    pub trust_period_hours: u64,
    /// Seconds for which peers are asked for snapshots, before the best one is chosen.
    pub discovery_seconds: u64,
}

impl Default for StateSync {
    fn default() -> Self {
        Self {
            interval: 1000,
            keep: 2,
            prune_blocks: false,
            enable: false,
            rpc_servers: String::new(),
            trust_height: 0,
            trust_hash: String::new(),
            trust_period_hours: 168,
            discovery_seconds: 15,
        }
    }
}

impl Default for Rpc {
    fn default() -> Self {
        let limits = RpcLimits::default();
        Self {
            listen: "127.0.0.1:26657".to_owned(),
            cors: Cors::Auto,
            metrics: true,
            max_body_bytes: limits.max_body_bytes,
            max_batch: limits.max_batch,
            max_batch_time_ms: limits.max_batch_time.as_millis() as u64,
            max_answer_bytes: limits.max_answer_bytes,
            max_pending_bytes: limits.max_pending_bytes,
            max_connections: limits.max_connections,
            max_address_percent: limits.max_address_percent,
            first_request_timeout_ms: limits.first_request_timeout.as_millis() as u64,
            idle_timeout_ms: limits.idle_timeout.as_millis() as u64,
            max_websockets: limits.max_websockets,
            max_subscriptions: limits.max_subscriptions,
            max_backlog_bytes: limits.max_backlog_bytes,
            commit_timeout_ms: limits.commit_timeout.as_millis() as u64,
        }
    }
}

impl Default for Grpc {
    fn default() -> Self {
        Self { listen: "auto".to_owned(), max_streams: GatewayLimits::default().max_streams }
    }
}

impl Default for Rest {
    fn default() -> Self {
        Self { listen: "auto".to_owned(), cors: Cors::Auto }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        let limits = GatewayLimits::default();
        Self {
            max_request_bytes: limits.max_request_bytes,
            max_answer_bytes: limits.max_answer_bytes,
            max_pending_bytes: limits.max_pending_bytes,
            max_connections: limits.max_connections,
            max_address_percent: limits.max_address_percent,
            first_request_timeout_ms: limits.first_request_timeout.as_millis() as u64,
            max_calls: limits.max_calls,
            max_searches: limits.max_searches,
            idle_timeout_ms: limits.idle_timeout.as_millis() as u64,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "warn".to_owned(),
            format: LogFormat::Text,
            file: String::new(),
            file_max_mib: 64,
            file_keep: 4,
            slog: String::new(),
            slog_max_mib: 256,
            slog_keep: 8,
            vats: "vats.jsonl".to_owned(),
            vats_max_mib: 8,
            vats_keep: 2,
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

impl Default for Blocks {
    fn default() -> Self {
        Self { min_interval_ms: 0, empty_interval_ms: 0, history_mib: 256 }
    }
}

impl Default for Vats {
    fn default() -> Self {
        let host = HostOptions::default();
        Self {
            max_online: NodeOptions::default().max_vats_online,
            max_online_mib: NodeOptions::default().max_online_bytes as usize >> 20,
            threads: 0,
            archive: false,
            artifact_cache_mib: host.max_artifact_bytes >> 20,
            idle_code_mib: host.max_idle_code_bytes >> 20,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { cache_mib: 256, journal_mib: 16, check_at_start: false }
    }
}

impl Default for Queries {
    fn default() -> Self {
        let QueryLimits { max_page_bytes, retain_heights } = QueryLimits::default();
        Self { max_page_bytes, retain_heights }
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self { keep_blocks: 200, max_mib: 64 }
    }
}
