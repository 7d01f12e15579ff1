//! The configuration of solo consensus.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Clock, SystemClock};
use crate::chain::GenesisDoc;
use crate::mempool::{CheckOnly, MempoolLimits};
use crate::metrics::Metrics;
use crate::rpc::RpcLimits;

/// The configuration of [`Solo`](super::Solo).
#[derive(Clone)]
pub struct SoloConfig {
    /// Directory for blocks and the validator's key, which lie in its subdirectory `solo`. It is made if it does not
    /// exist.
    pub home: PathBuf,
    /// Address of the JSON-RPC. Port 0 takes a free one, which [`super::Solo::rpc_addr`] returns.
    pub rpc_addr: SocketAddr,
    /// Genesis document of the chain. It must not change while the home exists.
    pub genesis: GenesisDoc,
    /// Intervals between blocks.
    pub policy: BlockPolicy,
    /// Maximum number of bytes of stored blocks. The oldest are removed, but never the last hundred.
    pub history_bytes: u64,
    /// Bounds of the mempool.
    pub mempool: MempoolLimits,
    /// Bounds of the JSON-RPC.
    pub rpc: RpcLimits,
    /// Source of block times.
    pub clock: Arc<dyn Clock>,
    /// Whether web pages of any origin may call the JSON-RPC.
    pub cors: bool,
    /// Answer of `check_tx`. With `None` it is that of `CheckTx`, which counts the transaction as one of the mempool.
    pub check: Option<CheckOnly>,
    /// Answer of `/metrics`. With `None` there is no such path.
    pub metrics: Option<Metrics>,
}

impl SoloConfig {
    /// Makes a configuration with defaults for all other fields.
    pub fn new(home: impl Into<PathBuf>, rpc_addr: SocketAddr, genesis: GenesisDoc) -> Self {
        Self {
            home: home.into(),
            rpc_addr,
            genesis,
            policy: BlockPolicy::default(),
            history_bytes: u64::MAX,
            mempool: MempoolLimits::default(),
            rpc: RpcLimits::default(),
            clock: Arc::new(SystemClock),
            cors: false,
            check: None,
            metrics: None,
        }
    }
}

impl std::fmt::Debug for SoloConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoloConfig")
            .field("home", &self.home)
            .field("rpc_addr", &self.rpc_addr)
            .field("chain_id", &self.genesis.chain_id())
            .field("policy", &self.policy)
            .field("mempool", &self.mempool)
            .field("rpc", &self.rpc)
            .finish_non_exhaustive()
    }
}

/// Intervals between blocks. Apart from these, a block is made as soon as there is work.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockPolicy {
    /// Minimum time between two blocks. The default is zero.
    pub min_interval: Duration,
    /// Time after which an idle chain makes an empty block (CometBFT's `create_empty_blocks_interval`). With `None` it
    /// makes none.
    pub empty_interval: Option<Duration>,
}
